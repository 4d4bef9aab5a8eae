/*
 * store_internal.h: what the writing and the reading half share.
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <hdf5.h>

#include "store/h5file.h"

#define H5FILE_CHUNK 65536 // elements
#define H5FILE_NAME  64    // longest name with its zero
#define H5FILE_TEMP  ".h5tmp-"

struct h5array {
    char name[H5FILE_NAME];
    hid_t id;
    enum h5type type;
    uint64_t total;
    uint64_t written; // elements, over all ranks
};

struct h5file {
    const struct dist *dist;
    char *path;
    char *temp;        // NULL when reading and once published
    hid_t id;          // negative: none
    int writing;       // created, not yet published
    int failed;        // something could not be written: no more is
    int fd;            // rank 0 while writing, for space_reserve(); else negative
    uint64_t reserved; // bytes that the file may grow to
    struct h5array *arrays;
    size_t count, cap;
    struct hash hash;
    uint64_t bytes;
};

/* Local. */
hid_t h5type_stored(enum h5type type);
hid_t h5type_native(enum h5type type);
struct h5array *h5file_array(struct h5file *file, const char *name);

/* Room for one more array, id closed with the file; NULL with err. Local. */
struct h5array *h5file_new_array(struct h5file *file, const char *name, struct error *err);

/* No output of its own, no plug-ins loaded because a file asks for them. Local. */
void h5file_tame(void);

/* "cannot <what> '<path>': <HDF5's innermost reason>"; returns -1. Local. */
int h5file_fail(const struct h5file *file, const char *what, struct error *err);

/* Something that cannot be mended failed inside HDF5: one line, then MPI_Abort. Local. */
void h5file_die(const struct h5file *file, const char *what) __attribute__((noreturn));

/*
 * Takes disk space for bytes more; on failure the file may still be closed.
 * Counts as one write of ours. Only rank 0 does more than count. Local.
 */
int space_reserve(struct h5file *file, uint64_t bytes, struct error *err);

/* Starts writing a file's pages to disk and does not wait. Local; a failure does not matter. */
void space_start_flush(int fd);

/*
 * The seal: the first 512 bytes of a file hold its length and the hash of
 * what follows, as one line of text and zeros.
 */
#define SEAL_BYTES 512

/* Hash of bytes [512, bytes) of the file at path; the ranks share the work. Collective. */
int seal_hash(const struct dist *dist, const char *path, uint64_t bytes, struct hash *hash,
              struct error *err);

/* Writes the seal and flushes the file to disk, or only starts that. Local. */
int seal_write(const char *path, uint64_t bytes, struct hash hash, int flush, struct error *err);

/* Checks length, seal and hash; one message names file and reason. Collective. */
int seal_verify(const struct dist *dist, const char *path, uint64_t *bytes, struct hash *hash,
                struct error *err);

#endif
