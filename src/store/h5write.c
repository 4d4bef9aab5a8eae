/*
 * store/h5write.c: the collective writing half, up to publication.
 *
 * Whatever may fail on one rank is done and agreed upon before HDF5 is called,
 * so that its own collectives are entered by all ranks or by none: above all
 * the disk space is taken first (space.c). What then still fails inside HDF5
 * (a broken disk) ends the job: there is no way back from there.
 *
 * No aggregation of small blocks: HDF5 would leave unwritten gaps, whose bytes
 * depend on the MPI-IO library.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store_internal.h"

/* Upper bounds of what HDF5 needs beside the data, in bytes. */
#define SPACE_FILE   65536 // superblock, root group
#define SPACE_OBJECT 4096  // header of an array, a text or a number
#define SPACE_CHUNK  64    // checksum and index entry

/* Marks the file as spoiled on all ranks when one failed. Collective. */
static int settle(struct h5file *file, int rc, struct error *err)
{
    rc = dist_agree(file->dist, rc, err);
    if (rc < 0)
        file->failed = 1;
    return rc;
}

/*
 * Before each write: takes the disk space that it needs at most. Ends with the
 * same answer on all ranks. Collective.
 */
static int may_write(struct h5file *file, uint64_t bytes, struct error *err)
{
    if (!file->writing)
        BUG("'%s' is not open for writing", file->path);
    if (file->failed)
        return error_set(err, "cannot write '%s': an earlier write failed", file->path);
    return settle(file, space_reserve(file, bytes, err), err);
}

/* Claims a new name beside path; a plain open() says more than HDF5 would. Local to rank 0. */
static int claim_temp(struct h5file *file, struct error *err)
{
    file->temp = h5file_temp_name(file->path, err);
    if (!file->temp)
        return -1;
    file->fd = open(file->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd < 0) {
        (void)error_set(err, "cannot write '%s': %s", file->path, strerror(errno));
        free(file->temp);
        file->temp = NULL;
        return -1;
    }
    return 0;
}

/* The new file's name on all ranks, and room for what HDF5 writes at first. Collective. */
static int share_temp(struct h5file *file, struct error *err)
{
    size_t len = 0;
    int rc = 0;

    if (file->dist->rank == 0) {
        rc = claim_temp(file, err);
        len = file->temp ? strlen(file->temp) : 0;
    }
    if (dist_agree(file->dist, rc, err) < 0 ||
        dist_bcast_text(file->dist, &file->temp, &len, 0, err) < 0)
        return -1;
    return settle(file, space_reserve(file, SPACE_FILE, err), err);
}

static hid_t access_list(const struct dist *dist)
{
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);

    if (list < 0 || H5Pset_fapl_mpio(list, dist->comm, MPI_INFO_NULL) < 0 ||
        H5Pset_libver_bounds(list, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 ||
        H5Pset_coll_metadata_write(list, 1) < 0 || H5Pset_meta_block_size(list, 0) < 0 ||
        H5Pset_small_data_block_size(list, 0) < 0)
        BUG("HDF5 was built without MPI");
#if H5_VERSION_GE(1, 10, 7)
    (void)H5Pset_file_locking(list, 0, 1); // not every cluster file system has locks
#endif
    return list;
}

/* H5Fcreate() cuts the file to nothing, so the space is taken anew. Collective. */
static int create_hdf5(struct h5file *file, struct error *err)
{
    hid_t access = access_list(file->dist);
    hid_t creation = h5file_creation_list();
    int rc = 0;

    file->id = H5Fcreate(file->temp, H5F_ACC_TRUNC, creation, access);
    if (file->id < 0)
        rc = h5file_fail(file->path, "write", err);
    (void)H5Pclose(creation);
    (void)H5Pclose(access);
    if (settle(file, rc, err) < 0)
        return -1;
    file->reserved = 0;
    return settle(file, space_reserve(file, SPACE_FILE, err), err);
}

int h5file_create(struct h5file **out, const struct dist *dist, const char *path, struct error *err)
{
    struct h5file *file = mem_alloc(1, sizeof(*file), err);
    int rc = -1;

    *out = NULL;
    h5file_tame();
    if (file) {
        file->dist = dist;
        file->id = -1;
        file->fd = -1;
        file->writing = 1;
        file->path = mem_strdup(path, err);
        rc = file->path ? 0 : -1;
    }
    if (dist_agree(dist, rc, err) < 0) {
        if (file)
            free(file->path);
        free(file);
        return -1;
    }
    if (share_temp(file, err) < 0 || create_hdf5(file, err) < 0) {
        h5file_close(file);
        return -1;
    }
    *out = file;
    return 0;
}

static void check_name(const struct h5file *file, const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len >= H5FILE_NAME)
        BUG("'%s': a name of %zu bytes", file->path, len);
    for (size_t i = 0; i < len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", name[i]))
            BUG("'%s': the name '%s'", file->path, name);
}

/* Chunks with Fletcher32; an empty array has no chunks. */
static hid_t array_list(uint64_t total)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk = total < H5FILE_CHUNK ? total : H5FILE_CHUNK;

    if (list < 0 || H5Pset_obj_track_times(list, 0) < 0 ||
        H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) < 0 ||
        (total > 0 && (H5Pset_chunk(list, 1, &chunk) < 0 || H5Pset_fletcher32(list) < 0)))
        BUG("HDF5 refuses its own settings");
    return list;
}

/* The last of several chunks takes as much space as the others. */
static uint64_t array_bytes(enum h5type type, uint64_t total)
{
    uint64_t chunks = total / H5FILE_CHUNK + (total % H5FILE_CHUNK != 0);
    uint64_t elements = chunks > 1 ? size_mul(chunks, H5FILE_CHUNK) : total;

    return size_add(size_add(size_mul(elements, h5type_size(type)), size_mul(chunks, SPACE_CHUNK)),
                    SPACE_OBJECT);
}

int h5file_add(struct h5file *file, const char *name, enum h5type type, uint64_t total,
               struct error *err)
{
    hsize_t dims = total;
    struct h5array *array;
    hid_t space;
    hid_t list;
    int rc;

    check_name(file, name);
    dist_assert_same(file->dist, total);
    if (may_write(file, array_bytes(type, total), err) < 0)
        return -1;
    array = h5file_new_array(file, name, err);
    if (settle(file, array ? 0 : -1, err) < 0)
        return -1;
    array->type = type;
    array->total = total;
    space = H5Screate_simple(1, &dims, NULL);
    list = array_list(total);
    array->id =
        H5Dcreate2(file->id, name, h5type_stored(type), space, H5P_DEFAULT, list, H5P_DEFAULT);
    rc = array->id < 0 ? h5file_fail(file->path, "write", err) : 0;
    (void)H5Pclose(list);
    (void)H5Sclose(space);
    return settle(file, rc, err);
}

/* One collective H5Dwrite of this rank's slice, which may be empty. */
static void write_slice(const struct h5file *file, const struct h5array *array, uint64_t offset,
                        uint64_t count, const void *data)
{
    hsize_t start = offset;
    hsize_t length = count;
    hid_t from = H5Screate_simple(1, &length, NULL);
    hid_t to = H5Dget_space(array->id);
    hid_t list = H5Pcreate(H5P_DATASET_XFER);
    herr_t rc;

    if (from < 0 || to < 0 || list < 0 || H5Pset_dxpl_mpio(list, H5FD_MPIO_COLLECTIVE) < 0)
        h5file_die(file, "write");
    if (count > 0)
        rc = H5Sselect_hyperslab(to, H5S_SELECT_SET, &start, NULL, &length, NULL);
    else
        rc = H5Sselect_none(from) < 0 ? -1 : H5Sselect_none(to);
    if (rc < 0 || H5Dwrite(array->id, h5type_native(array->type), from, to, list, data) < 0)
        h5file_die(file, "write");
    (void)H5Pclose(list);
    (void)H5Sclose(to);
    (void)H5Sclose(from);
}

int h5file_write_slice(struct h5file *file, const char *name, uint64_t offset, uint64_t count,
                       const void *data, struct error *err)
{
    struct h5array *array = h5file_array(file, name);
    int64_t sum = (int64_t)count;
    static const char nothing[1];

    if (!array)
        BUG("'%s': the array '%s' was not declared", file->path, name);
    if (offset > array->total || count > array->total - offset)
        BUG("'%s': %llu elements at %llu of '%s', which has %llu", file->path,
            (unsigned long long)count, (unsigned long long)offset, name,
            (unsigned long long)array->total);
    if (may_write(file, 0, err) < 0)
        return -1;
    dist_sum_i64(file->dist, &sum, 1);
    array->written += (uint64_t)sum;
    if (sum > 0)
        write_slice(file, array, offset, count, count ? data : nothing);
    return 0;
}

int h5file_write(struct h5file *file, const char *name, enum h5type type, uint64_t total,
                 uint64_t offset, uint64_t count, const void *data, struct error *err)
{
    if (h5file_add(file, name, type, total, err) < 0)
        return -1;
    return h5file_write_slice(file, name, offset, count, data, err);
}

int h5file_put_text(struct h5file *file, const char *name, const char *text, size_t len,
                    struct error *err)
{
    uint64_t length = len;
    int rc = 0;

    check_name(file, name);
    dist_bcast(file->dist, &length, sizeof(length), 0);
    if (may_write(file, size_add(length, SPACE_OBJECT), err) < 0)
        return -1;
    if (file->dist->rank == 0 && len > 0 && memchr(text, '\0', len))
        rc = error_set(err, "cannot write '%s': the text '%s' holds a zero byte", file->path, name);
    if (settle(file, rc, err) < 0)
        return -1;
    if (h5put_text(file->id, name, file->dist->rank == 0 ? text : NULL, (size_t)length) < 0)
        h5file_die(file, "write");
    return 0;
}

static int put_number(struct h5file *file, const char *name, enum h5type type, const void *value,
                      struct error *err)
{
    check_name(file, name);
    if (may_write(file, SPACE_OBJECT, err) < 0)
        return -1;
    if (h5put_number(file->id, name, type, value) < 0)
        h5file_die(file, "write");
    return 0;
}

int h5file_put_i64(struct h5file *file, const char *name, int64_t value, struct error *err)
{
    dist_bcast(file->dist, &value, sizeof(value), 0);
    return put_number(file, name, H5_INT64, &value, err);
}

int h5file_put_f64(struct h5file *file, const char *name, double value, struct error *err)
{
    dist_bcast(file->dist, &value, sizeof(value), 0);
    return put_number(file, name, H5_FLOAT64, &value, err);
}

/* Closes HDF5's side, which writes what it still holds back. Collective. */
static void finish_hdf5(struct h5file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        struct h5array *array = &file->arrays[i];

        if (array->written != array->total)
            BUG("'%s': %llu of %llu elements of '%s' were written", file->path,
                (unsigned long long)array->written, (unsigned long long)array->total, array->name);
        if (H5Dclose(array->id) < 0)
            h5file_die(file, "write");
        array->id = -1;
    }
    if (H5Fclose(file->id) < 0)
        h5file_die(file, "write");
    file->id = -1;
    dist_barrier(file->dist); // all have let go of the file before anyone reads it
}

/*
 * Hashes and seals the closed file. Rank 0 flushes it to disk while sealing;
 * other nodes hold pages of their own. Collective.
 */
static int seal_temp(struct h5file *file, struct error *err)
{
    const struct dist *dist = file->dist;
    int rc = 0;

    if (dist->node_rank == 0 && dist->node != 0)
        rc = file_sync(file->temp, err);
    if (dist->rank == 0 && rc == 0)
        rc = file_size(file->temp, &file->bytes, err);
    if (settle(file, rc, err) < 0)
        return -1;
    dist_bcast(dist, &file->bytes, sizeof(file->bytes), 0);
    if (settle(file, seal_hash(dist, file->temp, file->bytes, &file->hash, err), err) < 0)
        return -1;
    if (dist->rank == 0)
        rc = seal_write(file->temp, file->bytes, file->hash, 1, err);
    return settle(file, rc, err);
}

int h5file_publish(struct h5file *file, struct error *err)
{
    int rc = 0;

    if (may_write(file, 0, err) < 0)
        return -1;
    finish_hdf5(file);
    if (seal_temp(file, err) < 0)
        return -1;
    if (file->dist->rank == 0)
        rc = file_rename(file->temp, file->path, err);
    if (settle(file, rc, err) < 0)
        return -1;
    file->writing = 0;
    free(file->temp);
    file->temp = NULL;
    return 0;
}
