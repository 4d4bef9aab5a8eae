/*
 * store/h5whole.h: HDF5 files whose arrays every rank already holds.
 *
 * h5file.h writes what is spread over the ranks, through HDF5's collective
 * calls. A state of training is equal on all ranks, is written after every
 * step, and has no time for that. So rank 0 lets HDF5 lay the file out in
 * memory, without the arrays' elements; all ranks get that: the layout and the
 * texts. Then the ranks share the file's bytes, not its arrays: each writes one
 * stretch of them with plain writes, straight from the caller's arrays, and
 * hashes it on the way. Nothing else is exchanged but the hashes.
 *
 *     struct h5whole *whole = NULL;
 *     int rc = -1;
 *     if (h5whole_open(&whole, dist, path, &err) == 0 &&     // Local
 *         h5whole_put_i64(whole, "step", 7, &err) == 0 &&
 *         h5whole_put_array(whole, "params", H5_FLOAT32, n, params, &err) == 0)
 *         rc = 0;
 *     rc = h5whole_publish(whole, dist, rc, NULL, 1, &err);  // Collective
 *     h5whole_close(whole);
 *
 * The file is one of h5file.h's frame, read with h5file_open(), but its arrays
 * are contiguous and have no Fletcher32: the seal covers every byte.
 */
#ifndef STORE_H5WHOLE_H
#define STORE_H5WHOLE_H

#include "store/h5file.h"

struct h5whole;

/* Begins a file that will be published as path; keeps dist. On failure *whole is NULL. Local. */
int h5whole_open(struct h5whole **whole, const struct dist *dist, const char *path,
                 struct error *err);

/* Rank 0's numbers and texts count. Local. */
int h5whole_put_i64(struct h5whole *whole, const char *name, int64_t value, struct error *err);
int h5whole_put_text(struct h5whole *whole, const char *name, const char *text, size_t len,
                     struct error *err);

/* All elements of an array, the same on all ranks; keeps data until publishing. Local. */
int h5whole_put_array(struct h5whole *whole, const char *name, enum h5type type, uint64_t total,
                      const void *data, struct error *err);

/*
 * Writes the file and makes it visible under its path, whole, replacing what
 * was there. rc is what this rank's calls so far returned: when a rank failed,
 * nothing is done. spare, or NULL, names a file that nobody needs: if it is
 * there it is written over, which costs less than new space, and becomes the
 * file. On failure the old file at path is as it was and nothing else is left.
 *
 * flush 0: the disk is not waited for. A process that dies cannot harm the
 * file then, a machine that dies can: it does not verify, or it is still what
 * the spare was, which verifies. So the reader must know by the content which
 * file it is. Collective.
 */
int h5whole_publish(struct h5whole *whole, const struct dist *dist, int rc, const char *spare,
                    int flush, struct error *err);

/* Accepts NULL. Local. */
void h5whole_close(struct h5whole *whole);

#endif
