/*
 * store/seal.c: the hash over every byte of a published file.
 *
 * Fletcher32 cannot tell 0x0000 from 0xFFFF, and HDF5 does not survive every
 * broken file; so the whole file is hashed by itself and checked before HDF5
 * opens it. The bytes after the seal are cut into blocks of 1 MiB, each
 * hashed by one rank, and the hash of the block hashes in order is the file's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store_internal.h"

#define SEAL_WORD "lowrank h5file 1 "

static int read_failed(const char *path, struct error *err)
{
    return error_set(err, "cannot read '%s': %s", path, strerror(errno));
}

static int read_fully(int fd, char *buf, size_t len, uint64_t offset)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got = pread(fd, buf + done, len - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = ENODATA;
        if (got <= 0)
            return -1;
        done += (size_t)got;
    }
    return 0;
}

/* hashes[b] for blocks [first, end). Local. */
static int hash_blocks(const char *path, uint64_t bytes, uint64_t first, uint64_t end,
                       struct hash *hashes, struct error *err)
{
    char *buf = mem_alloc(SEAL_BLOCK, 1, err);
    int fd = -1;
    int rc = -1;

    if (!buf)
        return -1;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        (void)read_failed(path, err);
        goto out;
    }
    for (uint64_t b = first; b < end; b++) {
        uint64_t at = SEAL_BYTES + b * SEAL_BLOCK;
        size_t len = (size_t)(bytes - at < SEAL_BLOCK ? bytes - at : SEAL_BLOCK);

        if (read_fully(fd, buf, len, at) < 0) {
            (void)read_failed(path, err);
            goto out;
        }
        hashes[b] = hash_bytes(buf, len);
    }
    rc = 0;
out:
    if (fd >= 0)
        (void)close(fd);
    free(buf);
    return rc;
}

uint64_t seal_blocks(uint64_t bytes)
{
    uint64_t body = bytes - SEAL_BYTES;

    return body / SEAL_BLOCK + (body % SEAL_BLOCK != 0);
}

struct hash seal_join(const struct dist *dist, struct hash *hashes, uint64_t blocks,
                      uint64_t *bounds)
{
    for (int r = 0; r <= dist->size; r++)
        bounds[r] *= sizeof(*hashes);
    dist_gather_pieces(dist, hashes, bounds);
    return hash_bytes(hashes, blocks * sizeof(*hashes));
}

int seal_hash(const struct dist *dist, const char *path, uint64_t bytes, struct hash *hash,
              struct error *err)
{
    uint64_t blocks = seal_blocks(bytes);
    struct hash *hashes = mem_alloc(blocks, sizeof(*hashes), err);
    uint64_t *bounds = hashes ? mem_alloc((size_t)dist->size + 1, sizeof(*bounds), err) : NULL;
    int rc = bounds ? 0 : -1;

    if (rc == 0) {
        dist_cut(dist, blocks, 1, bounds);
        rc = hash_blocks(path, bytes, bounds[dist->rank], bounds[dist->rank + 1], hashes, err);
    }
    rc = dist_agree(dist, rc, err);
    if (rc == 0)
        *hash = seal_join(dist, hashes, blocks, bounds);
    free(bounds);
    free(hashes);
    return rc;
}

static void seal_format(char seal[SEAL_BYTES], uint64_t bytes, struct hash hash)
{
    char text[HASH_TEXT_MAX];

    hash_text(hash, text);
    memset(seal, 0, SEAL_BYTES);
    (void)snprintf(seal, SEAL_BYTES, SEAL_WORD "bytes %llu xxh3 %s\n", (unsigned long long)bytes,
                   text);
}

/* errno says why not. */
static int write_and_flush(int fd, const char seal[SEAL_BYTES], int flush)
{
    ssize_t put;

    if (file_write_must_fail()) {
        errno = ENOSPC;
        return -1;
    }
    do
        put = pwrite(fd, seal, SEAL_BYTES, 0);
    while (put < 0 && errno == EINTR);
    return put != SEAL_BYTES ? -1 : flush ? fsync(fd) : 0;
}

int seal_write(const char *path, uint64_t bytes, struct hash hash, int flush, struct error *err)
{
    char seal[SEAL_BYTES];
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : 0;

    seal_format(seal, bytes, hash);
    if (rc == 0)
        rc = write_and_flush(fd, seal, flush);
    if (rc < 0)
        (void)error_set(err, "cannot write '%s': %s", path, strerror(errno));
    if (fd >= 0 && close(fd) < 0 && rc == 0)
        rc = error_set(err, "cannot write '%s': %s", path, strerror(errno));
    return rc;
}

static int all_zero(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return 0;
    return 1;
}

/* The length that the seal claims; says what is wrong when it is no seal of ours. */
static int claimed_bytes(const char *path, const char seal[SEAL_BYTES], uint64_t *bytes,
                         struct error *err)
{
    const char *number = seal + strlen(SEAL_WORD "bytes ");

    if (all_zero(seal, SEAL_BYTES))
        return error_set(err, "cannot read '%s': it was never finished", path);
    if (memcmp(seal, SEAL_WORD "bytes ", strlen(SEAL_WORD "bytes ")) != 0)
        return error_set(err, "cannot read '%s': not an HDF5 file that lowrank wrote", path);
    *bytes = 0;
    for (int i = 0; i < 19 && number[i] >= '0' && number[i] <= '9'; i++)
        *bytes = *bytes * 10 + (uint64_t)(number[i] - '0');
    return 0;
}

/* Reads the seal and holds its length against the file's. Local. */
static int read_seal(const char *path, char seal[SEAL_BYTES], uint64_t *bytes, struct error *err)
{
    uint64_t claimed = 0;

    if (file_size(path, bytes, err) < 0)
        return -1;
    if (*bytes == 0)
        return error_set(err, "cannot read '%s': it is empty", path);
    if (*bytes <= SEAL_BYTES)
        return error_set(err, "cannot read '%s': it is cut off after %llu bytes", path,
                         (unsigned long long)*bytes);
    if (file_read_at(path, 0, seal, SEAL_BYTES, err) < 0 ||
        claimed_bytes(path, seal, &claimed, err) < 0)
        return -1;
    if (claimed != *bytes)
        return error_set(err, "cannot read '%s': it has %llu bytes instead of %llu", path,
                         (unsigned long long)*bytes, (unsigned long long)claimed);
    return 0;
}

int seal_verify(const struct dist *dist, const char *path, uint64_t *bytes, struct hash *hash,
                struct error *err)
{
    char seal[SEAL_BYTES] = "";
    char expected[SEAL_BYTES];
    int rc = 0;

    *bytes = 0;
    if (dist->rank == 0)
        rc = read_seal(path, seal, bytes, err);
    if (dist_agree(dist, rc, err) < 0)
        return -1;
    dist_bcast(dist, bytes, sizeof(*bytes), 0);
    dist_bcast(dist, seal, sizeof(seal), 0);
    if (seal_hash(dist, path, *bytes, hash, err) < 0)
        return -1;
    seal_format(expected, *bytes, *hash);
    if (memcmp(seal, expected, SEAL_BYTES) != 0)
        return error_set(err, "cannot read '%s': its content does not match its checksum", path);
    return 0;
}
