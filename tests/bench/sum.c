/*
 * Seconds of one sum over the ranks, with nothing computed beside it.
 *
 *     mpirun -n N sum [NUMBERS ...]
 *
 * For each length: dist/sum.h, and MPI_Allreduce for comparison, the best and
 * the median of 15, taken in turns; a line each: "ranks numbers best median
 * best median". Every sum is checked.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "dist/sum.h"

enum { TIMES = 15 };

static int64_t *fill(int64_t *v, size_t n, int rank)
{
    for (size_t i = 0; i < n; i++)
        v[i] = (int64_t)i + rank;
    return v;
}

static void check(const int64_t *v, size_t n, int size)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] != (int64_t)i * size + (int64_t)size * (size - 1) / 2)
            BUG("number %zu of the sum is wrong", i);
}

/* Seconds of the slowest rank. */
static double timed(const struct dist *dist, struct dist_sum *sum, int64_t *v, size_t n)
{
    double start, spent;

    (void)fill(v, n, dist->rank);
    dist_barrier(dist);
    start = clock_s();
    if (sum) {
        dist_sum_begin(sum, v);
        dist_sum_wait(sum);
    } else {
        dist_sum_i64(dist, v, n);
    }
    spent = clock_s() - start;
    dist_max_f64(dist, &spent, 1);
    check(v, n, dist->size);
    return spent;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure(const struct dist *dist, size_t n)
{
    double ours[TIMES], theirs[TIMES];
    struct arena arena = { 0 };
    struct dist_sum sum;
    struct error err;
    int64_t *v = malloc((n + 1) * sizeof(*v));

    dist_sum_place(&sum, &arena, dist, n);
    if (!v || arena_open(&arena, arena.peak + 1, &err) < 0)
        BUG("out of memory");
    dist_sum_place(&sum, &arena, dist, n);
    for (int i = 0; i < TIMES; i++) {
        ours[i] = timed(dist, &sum, v, n);
        theirs[i] = timed(dist, NULL, v, n);
    }
    qsort(ours, TIMES, sizeof(*ours), compare);
    qsort(theirs, TIMES, sizeof(*theirs), compare);
    if (dist->rank == 0)
        (void)printf("%d %zu %.9f %.9f %.9f %.9f\n", dist->size, n, ours[0], ours[TIMES / 2],
                     theirs[0], theirs[TIMES / 2]);
    arena_close(&arena);
    free(v);
}

int main(int argc, char **argv)
{
    struct dist dist;
    struct error err;

    if (dist_open(&dist, &err) < 0) {
        (void)fprintf(stderr, "error: %s\n", err.msg);
        return 1;
    }
    for (int i = 1; i < argc; i++)
        measure(&dist, (size_t)strtoull(argv[i], NULL, 10));
    dist_close(&dist);
    return 0;
}
