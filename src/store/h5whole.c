/*
 * store/h5whole.c: the layout by HDF5 in memory, the bytes by plain writes.
 *
 * The file's bytes are the image's, but for the stretches that the arrays
 * cover. They are dealt to the ranks in the seal's blocks, so that each rank
 * hashes what it writes, while it is in the processor's cache. Writes begin
 * and end at multiples of WRITE_ALIGN instead, a little behind the blocks: no
 * page of the file has two writers, which network file systems do not take
 * well.
 */
#include "store/h5whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "store_internal.h"

#define WRITE_ALIGN 65536 // the largest page of the machines we know

struct stretch {
    const char *data;
    uint64_t at, bytes; // place in the file, ascending
};

struct h5whole {
    const struct dist *dist;
    char *path;
    struct image image;
    hid_t driver;
    hid_t id; // negative: laid out, or not rank 0
    struct stretch *arrays;
    size_t count, cap;
};

/* --- the layout ---------------------------------------------------------- */

static int fail(const struct h5whole *whole, struct error *err)
{
    (void)h5file_fail(whole->path, "write", err);
    return whole->image.starved ? error_set(err, "cannot write '%s': out of memory", whole->path)
                                : -1;
}

static int create(struct h5whole *whole, struct error *err)
{
    hid_t access, creation;
    int rc;

    h5file_tame();
    access = H5Pcreate(H5P_FILE_ACCESS);
    creation = h5file_creation_list();
    whole->driver = access < 0 ? -1 : image_driver(access, &whole->image);
    if (whole->driver >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
        H5Pset_meta_block_size(access, 0) >= 0 && H5Pset_small_data_block_size(access, 0) >= 0)
        whole->id = H5Fcreate(whole->path, H5F_ACC_TRUNC, creation, access);
    rc = whole->id < 0 ? fail(whole, err) : 0;
    (void)H5Pclose(creation);
    (void)H5Pclose(access);
    return rc;
}

int h5whole_open(struct h5whole **out, const struct dist *dist, const char *path, struct error *err)
{
    struct h5whole *whole = mem_alloc(1, sizeof(*whole), err);

    *out = NULL;
    if (!whole)
        return -1;
    whole->dist = dist;
    whole->id = whole->driver = -1;
    whole->path = mem_strdup(path, err);
    if (!whole->path || (dist->rank == 0 && create(whole, err) < 0)) {
        h5whole_close(whole);
        return -1;
    }
    *out = whole;
    return 0;
}

int h5whole_put_i64(struct h5whole *whole, const char *name, int64_t value, struct error *err)
{
    if (whole->dist->rank != 0)
        return 0;
    return h5put_number(whole->id, name, H5_INT64, &value) < 0 ? fail(whole, err) : 0;
}

int h5whole_put_text(struct h5whole *whole, const char *name, const char *text, size_t len,
                     struct error *err)
{
    if (whole->dist->rank != 0)
        return 0;
    if (len > 0 && memchr(text, '\0', len))
        return error_set(err, "cannot write '%s': the text '%s' holds a zero byte", whole->path,
                         name);
    return h5put_text(whole->id, name, text, len) < 0 ? fail(whole, err) : 0;
}

/* A contiguous dataset whose space is taken at once; *at is its place in the file. */
static int create_array(hid_t file, const char *name, enum h5type type, uint64_t total,
                        uint64_t *at)
{
    hsize_t dims = total;
    hid_t space = H5Screate_simple(1, &dims, NULL);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    hid_t id = -1;
    haddr_t offset = HADDR_UNDEF;
    hid_t why;
    int rc;

    if (H5Pset_obj_track_times(list, 0) >= 0 && H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) >= 0 &&
        H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY) >= 0)
        id = H5Dcreate2(file, name, h5type_stored(type), space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (id >= 0 && total > 0)
        offset = H5Dget_offset(id);
    *at = offset;
    rc = id < 0 || (total > 0 && offset == HADDR_UNDEF) ? -1 : 0;
    why = rc < 0 ? H5Eget_current_stack() : -1;
    (void)H5Pclose(list);
    (void)H5Sclose(space);
    if (id >= 0 && H5Dclose(id) < 0)
        rc = -1;
    if (why >= 0)
        (void)H5Eset_current_stack(why);
    return rc;
}

static uint64_t arrays_end(const struct h5whole *whole)
{
    const struct stretch *last = whole->count > 0 ? &whole->arrays[whole->count - 1] : NULL;

    return last ? last->at + last->bytes : 0;
}

int h5whole_put_array(struct h5whole *whole, const char *name, enum h5type type, uint64_t total,
                      const void *data, struct error *err)
{
    uint64_t at = 0;

    if (H5Tequal(h5type_native(type), h5type_stored(type)) <= 0)
        return error_set(err, "cannot write '%s': this machine is not little-endian", whole->path);
    if (mem_grow((void *)&whole->arrays, &whole->cap, whole->count + 1, sizeof(*whole->arrays),
                 err) < 0)
        return -1;
    if (whole->dist->rank == 0 && create_array(whole->id, name, type, total, &at) < 0)
        return fail(whole, err);
    if (total == 0)
        return 0;
    if (whole->dist->rank == 0 && at < arrays_end(whole))
        BUG("'%s': the array '%s' begins before the end of the one before it", whole->path, name);
    whole->arrays[whole->count++] =
        (struct stretch){ .data = data, .at = at, .bytes = size_mul(total, h5type_size(type)) };
    return 0;
}

/* HDF5 writes what it still holds back. Local. */
static int lay_out(struct h5whole *whole, struct error *err)
{
    herr_t rc = H5Fclose(whole->id);

    whole->id = -1;
    return rc < 0 || whole->image.starved ? fail(whole, err) : 0;
}

/* --- the bytes ------------------------------------------------------------- */

/* Bytes [at, at + len) of the file: in an array if it holds them all, else put together in buf. */
static const char *view(const struct h5whole *whole, uint64_t at, size_t len, char *buf)
{
    uint64_t end = at + len;
    char *to = buf;

    for (size_t i = 0; i <= whole->count; i++) { // each array, and what lies before it
        const struct stretch last = { NULL, end, 0 };
        const struct stretch *a = i < whole->count ? &whole->arrays[i] : &last;
        uint64_t before = a->at < at ? at : a->at < end ? a->at : end;
        uint64_t until = a->at + a->bytes < end ? a->at + a->bytes : end;

        if (at >= a->at && end <= a->at + a->bytes && to == buf)
            return a->data + (at - a->at);
        image_read(&whole->image, at, (size_t)(before - at), to);
        to += before - at;
        at = before;
        if (until > at) {
            memcpy(to, a->data + (at - a->at), (size_t)(until - at));
            to += until - at;
            at = until;
        }
    }
    return buf;
}

/* errno says why not. */
static int write_fully(int fd, const char *bytes, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t put = pwrite(fd, bytes, len, (off_t)at);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        bytes += put;
        at += (uint64_t)put;
        len -= (size_t)put;
    }
    return 0;
}

/* Where the writes of blocks below b end; those of the first block begin at byte 0. */
static uint64_t write_bound(uint64_t b, uint64_t bytes)
{
    uint64_t bound = b * SEAL_BLOCK + WRITE_ALIGN;

    return b == 0 ? 0 : bound < bytes ? bound : bytes;
}

/* Blocks [first, end) into the file, and their hashes. Local. */
static int write_blocks(const struct h5whole *whole, int fd, char *buf, uint64_t first,
                        uint64_t end, struct hash *hashes)
{
    uint64_t bytes = whole->image.bytes;

    for (uint64_t b = first; b < end; b++) {
        uint64_t at = SEAL_BYTES + b * SEAL_BLOCK;
        uint64_t from = write_bound(b, bytes);
        uint64_t to = write_bound(b + 1, bytes);
        uint64_t start = from < at ? from : at;
        const char *view_of =
            view(whole, start, (size_t)(to - start), buf); // at's block ends before to

        hashes[b] = hash_bytes(view_of + (at - start),
                               (size_t)(bytes - at < SEAL_BLOCK ? bytes - at : SEAL_BLOCK));
        if (write_fully(fd, view_of + (from - start), (size_t)(to - from), from) < 0)
            return -1;
    }
    return 0;
}

/* This rank's part of the file; each opens it by itself. Local. */
static int write_part(const struct h5whole *whole, const char *temp, uint64_t first, uint64_t end,
                      struct hash *hashes, struct error *err)
{
    char *buf = mem_alloc(SEAL_BLOCK + WRITE_ALIGN, 1, err);
    int fd, rc;

    if (!buf)
        return -1;
    fd = open(temp, O_WRONLY | O_CLOEXEC);
    rc = fd < 0 ? -1 : 0;
    if (rc == 0 && file_write_must_fail()) {
        errno = ENOSPC;
        rc = -1;
    }
    if (rc == 0)
        rc = write_blocks(whole, fd, buf, first, end, hashes);
    if (fd >= 0) {
        int reason = errno;

        if (close(fd) == 0)
            errno = reason;
        else
            rc = -1;
    }
    free(buf);
    return rc < 0 ? error_set(err, "cannot write '%s': %s", whole->path, strerror(errno)) : 0;
}

/* No longer than bytes, and space for what is missing. errno says why not. Local. */
static int fit(int fd, uint64_t bytes)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -1;
    if ((uint64_t)st.st_size > bytes)
        return ftruncate(fd, (off_t)bytes);
    return space_take(fd, (uint64_t)st.st_size, bytes);
}

/*
 * The file while it is written: the spare, or a new one. The spare gets a name
 * that no node has looked up before: clients of network file systems may
 * remember which file a name meant. Local: rank 0.
 */
static char *begin_file(const struct h5whole *whole, const char *spare, struct error *err)
{
    char *temp = h5file_temp_name(whole->path, err);
    int taken = temp && spare && rename(spare, temp) == 0;
    int fd = temp ? open(temp, O_WRONLY | O_CLOEXEC | (taken ? 0 : O_CREAT | O_EXCL), 0666) : -1;

    if (!temp)
        return NULL;
    if (fd < 0 || fit(fd, whole->image.bytes) < 0) {
        (void)error_set(err, "cannot write '%s': %s", whole->path, strerror(errno));
        if (fd >= 0 || taken)
            (void)unlink(temp);
        free(temp);
        temp = NULL;
    }
    if (fd >= 0)
        (void)close(fd);
    return temp;
}

static void pack_number(struct strbuf *message, uint64_t number)
{
    strbuf_add(message, &number, sizeof(number));
}

static uint64_t unpack_number(const char **at)
{
    uint64_t number;

    memcpy(&number, *at, sizeof(number));
    *at += sizeof(number);
    return number;
}

/* What the other ranks must know, in one message: *temp and the layout. Local: rank 0. */
static int begin(struct h5whole *whole, const char *spare, char **temp, struct strbuf *message,
                 struct error *err)
{
    if (lay_out(whole, err) < 0)
        return -1;
    *temp = begin_file(whole, spare, err);
    if (!*temp)
        return -1;
    pack_number(message, whole->image.bytes);
    for (size_t i = 0; i < whole->count; i++)
        pack_number(message, whole->arrays[i].at);
    pack_number(message, strlen(*temp));
    strbuf_puts(message, *temp);
    if (whole->dist->size > 1)
        image_pack(&whole->image, message);
    return strbuf_check(message, err);
}

/* The other side of it. Local. */
static int follow(struct h5whole *whole, char **temp, const char *message, size_t len,
                  struct error *err)
{
    const char *at = message;
    uint64_t name_len;

    whole->image.bytes = unpack_number(&at);
    for (size_t i = 0; i < whole->count; i++)
        whole->arrays[i].at = unpack_number(&at);
    name_len = unpack_number(&at);
    *temp = mem_strndup(at, (size_t)name_len, err);
    at += name_len;
    return *temp ? image_unpack(&whole->image, at, len - (size_t)(at - message), err) : -1;
}

/* All blocks, dealt to the ranks; the hash of the file. rc: whether this rank can. Collective. */
static int write_all(const struct h5whole *whole, const struct dist *dist, int rc, const char *temp,
                     struct hash *hash, struct error *err)
{
    uint64_t blocks = rc == 0 ? seal_blocks(whole->image.bytes) : 0;
    struct hash *hashes = rc == 0 ? mem_alloc(blocks, sizeof(*hashes), err) : NULL;
    uint64_t *bounds = hashes ? mem_alloc((size_t)dist->size + 1, sizeof(*bounds), err) : NULL;

    rc = -1;
    if (bounds) {
        dist_cut(dist, blocks, 1, bounds);
        rc = write_part(whole, temp, bounds[dist->rank], bounds[dist->rank + 1], hashes, err);
    }
    rc = dist_agree(dist, rc, err);
    if (rc == 0)
        *hash = seal_join(dist, hashes, blocks, bounds);
    free(bounds);
    free(hashes);
    return rc;
}

/* Renames; with flush the folder is flushed to disk. Local: rank 0. */
static int show(const char *temp, const char *path, int flush, struct error *err)
{
    if (flush)
        return file_rename(temp, path, err);
    if (rename(temp, path) < 0)
        return error_set(err, "cannot rename '%s' to '%s': %s", temp, path, strerror(errno));
    return 0;
}

/* Writes, seals, with flush brings to disk, and shows the file temp. Collective. */
static int fill_file(const struct h5whole *whole, const struct dist *dist, int rc, const char *temp,
                     int flush, struct error *err)
{
    struct hash hash;

    rc = write_all(whole, dist, rc, temp, &hash, err);
    if (rc < 0)
        return -1;
    if (flush && dist->node != 0 && dist->node_rank == 0) // each node has pages of its own
        rc = file_sync(temp, err);
    if (flush && dist->node_count > 1)
        rc = dist_agree(dist, rc, err);
    if (rc == 0 && dist->rank == 0)
        rc = seal_write(temp, whole->image.bytes, hash, flush, err);
    if (rc == 0 && dist->rank == 0)
        rc = show(temp, whole->path, flush, err);
    return dist_agree(dist, rc, err);
}

/*
 * Few collective calls: where ranks share their cores with others, each costs
 * a turn of the scheduler.
 */
int h5whole_publish(struct h5whole *whole, const struct dist *dist, int rc, const char *spare,
                    int flush, struct error *err)
{
    struct strbuf own = { 0 };
    char *temp = NULL;
    char *message;
    size_t len;

    if (rc == 0 && dist->rank == 0)
        rc = begin(whole, spare, &temp, &own, err);
    message = own.text;
    len = own.len;
    rc = dist_agree(dist, rc, err);
    if (rc == 0)
        rc = dist_bcast_text(dist, &message, &len, 0, err);
    if (rc == 0) {
        if (dist->rank != 0)
            rc = follow(whole, &temp, message, len, err);
        rc = fill_file(whole, dist, rc, temp, flush, err);
    }
    if (rc < 0 && temp && dist->rank == 0)
        (void)unlink(temp);
    if (dist->rank != 0)
        free(message);
    strbuf_release(&own);
    free(temp);
    return rc;
}

void h5whole_close(struct h5whole *whole)
{
    if (!whole)
        return;
    if (whole->id >= 0)
        (void)H5Fclose(whole->id);
    if (whole->driver >= 0)
        (void)H5FDunregister(whole->driver);
    (void)H5Eclear2(H5E_DEFAULT);
    image_release(&whole->image);
    free(whole->arrays);
    free(whole->path);
    free(whole);
}
