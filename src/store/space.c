/*
 * store/space.c: disk space taken before HDF5 writes.
 *
 * MPI-IO and HDF5 do not come back from a failed write: ranks wait for each
 * other inside them, or crash while closing. So a full disk, a quota or a
 * file size limit must be met before: rank 0 allocates the blocks of all that
 * HDF5 is about to write, and only then is HDF5 called. What was reserved too
 * much is cut off when HDF5 closes the file.
 */
#define _GNU_SOURCE // fallocate()
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "store_internal.h"

/* File systems without fallocate(): at least there is room now. */
static int room_for(int fd, uint64_t bytes)
{
    struct statvfs fs;

    if (fstatvfs(fd, &fs) < 0)
        return -1;
    if (fs.f_bavail < bytes / fs.f_frsize + 1) {
        errno = ENOSPC;
        return -1;
    }
    return 0;
}

int space_take(int fd, uint64_t from, uint64_t to)
{
    int rc;

    if (from == to)
        return 0;
    if (to > INT64_MAX) {
        errno = EFBIG;
        return -1;
    }
    do
        rc = fallocate(fd, 0, (off_t)from, (off_t)(to - from));
    while (rc < 0 && errno == EINTR);
    if (rc < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        rc = room_for(fd, to - from);
    return rc;
}

int space_reserve(struct h5file *file, uint64_t bytes, struct error *err)
{
    uint64_t end = file->reserved + bytes;

    if (file_write_must_fail())
        errno = ENOSPC;
    else if (file->dist->rank != 0 ||
             (end >= bytes && space_take(file->fd, file->reserved, end) == 0)) {
        file->reserved = end;
        return 0;
    }
    return error_set(err, "cannot write '%s': %s", file->path, strerror(errno));
}
