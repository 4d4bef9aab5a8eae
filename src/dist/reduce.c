/*
 * dist/reduce.c: sums, extremes and prefixes over the ranks.
 *
 * Integer sums are associative, so whatever order MPI adds in, the bits are
 * the same; this is what the whole program's independence of ranks rests on.
 */
#include "dist/dist.h"

#include "dist_internal.h"

#define REDUCE_PIECE ((size_t)1 << 24) // elements; MPI keeps a copy of a message while it adds

void dist_reduce_pieces(const struct dist *dist, void *v, size_t n, size_t elem_size,
                        MPI_Datatype type, MPI_Op op, size_t piece)
{
    char *at = v;

    if (dist->size == 1)
        return;
    while (n > 0) {
        size_t now = n < piece ? n : piece;

        DIST_MPI(MPI_Allreduce(MPI_IN_PLACE, at, (int)now, type, op, dist->comm));
        at += now * elem_size;
        n -= now;
    }
}

void dist_sum_i64(const struct dist *dist, int64_t *v, size_t n)
{
    dist_reduce_pieces(dist, v, n, sizeof(*v), MPI_INT64_T, MPI_SUM, REDUCE_PIECE);
}

void dist_max_i64(const struct dist *dist, int64_t *v, size_t n)
{
    dist_reduce_pieces(dist, v, n, sizeof(*v), MPI_INT64_T, MPI_MAX, REDUCE_PIECE);
}

void dist_min_i64(const struct dist *dist, int64_t *v, size_t n)
{
    dist_reduce_pieces(dist, v, n, sizeof(*v), MPI_INT64_T, MPI_MIN, REDUCE_PIECE);
}

void dist_max_f64(const struct dist *dist, double *v, size_t n)
{
    dist_reduce_pieces(dist, v, n, sizeof(*v), MPI_DOUBLE, MPI_MAX, REDUCE_PIECE);
}

int64_t dist_exscan_i64(const struct dist *dist, int64_t v)
{
    int64_t below = 0;

    DIST_MPI(MPI_Exscan(&v, &below, 1, MPI_INT64_T, MPI_SUM, dist->comm));
    return dist->rank == 0 ? 0 : below; // MPI leaves rank 0's undefined
}
