/*
 * base/file.h: files and paths.
 *
 * A file that others may read is written under a temporary name in its own
 * folder, flushed to disk and renamed, and then the folder is flushed: it is
 * there whole or not at all. The environment variable LOWRANK_FAIL_WRITE=n
 * makes the n-th write of ours fail, for tests.
 *
 * Local.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The whole file with a zero byte after it; the caller frees *text. */
int file_read(const char *path, char **text, size_t *len, struct error *err);

/* Bytes [offset, offset + len) into buf; a shorter file is an error. */
int file_read_at(const char *path, uint64_t offset, void *buf, size_t len, struct error *err);

/* Replaces path by these bytes, whole or not at all. */
int file_write(const char *path, const void *bytes, size_t len, struct error *err);

/* Adds a line to the end of a log; flushed to the kernel, not to disk. */
int file_append(const char *path, const void *bytes, size_t len, struct error *err);

/* Copies whole or not at all. */
int file_copy(const char *from, const char *to, struct error *err);

/* Flushes a written file or a folder to disk. */
int file_sync(const char *path, struct error *err);

/* rename() and a flush of the folder. */
int file_rename(const char *from, const char *to, struct error *err);

/* -1 also when there is no such file. */
int file_size(const char *path, uint64_t *bytes, struct error *err);

/* 0 when it can be opened and is empty or has a first byte that can be read. */
int file_can_be_read(const char *path, struct error *err);

int file_exists(const char *path);   // 1 for a file or folder, else 0
int folder_exists(const char *path); // 1 for a folder, else 0

/* mkdir -p. */
int folder_make(const char *path, struct error *err);

/* 0 when folder_make(path) could work: what is there of the path is a folder that may be written to. */
int folder_can_be_made(const char *path, struct error *err);

/* rm -r; a missing folder is no error. */
int folder_remove(const char *path, struct error *err);

/* Sorted names in a folder, without . and ..; release with folder_names_free(). */
int folder_names(const char *path, char ***names, int *count, struct error *err);
void folder_names_free(char **names, int count);

/* "folder/name" in a new string, or name alone when it is absolute; NULL when out of memory. */
char *path_join(const char *folder, const char *name, struct error *err);

/* The folder that holds path, in a new string; NULL when out of memory. */
char *path_parent(const char *path, struct error *err);

/* A file mapped read-only and shared: all ranks of a node have one copy in memory. */
struct file_map {
    const unsigned char *bytes;
    size_t len;
};

int file_map_open(struct file_map *map, const char *path, struct error *err);
void file_map_close(struct file_map *map);

/* True when this write, counted over the process, is the one that LOWRANK_FAIL_WRITE names. */
int file_write_must_fail(void);

#endif
