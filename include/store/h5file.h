/*
 * store/h5file.h: HDF5 files that all ranks write together and that are there
 * whole or not at all.
 *
 * Writing: h5file_create() opens a new temporary file beside the final path;
 * arrays, texts and numbers are written collectively; h5file_publish() flushes
 * and closes it, hashes its bytes, writes the hash into the file's first 512
 * bytes, flushes it to disk, renames it over the final path and flushes the
 * folder. h5file_close() without publish removes the temporary file. A file
 * whose writer died is never seen under the final path.
 *
 * Reading: h5file_open() verifies the hash of every byte before HDF5 sees the
 * file (the ranks share that work), so a truncated, flipped, empty or foreign
 * file is refused with one message. Reads are Local then: any rank may read
 * any slice at any time.
 *
 * The file: 512 bytes of user block with one line of text (see
 * docs/formats.md), then HDF5 in the format of version 1.10. Arrays have one
 * dimension, chunks of 65,536 elements and Fletcher32 (h5whole.h's are
 * contiguous and have none; both are read); texts are UTF-8
 * strings; numbers are attributes of the root group. The content does not
 * depend on the number of ranks that wrote it.
 *
 * Errors name the file and the reason. The n-th write of ours fails when
 * LOWRANK_FAIL_WRITE=n says so. HDF5 keeps global state: call these from one
 * thread at a time. Nothing is printed.
 */
#ifndef STORE_H5FILE_H
#define STORE_H5FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "dist/dist.h"

enum h5type { H5_INT32, H5_INT64, H5_UINT8, H5_FLOAT32, H5_FLOAT64 };

size_t h5type_size(enum h5type type); // bytes of one element

struct h5file;

/*
 * Begins a new file that will be published as path; the folder must be there.
 * Keeps dist. On failure *file is NULL. Collective.
 */
int h5file_create(struct h5file **file, const struct dist *dist, const char *path,
                  struct error *err);

/*
 * Declares an array of total elements. name, type and total must be the same
 * on all ranks; names are letters, digits, '_' and '-'. Collective.
 */
int h5file_add(struct h5file *file, const char *name, enum h5type type, uint64_t total,
               struct error *err);

/*
 * Writes elements [offset, offset + count) of a declared array; each rank
 * gives its own slice, count may be 0. May be called many times; in the end
 * every element must have been written exactly once, which publish checks by
 * their number (BUG otherwise). Collective.
 */
int h5file_write_slice(struct h5file *file, const char *name, uint64_t offset, uint64_t count,
                       const void *data, struct error *err);

/* h5file_add() and one h5file_write_slice(). Collective. */
int h5file_write(struct h5file *file, const char *name, enum h5type type, uint64_t total,
                 uint64_t offset, uint64_t count, const void *data, struct error *err);

/* A text of any length without zero bytes; rank 0's counts, others may pass NULL. Collective. */
int h5file_put_text(struct h5file *file, const char *name, const char *text, size_t len,
                    struct error *err);

/* A number; rank 0's counts. Collective. */
int h5file_put_i64(struct h5file *file, const char *name, int64_t value, struct error *err);
int h5file_put_f64(struct h5file *file, const char *name, double value, struct error *err);

/*
 * Makes the file visible under its path, replacing what was there. Afterwards
 * only h5file_close() is allowed. On failure the old file at path is as it
 * was and nothing else is left. Collective.
 */
int h5file_publish(struct h5file *file, struct error *err);

/*
 * Opens a published file and verifies all of it: every rank gets the same
 * answer. Keeps dist. On failure *file is NULL. Collective.
 */
int h5file_open(struct h5file **file, const struct dist *dist, const char *path, struct error *err);

/* 1 and *total when an array of that name and type is there, else 0. Local. */
int h5file_find(struct h5file *file, const char *name, enum h5type type, uint64_t *total);

/*
 * Elements [offset, offset + count) of an array into data. A read error is
 * seen only by the rank that touches the bad place: agree before going on.
 * Local.
 */
int h5file_read(struct h5file *file, const char *name, enum h5type type, uint64_t offset,
                uint64_t count, void *data, struct error *err);

/* The whole text in a new block with a zero byte after it; the caller frees it. Local. */
int h5file_get_text(struct h5file *file, const char *name, char **text, size_t *len,
                    struct error *err);

/* Local. */
int h5file_get_i64(struct h5file *file, const char *name, int64_t *value, struct error *err);
int h5file_get_f64(struct h5file *file, const char *name, double *value, struct error *err);

/* Hash of all bytes of the published or opened file. Local. */
struct hash h5file_hash(const struct h5file *file);

/*
 * Whether the path of an opened file still leads to it. Where not, it may have
 * been written over (h5whole.h), and what was read since may be of two files.
 * Local.
 */
int h5file_is_in_place(const struct h5file *file);

/* Closes; removes the temporary file of an unpublished one. Accepts NULL. Collective. */
void h5file_close(struct h5file *file);

/*
 * Removes temporary files that dead writers left in a folder, if they were
 * not touched for age_s seconds (0: all of them; right where only this run
 * writes). Published files and others' files stay. Local: call it on one rank.
 */
int h5file_clean(const char *folder, double age_s, struct error *err);

#endif
