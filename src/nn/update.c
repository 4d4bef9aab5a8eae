/*
 * nn/update.c: long arrays, a part for each thread.
 */
#include "nn/update.h"

#include "nn/nn_internal.h"

static size_t part_begin(const struct nn *nn, size_t n, int thread)
{
    return n / (size_t)nn->threads * (size_t)thread;
}

/* The last part takes the rest. */
static size_t part_len(const struct nn *nn, size_t n, int thread)
{
    size_t end = thread + 1 < nn->threads ? part_begin(nn, n, thread + 1) : n;

    return end - part_begin(nn, n, thread);
}

int exact_add(const struct nn *nn, int64_t *sum, const float *g, size_t n, double scale,
              double limit)
{
    return nn->kernels->exact_add(sum, g, n, scale, limit);
}

void exact_mean(const struct nn *nn, float *g, const int64_t *sum, size_t n, double unit,
                double divisor)
{
#pragma omp parallel for num_threads(nn->threads) schedule(static, 1) if (nn->threads > 1)
    for (int t = 0; t < nn->threads; t++) {
        size_t at = part_begin(nn, n, t);

        nn->kernels->exact_mean(g + at, sum + at, part_len(nn, n, t), unit, divisor);
    }
}

void adamw_apply(const struct nn *nn, float *p, float *m, float *v, const float *g, size_t n,
                 const struct adamw_factors *factors)
{
#pragma omp parallel for num_threads(nn->threads) schedule(static, 1) if (nn->threads > 1)
    for (int t = 0; t < nn->threads; t++) {
        size_t at = part_begin(nn, n, t);

        nn->kernels->adamw(p + at, m + at, v + at, g + at, part_len(nn, n, t), factors);
    }
}
