/*
 * dist/exchange.c: bytes from one rank to all, and from all to all.
 */
#include "dist/dist.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dist_internal.h"

#define BCAST_PIECE ((size_t)1 << 30) // bytes of one message

void dist_bcast_pieces(const struct dist *dist, void *buf, size_t bytes, int root, size_t piece)
{
    char *at = buf;

    if (dist->size == 1)
        return;
    while (bytes > 0) {
        size_t now = bytes < piece ? bytes : piece;

        DIST_MPI(MPI_Bcast(at, (int)now, MPI_BYTE, root, dist->comm));
        at += now;
        bytes -= now;
    }
}

void dist_bcast(const struct dist *dist, void *buf, size_t bytes, int root)
{
    dist_bcast_pieces(dist, buf, bytes, root, BCAST_PIECE);
}

int dist_bcast_text(const struct dist *dist, char **text, size_t *len, int root, struct error *err)
{
    uint64_t head[2] = { 0 }; // there is a text; its length
    int rc = 0;

    if (dist->rank == root) {
        head[0] = *text != NULL;
        head[1] = *text ? *len : 0;
    }
    dist_bcast(dist, head, sizeof(head), root);
    *len = (size_t)head[1];
    if (dist->rank != root) {
        *text = NULL;
        if (head[0]) {
            *text = mem_alloc(size_add(*len, 1), 1, err);
            rc = *text ? 0 : -1;
        }
    }
    if (dist_agree(dist, rc, err) < 0) {
        if (dist->rank != root) {
            free(*text);
            *text = NULL;
        }
        return -1;
    }
    dist_bcast(dist, *text, *len, root);
    return 0;
}

void dist_gather_i64(const struct dist *dist, const int64_t *v, size_t n, int64_t *all)
{
    if (n > INT_MAX)
        BUG("%zu numbers of every rank at once", n);
    DIST_MPI(MPI_Allgather(v, (int)n, MPI_INT64_T, all, (int)n, MPI_INT64_T, dist->comm));
}

/* MPI_Allgatherv wants int arrays; they fit here because the whole does. */
static void gather_at_once(const struct dist *dist, char *buf, const uint64_t *bounds, int *counts)
{
    int *starts = counts + dist->size;

    for (int r = 0; r < dist->size; r++) {
        counts[r] = (int)(bounds[r + 1] - bounds[r]);
        starts[r] = (int)bounds[r];
    }
    DIST_MPI(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, buf, counts, starts, MPI_BYTE,
                            dist->comm));
}

void dist_gather_limited(const struct dist *dist, void *buf, const uint64_t *bounds, uint64_t limit)
{
    char *bytes = buf;
    int *counts;
    int64_t have;
    struct error err;

    if (dist->size == 1)
        return;
    counts = mem_alloc((size_t)dist->size, 2 * sizeof(*counts), &err);
    have = counts != NULL && bounds[dist->size] <= limit;
    dist_min_i64(dist, &have, 1); // without memory on one rank, all take the other way
    if (have)
        gather_at_once(dist, bytes, bounds, counts);
    for (int r = 0; r < dist->size && !have; r++)
        dist_bcast(dist, bytes + bounds[r], (size_t)(bounds[r + 1] - bounds[r]), r);
    free(counts);
}

void dist_gather_pieces(const struct dist *dist, void *buf, const uint64_t *bounds)
{
    dist_gather_limited(dist, buf, bounds, INT_MAX);
}

/* bounds[r] = bytes of the ranks below r; -1 when they are more than memory can name. */
static int bounds_of_lens(const struct dist *dist, uint64_t len, uint64_t *bounds, uint64_t *lens,
                          struct error *err)
{
    DIST_MPI(MPI_Allgather(&len, 1, MPI_UINT64_T, bounds + 1, 1, MPI_UINT64_T, dist->comm));
    bounds[0] = 0;
    for (int r = 0; r < dist->size; r++) {
        if (lens)
            lens[r] = bounds[r + 1];
        bounds[r + 1] = size_add(bounds[r], bounds[r + 1]);
    }
    if (bounds[dist->size] == SIZE_MAX)
        return error_set(err, "out of memory: the ranks' parts together are too long");
    return 0;
}

int dist_gather_bytes(const struct dist *dist, const void *bytes, size_t len, char **all,
                      size_t *total, uint64_t *lens, struct error *err)
{
    uint64_t *bounds = mem_alloc((size_t)dist->size + 1, sizeof(*bounds), err);
    int rc;

    *all = NULL;
    *total = 0;
    rc = dist_agree(dist, bounds ? 0 : -1, err);
    if (rc < 0)
        goto out;
    rc = bounds_of_lens(dist, len, bounds, lens, err);
    if (rc == 0) {
        *all = mem_alloc(size_add(bounds[dist->size], 1), 1, err);
        rc = *all ? 0 : -1;
    }
    rc = dist_agree(dist, rc, err);
    if (rc < 0) {
        free(*all);
        *all = NULL;
        goto out;
    }
    if (len > 0)
        memcpy(*all + bounds[dist->rank], bytes, len);
    dist_gather_pieces(dist, *all, bounds);
    *total = (size_t)bounds[dist->size];
out:
    free(bounds);
    return rc;
}

void dist_cut(const struct dist *dist, uint64_t count, uint64_t align, uint64_t *bounds)
{
    uint64_t units = count / align + (count % align != 0);
    uint64_t each = units / (uint64_t)dist->size;
    uint64_t more = units % (uint64_t)dist->size; // the first ranks take one more

    for (int r = 0; r < dist->size; r++) {
        uint64_t first = each * (uint64_t)r + ((uint64_t)r < more ? (uint64_t)r : more);

        bounds[r] = first < units ? first * align : count;
    }
    bounds[dist->size] = count;
}
