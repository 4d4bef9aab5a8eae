/*
 * dist_internal.h: pieces of a chosen size, so that tests need no 16 GB array.
 */
#ifndef DIST_INTERNAL_H
#define DIST_INTERNAL_H

#include "dist/dist.h"

/* v[i] = op over the ranks, piece elements a message. Collective. */
void dist_reduce_pieces(const struct dist *dist, void *v, size_t n, size_t elem_size,
                        MPI_Datatype type, MPI_Op op, size_t piece);

/* dist_bcast() with piece bytes a message. Collective. */
void dist_bcast_pieces(const struct dist *dist, void *buf, size_t bytes, int root, size_t piece);

/* dist_gather_pieces() that broadcasts rank by rank when the whole is over limit bytes. Collective. */
void dist_gather_limited(const struct dist *dist, void *buf, const uint64_t *bounds,
                         uint64_t limit);

#endif
