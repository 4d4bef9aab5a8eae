/*
 * base/file.c: reading whole files, replacing them whole, folders, maps.
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int file_write_must_fail(void)
{
    static long left = -1;
    const char *text;

    if (left == -1) {
        text = getenv("LOWRANK_FAIL_WRITE");
        left = text ? strtol(text, NULL, 10) : 0;
    }
    return left > 0 && --left == 0;
}

static int fail(struct error *err, const char *what, const char *path)
{
    return error_set(err, "cannot %s '%s': %s", what, path, strerror(errno));
}

static int read_all(int fd, char *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got = read(fd, buf + done, len - done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got == 0 ? ENODATA : errno;
            return -1;
        }
        done += (size_t)got;
    }
    return 0;
}

static int write_all(int fd, const char *buf, size_t len)
{
    size_t done = 0;

    if (file_write_must_fail()) {
        errno = ENOSPC;
        return -1;
    }
    while (done < len) {
        ssize_t put = write(fd, buf + done, len - done);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        done += (size_t)put;
    }
    return 0;
}

/* Opens a regular file for reading and tells its size. */
static int open_regular(const char *path, size_t *len, struct error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return fail(err, "read", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)error_set(err, "cannot read '%s': not a regular file", path);
        (void)close(fd);
        return -1;
    }
    *len = (size_t)st.st_size;
    return fd;
}

int file_can_be_read(const char *path, struct error *err)
{
    size_t len;
    int fd = open_regular(path, &len, err), rc = 0;
    char first;

    if (fd < 0)
        return -1;
    if (len > 0 && read_all(fd, &first, 1) < 0)
        rc = fail(err, "read", path);
    (void)close(fd);
    return rc;
}

int file_read(const char *path, char **text, size_t *len, struct error *err)
{
    int fd = open_regular(path, len, err);
    char *buf = NULL;
    int rc = -1;

    *text = NULL;
    if (fd < 0)
        return -1;
    buf = mem_alloc(size_add(*len, 1), 1, err);
    if (!buf)
        goto out;
    if (read_all(fd, buf, *len) < 0) {
        (void)fail(err, "read", path);
        goto out;
    }
    *text = buf;
    buf = NULL;
    rc = 0;
out:
    free(buf);
    (void)close(fd);
    return rc;
}

int file_read_at(const char *path, uint64_t offset, void *buf, size_t len, struct error *err)
{
    size_t size;
    int fd = open_regular(path, &size, err);
    int rc = -1;

    if (fd < 0)
        return -1;
    if (offset > size || len > size - offset)
        (void)error_set(err, "cannot read '%s': it ends at byte %zu", path, size);
    else if (lseek(fd, (off_t)offset, SEEK_SET) < 0 || read_all(fd, buf, len) < 0)
        (void)fail(err, "read", path);
    else
        rc = 0;
    (void)close(fd);
    return rc;
}

char *path_parent(const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return mem_strdup(".", err);
    return mem_strndup(path, slash == path ? 1 : (size_t)(slash - path), err);
}

int file_sync(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return fail(err, "flush", path);
    rc = fsync(fd);
    if (rc < 0 && errno == EINVAL) // some file systems cannot flush a folder
        rc = 0;
    if (rc < 0)
        (void)fail(err, "flush", path);
    (void)close(fd);
    return rc;
}

int file_rename(const char *from, const char *to, struct error *err)
{
    char *parent = path_parent(to, err);
    int rc = -1;

    if (!parent)
        return -1;
    if (rename(from, to) < 0)
        (void)error_set(err, "cannot rename '%s' to '%s': %s", from, to, strerror(errno));
    else
        rc = file_sync(parent, err);
    free(parent);
    return rc;
}

int file_write(const char *path, const void *bytes, size_t len, struct error *err)
{
    char *temp = mem_alloc(strlen(path) + 32, 1, err);
    int fd = -1;
    int rc = -1;

    if (!temp)
        return -1;
    (void)snprintf(temp, strlen(path) + 32, "%s.tmp-%ld", path, (long)getpid());
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        (void)fail(err, "write", path);
        goto out;
    }
    if (write_all(fd, bytes, len) < 0 || fsync(fd) < 0) {
        (void)fail(err, "write", path);
        goto out;
    }
    if (close(fd) < 0) {
        fd = -1;
        (void)fail(err, "write", path);
        goto out;
    }
    fd = -1;
    rc = file_rename(temp, path, err);
out:
    if (fd >= 0)
        (void)close(fd);
    if (rc < 0)
        (void)unlink(temp);
    free(temp);
    return rc;
}

int file_append(const char *path, const void *bytes, size_t len, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int rc;

    if (fd < 0)
        return fail(err, "write", path);
    rc = write_all(fd, bytes, len);
    if (rc < 0)
        (void)fail(err, "write", path);
    if (close(fd) < 0 && rc == 0)
        rc = fail(err, "write", path);
    return rc;
}

int file_copy(const char *from, const char *to, struct error *err)
{
    char *bytes = NULL;
    size_t len;
    int rc;

    if (file_read(from, &bytes, &len, err) < 0)
        return -1;
    rc = file_write(to, bytes, len, err);
    free(bytes);
    return rc;
}

int file_size(const char *path, uint64_t *bytes, struct error *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return fail(err, "read", path);
    *bytes = (uint64_t)st.st_size;
    return 0;
}

int file_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

int folder_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int folder_make(const char *path, struct error *err)
{
    char *part = mem_strdup(path, err);
    int rc = 0;

    if (!part)
        return -1;
    for (char *at = part + 1; rc == 0; at++) {
        char c = *at;

        if (c != '/' && c != '\0')
            continue;
        *at = '\0';
        if (mkdir(part, 0777) < 0 && errno != EEXIST)
            rc = fail(err, "make folder", part);
        *at = c;
        if (c == '\0')
            break;
    }
    if (rc == 0 && !folder_exists(path))
        rc = error_set(err, "cannot make folder '%s': a file of that name is there", path);
    free(part);
    return rc;
}

int folder_can_be_made(const char *path, struct error *err)
{
    char *part = mem_strdup(path[0] ? path : ".", err);
    int rc = part ? 0 : -1;

    while (rc == 0 && access(part, F_OK) < 0 && errno == ENOENT) { // up to what is there
        char *slash = strrchr(part, '/');

        if (slash && slash > part)
            *slash = '\0';
        else
            memcpy(part, slash ? "/" : ".", 2);
    }
    if (rc == 0 && access(part, W_OK | X_OK) < 0)
        rc = fail(err, "write to folder", part);
    else if (rc == 0 && !folder_exists(part))
        rc = error_set(err, "'%s' is no folder", part);
    free(part);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void folder_names_free(char **names, int count)
{
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

int folder_names(const char *path, char ***names, int *count, struct error *err)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    size_t cap = 0;
    int rc = -1;

    *names = NULL;
    *count = 0;
    if (!dir)
        return fail(err, "list folder", path);
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (mem_grow(names, &cap, (size_t)*count + 1, sizeof(**names), err) < 0)
            goto out;
        (*names)[*count] = mem_strdup(entry->d_name, err);
        if (!(*names)[*count])
            goto out;
        (*count)++;
    }
    if (*count > 0)
        qsort(*names, (size_t)*count, sizeof(**names), compare_names);
    rc = 0;
out:
    (void)closedir(dir);
    if (rc < 0) {
        folder_names_free(*names, *count);
        *names = NULL;
        *count = 0;
    }
    return rc;
}

int folder_remove(const char *path, struct error *err)
{
    char **names = NULL;
    int count = 0;
    int rc = 0;

    if (!folder_exists(path))
        return 0;
    if (folder_names(path, &names, &count, err) < 0)
        return -1;
    for (int i = 0; i < count && rc == 0; i++) {
        char *child = path_join(path, names[i], err);
        struct stat st;

        if (!child)
            rc = -1;
        else if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
            rc = folder_remove(child, err);
        else if (unlink(child) < 0 && errno != ENOENT)
            rc = fail(err, "remove", child);
        free(child);
    }
    folder_names_free(names, count);
    if (rc == 0 && rmdir(path) < 0 && errno != ENOENT)
        rc = fail(err, "remove folder", path);
    return rc;
}

char *path_join(const char *folder, const char *name, struct error *err)
{
    size_t len = strlen(folder) + strlen(name) + 2;
    char *path;

    if (name[0] == '/' || folder[0] == '\0')
        return mem_strdup(name, err);
    path = mem_alloc(len, 1, err);
    if (path)
        (void)snprintf(path, len, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/",
                       name);
    return path;
}

int file_map_open(struct file_map *map, const char *path, struct error *err)
{
    size_t len;
    int fd = open_regular(path, &len, err);
    void *bytes = NULL;

    *map = (struct file_map){ 0 };
    if (fd < 0)
        return -1;
    if (len > 0)
        bytes = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        (void)fail(err, "map", path);
        (void)close(fd);
        return -1;
    }
    (void)close(fd);
    map->bytes = bytes;
    map->len = len;
    return 0;
}

void file_map_close(struct file_map *map)
{
    if (map->bytes)
        (void)munmap((void *)(uintptr_t)map->bytes, map->len);
    *map = (struct file_map){ 0 };
}
