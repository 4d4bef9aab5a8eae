/*
 * store/space.c: disk space taken before HDF5 writes, and what else is Linux's own.
 *
 * MPI-IO and HDF5 do not come back from a failed write: ranks wait for each
 * other inside them, or crash while closing. So a full disk, a quota or a
 * file size limit must be met before: rank 0 allocates the blocks of all that
 * HDF5 is about to write, and only then is HDF5 called. What was reserved too
 * much is cut off when HDF5 closes the file.
 */
#define _GNU_SOURCE // fallocate(), sync_file_range()
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

/* Local to rank 0. */
static int grow(struct h5file *file, uint64_t end)
{
    int rc;

    if (end == file->reserved)
        return 0;
    if (end > INT64_MAX) {
        errno = EFBIG;
        return -1;
    }
    do
        rc = fallocate(file->fd, 0, (off_t)file->reserved, (off_t)(end - file->reserved));
    while (rc < 0 && errno == EINTR);
    if (rc < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        rc = room_for(file->fd, end - file->reserved);
    return rc;
}

int space_reserve(struct h5file *file, uint64_t bytes, struct error *err)
{
    uint64_t end = file->reserved + bytes;

    if (file_write_must_fail())
        errno = ENOSPC;
    else if (file->dist->rank != 0 || (end >= bytes && grow(file, end) == 0)) {
        file->reserved = end;
        return 0;
    }
    return error_set(err, "cannot write '%s': %s", file->path, strerror(errno));
}

void space_start_flush(int fd)
{
    (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}
