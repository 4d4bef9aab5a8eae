/*
 * store_internal.h: what the writing and the reading half share.
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <hdf5.h>
#include <sys/types.h>

#include "base/strbuf.h"
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
    dev_t device; // which file was opened for reading
    ino_t inode;
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
int h5file_fail(const char *path, const char *what, struct error *err);

/* Something that cannot be mended failed inside HDF5: one line, then MPI_Abort. Local. */
void h5file_die(const struct h5file *file, const char *what) __attribute__((noreturn));

/* What both ways of writing put into a file. 0, or -1 with HDF5's error stack. Local. */
hid_t h5file_creation_list(void);
int h5put_text(hid_t file, const char *name, const char *text, size_t len); // text NULL: no content
int h5put_number(hid_t file, const char *name, enum h5type type, const void *value);

/* A new temporary name beside path, in a new string. Local. */
char *h5file_temp_name(const char *path, struct error *err);

/*
 * A file in memory, for h5whole.c: what HDF5 writes, page by page, and zeros
 * between. Accepts { 0 }.
 */
struct image {
    char **pages;
    size_t count, cap;
    uint64_t bytes; // length, known once HDF5 has closed it
    int starved;    // memory was out: it is not whole
};

/* Makes access write to image, which must outlive the file; H5FDunregister() the result. Local. */
hid_t image_driver(hid_t access, struct image *image);
void image_read(const struct image *image, uint64_t addr, size_t size, void *buf);
void image_release(struct image *image);

/* The pages as bytes for another rank, and back. Local. */
void image_pack(const struct image *image, struct strbuf *out);
int image_unpack(struct image *image, const char *packed, size_t len, struct error *err);

/*
 * Takes disk space for bytes more; on failure the file may still be closed.
 * Counts as one write of ours. Only rank 0 does more than count. Local.
 */
int space_reserve(struct h5file *file, uint64_t bytes, struct error *err);

/* Takes disk space for bytes [from, to) of an open file; errno says why not. Local. */
int space_take(int fd, uint64_t from, uint64_t to);

/*
 * The seal: the first 512 bytes of a file hold its length and the hash of
 * what follows, as one line of text and zeros.
 */
#define SEAL_BYTES 512
#define SEAL_BLOCK ((uint64_t)1 << 20) // what is hashed at once, from SEAL_BYTES on

uint64_t seal_blocks(uint64_t bytes); // how many a file of that length has

/*
 * Joins the hashes of blocks [bounds[rank], bounds[rank + 1]) of all ranks to
 * that of the file; the caller's bounds become those of bytes. Collective.
 */
struct hash seal_join(const struct dist *dist, struct hash *hashes, uint64_t blocks,
                      uint64_t *bounds);

/* Hash of bytes [512, bytes) of the file at path; the ranks share the work. Collective. */
int seal_hash(const struct dist *dist, const char *path, uint64_t bytes, struct hash *hash,
              struct error *err);

/* Writes the seal and, with flush, flushes the file to disk. Local. */
int seal_write(const char *path, uint64_t bytes, struct hash hash, int flush, struct error *err);

/* Checks length, seal and hash; one message names file and reason. Collective. */
int seal_verify(const struct dist *dist, const char *path, uint64_t *bytes, struct hash *hash,
                struct error *err);

#endif
