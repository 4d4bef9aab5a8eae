/*
 * nn/elementwise.c: long arrays cut into chunks, chunks divided over the threads.
 */
#include "nn/elementwise.h"

#include <math.h>

#include "nn/nn_internal.h"

enum { CHUNK = 4096 }; // numbers; a multiple of 8, which dropout needs

static long chunk_count(size_t n)
{
    return (long)((n + CHUNK - 1) / CHUNK);
}

static size_t chunk_len(size_t n, long chunk)
{
    size_t at = (size_t)chunk * CHUNK;

    return n - at < CHUNK ? n - at : CHUNK;
}

void swiglu_forward(const struct nn *nn, float *y, const float *gate, const float *up, size_t n)
{
#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (long c = 0; c < chunk_count(n); c++) {
        size_t at = (size_t)c * CHUNK;

        nn->kernels->swiglu_forward(y + at, gate + at, up + at, chunk_len(n, c));
    }
    profile_lap(nn->profile, PROFILE_ELEMENTWISE, 0.0);
}

void swiglu_backward(const struct nn *nn, float *dgate, float *dup, float *y, const float *dy,
                     const float *gate, const float *up, size_t n)
{
#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (long c = 0; c < chunk_count(n); c++) {
        size_t at = (size_t)c * CHUNK;

        nn->kernels->swiglu_backward(dgate + at, dup + at, y + at, dy + at, gate + at, up + at,
                                     chunk_len(n, c));
    }
    profile_lap(nn->profile, PROFILE_ELEMENTWISE, 0.0);
}

void add_forward(const struct nn *nn, float *y, const float *x, size_t n)
{
#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (long c = 0; c < chunk_count(n); c++)
        nn->kernels->add(y + (size_t)c * CHUNK, x + (size_t)c * CHUNK, chunk_len(n, c));
    profile_lap(nn->profile, PROFILE_ELEMENTWISE, 0.0);
}

void bias_forward(const struct nn *nn, float *y, const float *bias, int N, int O)
{
#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (int i = 0; i < N; i++)
        nn->kernels->add_bias(y + (size_t)i * O, bias, 1, O);
    profile_lap(nn->profile, PROFILE_ELEMENTWISE, 0.0);
}

void dropout_apply(const struct nn *nn, float *y, const float *x, float p,
                   const struct dropout_key *key, int add, size_t n)
{
    uint32_t threshold = (uint32_t)lrintf(p * 65536.0f);
    float scale = 1.0f / (1.0f - (float)threshold * 0x1p-16f);

#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (long c = 0; c < chunk_count(n); c++) {
        size_t at = (size_t)c * CHUNK;
        uint32_t counter[4] = { (uint32_t)(at / 8), key->module, key->step, key->leaf };

        nn->kernels->dropout(y + at, x + at, scale, key->seed, counter, threshold, add,
                             chunk_len(n, c));
    }
    profile_lap(nn->profile, PROFILE_ELEMENTWISE, 0.0);
}
