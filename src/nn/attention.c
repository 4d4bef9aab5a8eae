/*
 * nn/attention.c: tiles of ATTENTION_TILE queries against the keys they see.
 *
 * A task is one block and one key/value head; its query heads follow each
 * other, so dk and dv are summed by one thread in a fixed order.
 */
#include "nn/attention.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "nn/nn_internal.h"

size_t attention_scratch_floats(const struct nn *nn, int longest)
{
    return (size_t)nn->threads * 2 * ATTENTION_TILE * (size_t)longest;
}

/* One tile: queries [i0, i0 + m) of head h against keys [j0, j0 + n). */
struct tile {
    int h, g, i0, m, j0, n;
};

static struct tile tile_at(const struct attention_call *call, int block, int h, int i0)
{
    int end = call->blocks[block + 1], start = call->blocks[block];
    int m = end - i0 < ATTENTION_TILE ? end - i0 : ATTENTION_TILE;
    int j0 = start;

    if (call->window > 0 && i0 - call->window + 1 > start)
        j0 = i0 - call->window + 1;
    return (struct tile){ h, h / (call->H / call->G), i0, m, j0, i0 + m - j0 };
}

/* The keys that query row r of the tile sees: [*from, *to) within the tile's keys. */
static void visible(const struct attention_call *call, const struct tile *t, int r, int *from,
                    int *to)
{
    int i = t->i0 + r;

    *to = i - t->j0 + 1;
    *from = 0;
    if (call->window > 0 && i - call->window + 1 > t->j0)
        *from = i - call->window + 1 - t->j0;
}

/* s [m,n] = alpha x_tile y_keys^T, x of the query heads, y of the key heads. */
static void scores(const struct nn *nn, const struct attention_call *call, const struct tile *t,
                   const float *x, const float *y, float alpha, float *s, int thread)
{
    size_t q_stride = (size_t)call->H * call->D, k_stride = (size_t)call->G * call->D;

    gemm_serial(nn,
                &(struct gemm_call){ .trans_b = 1,
                                     .M = t->m,
                                     .N = t->n,
                                     .K = call->D,
                                     .alpha = alpha,
                                     .a = x + (size_t)t->i0 * q_stride + (size_t)t->h * call->D,
                                     .b = y + (size_t)t->j0 * k_stride + (size_t)t->g * call->D,
                                     .c = s,
                                     .lda = q_stride,
                                     .ldb = k_stride,
                                     .ldc = (size_t)t->n },
                thread);
}

/* out_tile [m,D] = alpha s y_keys. */
static void combine(const struct nn *nn, const struct attention_call *call, const struct tile *t,
                    const float *s, const float *y, float alpha, float *out, int thread)
{
    size_t q_stride = (size_t)call->H * call->D, k_stride = (size_t)call->G * call->D;

    gemm_serial(nn,
                &(struct gemm_call){ .M = t->m,
                                     .N = call->D,
                                     .K = t->n,
                                     .alpha = alpha,
                                     .a = s,
                                     .b = y + (size_t)t->j0 * k_stride + (size_t)t->g * call->D,
                                     .c = out + (size_t)t->i0 * q_stride + (size_t)t->h * call->D,
                                     .lda = (size_t)t->n,
                                     .ldb = k_stride,
                                     .ldc = q_stride },
                thread);
}

/* out_keys [n,D] += alpha s^T x_tile. */
static void scatter(const struct nn *nn, const struct attention_call *call, const struct tile *t,
                    const float *s, const float *x, float alpha, float *out, int thread)
{
    size_t q_stride = (size_t)call->H * call->D, k_stride = (size_t)call->G * call->D;

    gemm_serial(nn,
                &(struct gemm_call){ .trans_a = 1,
                                     .M = t->n,
                                     .N = call->D,
                                     .K = t->m,
                                     .alpha = alpha,
                                     .beta = 1.0f,
                                     .a = s,
                                     .b = x + (size_t)t->i0 * q_stride + (size_t)t->h * call->D,
                                     .c = out + (size_t)t->j0 * k_stride + (size_t)t->g * call->D,
                                     .lda = (size_t)t->n,
                                     .ldb = q_stride,
                                     .ldc = k_stride },
                thread);
}

/* Zero beyond what row r sees, so that the products may run over the whole tile. */
static void mask_row(float *row, int from, int to, int n)
{
    memset(row, 0, (size_t)from * sizeof(*row));
    memset(row + to, 0, (size_t)(n - to) * sizeof(*row));
}

static void forward_head(const struct nn *nn, const struct attention_call *call, int block, int h,
                         float *s, int thread)
{
    float scale = 1.0f / sqrtf((float)call->D);

    for (int i0 = call->blocks[block]; i0 < call->blocks[block + 1]; i0 += ATTENTION_TILE) {
        struct tile t = tile_at(call, block, h, i0);

        scores(nn, call, &t, call->q, call->k, scale, s, thread);
        for (int r = 0; r < t.m; r++) {
            float *row = s + (size_t)r * t.n;
            int from, to;

            visible(call, &t, r, &from, &to);
            call->lse[(size_t)(i0 + r) * call->H + h] =
                nn->kernels->softmax_row(row + from, to - from);
            mask_row(row, from, to, t.n);
        }
        combine(nn, call, &t, s, call->v, 1.0f, call->o, thread);
    }
}

/* What n products of a head over half the square of each block come to: what the mathematics needs. */
static double products(const struct attention_call *call, int n)
{
    double sum = 0.0;

    for (int b = 0; b < call->n_blocks; b++) {
        double T = call->blocks[b + 1] - call->blocks[b];

        sum += T * T;
    }
    return n * sum * call->D;
}

void attention_forward(const struct nn *nn, const struct attention_call *call, int longest)
{
    int tasks = call->n_blocks * call->H;
    size_t stride = (size_t)2 * ATTENTION_TILE * (size_t)longest;

#pragma omp parallel for num_threads(nn->threads) schedule(dynamic, 1) if (nn->threads > 1)
    for (int task = 0; task < tasks; task++) {
        int thread = omp_get_thread_num();

        forward_head(nn, call, task / call->H, task % call->H,
                     call->scratch + (size_t)thread * stride, thread);
    }
    profile_lap(nn->profile, PROFILE_ATTENTION, call->H * products(call, 2));
}

/* p and ds of one tile, then their three products. */
static void backward_tile(const struct nn *nn, const struct attention_call *call,
                          const struct tile *t, const float *d_o, const float *delta, float *dq,
                          float *dk, float *dv, float *p, float *ds, int thread)
{
    float scale = 1.0f / sqrtf((float)call->D);

    scores(nn, call, t, call->q, call->k, scale, p, thread);
    scores(nn, call, t, d_o, call->v, 1.0f, ds, thread);
    for (int r = 0; r < t->m; r++) {
        size_t at = (size_t)(t->i0 + r) * call->H + t->h;
        float *p_row = p + (size_t)r * t->n, *ds_row = ds + (size_t)r * t->n;
        int from, to;

        visible(call, t, r, &from, &to);
        nn->kernels->prob_row(p_row + from, call->lse[at], to - from);
        nn->kernels->dscore_row(ds_row + from, p_row + from, delta[at], to - from);
        mask_row(p_row, from, to, t->n);
        mask_row(ds_row, from, to, t->n);
    }
    combine(nn, call, t, ds, call->k, scale, dq, thread);
    scatter(nn, call, t, ds, call->q, scale, dk, thread);
    scatter(nn, call, t, p, d_o, 1.0f, dv, thread);
}

static void backward_group(const struct nn *nn, const struct attention_call *call, int block, int g,
                           const float *d_o, const float *delta, float *dq, float *dk, float *dv,
                           float *p, float *ds, int thread)
{
    int share = call->H / call->G;
    int start = call->blocks[block], end = call->blocks[block + 1];

    for (int i = start; i < end; i++) {
        size_t at = ((size_t)i * call->G + (size_t)g) * (size_t)call->D;

        memset(dk + at, 0, (size_t)call->D * sizeof(*dk));
        memset(dv + at, 0, (size_t)call->D * sizeof(*dv));
    }
    for (int h = g * share; h < (g + 1) * share; h++)
        for (int i0 = start; i0 < end; i0 += ATTENTION_TILE) {
            struct tile t = tile_at(call, block, h, i0);

            backward_tile(nn, call, &t, d_o, delta, dq, dk, dv, p, ds, thread);
        }
}

void attention_backward(const struct nn *nn, const struct attention_call *call, int longest,
                        const float *d_o, float *delta, float *dq, float *dk, float *dv)
{
    int tasks = call->n_blocks * call->G, N = call->blocks[call->n_blocks];
    size_t half = (size_t)ATTENTION_TILE * (size_t)longest;

#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (int i = 0; i < N; i++)
        for (int h = 0; h < call->H; h++) {
            size_t at = (size_t)i * call->H + h;

            delta[at] = nn->kernels->dot(d_o + at * (size_t)call->D, call->o + at * (size_t)call->D,
                                         call->D);
        }
#pragma omp parallel for num_threads(nn->threads) schedule(dynamic, 1) if (nn->threads > 1)
    for (int task = 0; task < tasks; task++) {
        int thread = omp_get_thread_num();
        float *p = call->scratch + (size_t)thread * 2 * half;

        backward_group(nn, call, task / call->G, task % call->G, d_o, delta, dq, dk, dv, p,
                       p + half, thread);
    }
    profile_lap(nn->profile, PROFILE_ATTENTION, call->H * products(call, 4));
}
