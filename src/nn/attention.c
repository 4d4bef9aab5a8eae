/*
 * nn/attention.c: tiles of queries against the keys they see.
 *
 * A task is one block and one key/value head. Its keys and values are packed
 * once, in the layout of the matrix product, for all query heads that share
 * them; these follow each other, so dk and dv are summed by one thread in a
 * fixed order. Scores are made, used and forgotten a few rows at a time, each
 * against the keys up to its own: little is computed above the diagonal, and
 * what is computed there is -infinity before anything is made of it.
 */
#include "nn/attention.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "nn/nn_internal.h"

/* One thread's scratch memory: scores and their gradients [tile,ld], and the packed operands. */
struct memory {
    float *p, *ds;
    float *keys_t, *values_t; // [D,T]
    float *keys, *values;     // [T,D], one after the other in use: the same place
    size_t ld;
};

/* A block, a key/value head and the thread that works on them. */
struct task {
    const struct nn *nn;
    const struct attention_call *call;
    struct memory memory;
    int start, T, g, thread;
    float scale;
};

/* Keys from..to, as numbers in the block, are what the rows of a tile see; from is where a panel begins. */
struct tile {
    int h, i, rows, from, to;
};

/* Rows of p and ds: a whole number of the product's own tiles. */
static int tile_height(const struct nn *nn)
{
    return ATTENTION_TILE / nn->products->tile_rows * nn->products->tile_rows;
}

/*
 * Rows that are computed together. In long blocks twice as many: each panel of keys is then used twice
 * while it is in the first cache. In short ones too much above the diagonal would be computed.
 */
static int step_rows(const struct nn *nn, int T)
{
    enum { LONG = 1024 };

    return nn->products->tile_rows * (T < LONG ? 1 : 2);
}

/* Up to the next panel, and a few more: rows of a power of two would fall on each other in the cache. */
static size_t score_stride(const struct nn *nn, int T)
{
    return (size_t)((T / nn->products->panel_width + 1) * nn->products->panel_width + 16);
}

/* Divides scratch among the arrays; returns how many numbers they take. */
static size_t place(const struct nn *nn, struct memory *m, float *scratch, int T, int D)
{
    size_t by_columns = nn->products->panels_floats(D, T);
    size_t by_rows = nn->products->panels_floats(T, D);
    size_t rows;

    m->ld = score_stride(nn, T);
    rows = (size_t)tile_height(nn) * m->ld;
    if (scratch) {
        m->p = scratch;
        m->ds = m->p + rows;
        m->keys_t = m->ds + rows;
        m->values_t = m->keys_t + by_columns;
        m->keys = m->values = m->values_t + by_columns;
    }
    return 2 * (rows + by_columns) + by_rows;
}

static size_t per_thread(const struct nn *nn, int longest, int D)
{
    struct memory m;

    return (place(nn, &m, NULL, longest, D) + 15) / 16 * 16; // a thread begins at a cache line
}

size_t attention_scratch_floats(const struct nn *nn, int longest, int D)
{
    return (size_t)nn->threads * per_thread(nn, longest, D);
}

static struct task task_of(const struct nn *nn, const struct attention_call *call, int number,
                           int longest)
{
    int block = number / call->G, thread = omp_get_thread_num();
    struct task t = { .nn = nn,
                      .call = call,
                      .start = call->blocks[block],
                      .T = call->blocks[block + 1] - call->blocks[block],
                      .g = number % call->G,
                      .thread = thread,
                      .scale = 1.0f / sqrtf((float)call->D) };

    (void)place(nn, &t.memory, call->scratch + (size_t)thread * per_thread(nn, longest, call->D),
                t.T, call->D);
    return t;
}

static struct tile tile_at(const struct task *t, int h, int i, int rows)
{
    int first = t->call->window > 0 ? i - t->call->window + 1 : 0;
    int width = t->nn->products->panel_width;

    return (struct tile){ h, i, rows, first > 0 ? first / width * width : 0, i + rows };
}

/* Row i of the block in an array of query heads, or of key/value heads. */
static size_t query_at(const struct task *t, int h, int i)
{
    return ((size_t)(t->start + i) * (size_t)t->call->H + (size_t)h) * (size_t)t->call->D;
}

static size_t key_at(const struct task *t, int i)
{
    return ((size_t)(t->start + i) * (size_t)t->call->G + (size_t)t->g) * (size_t)t->call->D;
}

static void pack(const struct task *t, float *panels, const float *x, int transposed)
{
    const struct attention_call *call = t->call;

    t->nn->products->pack(panels, x + key_at(t, 0), transposed, (size_t)call->G * call->D,
                          transposed ? call->D : t->T, transposed ? t->T : call->D);
}

static int whole_panels(const struct task *t, int n)
{
    int width = t->nn->products->panel_width;

    return (n + width - 1) / width * width;
}

/* s = alpha x y^T for the rows of a tile, x of query heads, y_t packed; whole panels of keys. */
static void scores(const struct task *t, const struct tile *tile, const float *x, const float *y_t,
                   float alpha, float *s)
{
    const struct attention_call *call = t->call;
    struct gemm_call g = { .M = tile->rows,
                           .N = whole_panels(t, tile->to - tile->from),
                           .K = call->D,
                           .alpha = alpha,
                           .a = x + query_at(t, tile->h, tile->i),
                           .panels = y_t + t->nn->products->panel_at(call->D, 0, tile->from),
                           .c = s,
                           .lda = (size_t)call->H * call->D,
                           .ldb = (size_t)call->D,
                           .ldc = t->memory.ld };

    gemm_serial(t->nn, &g, t->thread);
}

/* out = alpha s y for the rows of a tile, y packed. */
static void combine(const struct task *t, const struct tile *tile, const float *s, const float *y,
                    float alpha, float *out)
{
    const struct attention_call *call = t->call;
    struct gemm_call g = { .M = tile->rows,
                           .N = call->D,
                           .K = tile->to - tile->from,
                           .alpha = alpha,
                           .a = s,
                           .panels = y + t->nn->products->panel_at(t->T, tile->from, 0),
                           .c = out + query_at(t, tile->h, tile->i),
                           .lda = t->memory.ld,
                           .ldb = (size_t)t->T,
                           .ldc = (size_t)call->H * call->D };

    gemm_serial(t->nn, &g, t->thread);
}

/* out += alpha s^T x for the keys of a tile. */
static void scatter(const struct task *t, const struct tile *tile, const float *s, const float *x,
                    float alpha, float *out)
{
    const struct attention_call *call = t->call;
    struct gemm_call g = { .trans_a = 1,
                           .M = tile->to - tile->from,
                           .N = call->D,
                           .K = tile->rows,
                           .alpha = alpha,
                           .beta = 1.0f,
                           .a = s,
                           .b = x + query_at(t, tile->h, tile->i),
                           .c = out + key_at(t, tile->from),
                           .lda = t->memory.ld,
                           .ldb = (size_t)call->H * call->D,
                           .ldc = (size_t)call->G * call->D };

    gemm_serial(t->nn, &g, t->thread);
}

static void fill(float *row, int from, int to, float value)
{
    for (int j = from; j < to; j++)
        row[j] = value;
}

/* Scores of keys that query r of the tile does not see, among the n that there are. */
static void mask(const struct task *t, const struct tile *tile, int r, float *row, int n)
{
    int i = tile->i + r, window = t->call->window;

    if (window > 0)
        fill(row, 0, i - window + 1 - tile->from, -INFINITY);
    fill(row, i + 1 - tile->from, n, -INFINITY);
}

static void forward_tile(const struct task *t, const struct tile *tile)
{
    const struct attention_call *call = t->call;
    const struct nn_kernels *kernels = t->nn->kernels;
    float *s = t->memory.p, *o = call->o + query_at(t, tile->h, tile->i);
    float sum[ATTENTION_TILE] = { 0 };
    int n = whole_panels(t, tile->to - tile->from);

    scores(t, tile, call->q, t->memory.keys_t, t->scale, s);
    for (int r = 0; r < tile->rows; r++) {
        float *row = s + (size_t)r * t->memory.ld, max;

        mask(t, tile, r, row, n);
        kernels->exp_row(row, &max, &sum[r], n);
        call->lse[(size_t)(t->start + tile->i + r) * call->H + tile->h] = max + logf(sum[r]);
    }
    combine(t, tile, s, t->memory.values, 1.0f, call->o);
    for (int r = 0; r < tile->rows; r++)
        kernels->scale(o + (size_t)r * call->H * call->D, 1.0f / sum[r], call->D);
}

static void forward_task(const struct task *t)
{
    const struct attention_call *call = t->call;
    int share = call->H / call->G, step = step_rows(t->nn, t->T);

    pack(t, t->memory.keys_t, call->k, 1);
    pack(t, t->memory.values, call->v, 0);
    for (int h = t->g * share; h < (t->g + 1) * share; h++)
        for (int i = 0; i < t->T; i += step) {
            struct tile tile = tile_at(t, h, i, t->T - i < step ? t->T - i : step);

            forward_tile(t, &tile);
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
    int tasks = call->n_blocks * call->G;

#pragma omp parallel for num_threads(nn->threads) schedule(dynamic, 1) if (nn->threads > 1)
    for (int i = 0; i < tasks; i++) {
        struct task task = task_of(nn, call, i, longest);

        forward_task(&task);
    }
    profile_lap(nn->profile, PROFILE_ATTENTION, call->H * products(call, 2));
}

/* What the backward pass is given and makes. */
struct gradients {
    const float *d_o, *delta;
    float *dq, *dk, *dv;
};

/* Rows r0.. of a tile: their p and ds, zero up to the tile's last key, and dq. */
static void backward_rows(const struct task *t, const struct tile *tile, int r0, int rows,
                          const struct gradients *to)
{
    const struct attention_call *call = t->call;
    float *p = t->memory.p + (size_t)r0 * t->memory.ld;
    float *ds = t->memory.ds + (size_t)r0 * t->memory.ld;
    struct tile part = { tile->h, tile->i + r0, rows, tile->from, tile->i + r0 + rows };
    int n = whole_panels(t, part.to - part.from), all = tile->to - tile->from;

    scores(t, &part, call->q, t->memory.keys_t, t->scale, p);
    scores(t, &part, to->d_o, t->memory.values_t, 1.0f, ds);
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)(t->start + part.i + r) * call->H + tile->h,
               row = (size_t)r * t->memory.ld;

        mask(t, &part, r, p + row, n);
        t->nn->kernels->prob_rows(p + row, ds + row, call->lse[at], to->delta[at], n);
        fill(p + row, n, all, 0.0f);
        fill(ds + row, n, all, 0.0f);
    }
    combine(t, &part, ds, t->memory.keys, t->scale, to->dq);
}

static void backward_task(const struct task *t, const struct gradients *to)
{
    const struct attention_call *call = t->call;
    int share = call->H / call->G, height = tile_height(t->nn), step = step_rows(t->nn, t->T);

    pack(t, t->memory.keys_t, call->k, 1);
    pack(t, t->memory.values_t, call->v, 1);
    pack(t, t->memory.keys, call->k, 0);
    for (int i = 0; i < t->T; i++) {
        memset(to->dk + key_at(t, i), 0, (size_t)call->D * sizeof(float));
        memset(to->dv + key_at(t, i), 0, (size_t)call->D * sizeof(float));
    }
    for (int h = t->g * share; h < (t->g + 1) * share; h++)
        for (int i = 0; i < t->T; i += height) {
            struct tile tile = tile_at(t, h, i, t->T - i < height ? t->T - i : height);

            for (int r = 0; r < tile.rows; r += step)
                backward_rows(t, &tile, r, tile.rows - r < step ? tile.rows - r : step, to);
            scatter(t, &tile, t->memory.ds, call->q, t->scale, to->dk);
            scatter(t, &tile, t->memory.p, to->d_o, 1.0f, to->dv);
        }
}

void attention_backward(const struct nn *nn, const struct attention_call *call, int longest,
                        const float *d_o, float *delta, float *dq, float *dk, float *dv)
{
    int tasks = call->n_blocks * call->G, N = call->blocks[call->n_blocks];
    struct gradients to = { d_o, delta, dq, dk, dv };

#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (int i = 0; i < N; i++)
        for (int h = 0; h < call->H; h++) {
            size_t at = (size_t)i * call->H + h;

            delta[at] = nn->kernels->dot(d_o + at * (size_t)call->D, call->o + at * (size_t)call->D,
                                         call->D);
        }
#pragma omp parallel for num_threads(nn->threads) schedule(dynamic, 1) if (nn->threads > 1)
    for (int i = 0; i < tasks; i++) {
        struct task task = task_of(nn, call, i, longest);

        backward_task(&task, &to);
    }
    profile_lap(nn->profile, PROFILE_ATTENTION, call->H * products(call, 4));
}
