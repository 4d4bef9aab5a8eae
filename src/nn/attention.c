/*
 * nn/attention.c: tiles of queries against the keys they see.
 *
 * A task is one block and one key/value head, with all query heads that share
 * it, so dk and dv are summed by one thread in a fixed order. Keys and values
 * are packed in the layout of the matrix product, once for all those heads.
 * Little is computed above the diagonal, and nothing is made of it.
 *
 * Forward, a few rows of scores at a time are made, used and forgotten, each
 * against all keys up to its own. Backward, where the sum of e^score is known,
 * keys are taken in runs that stay in the cache with all that belongs to them,
 * while the queries that see them pass by. dk and dv of a run are summed
 * transposed: scores are then the right factor of both products, which wants
 * them as they lie.
 */
#include "nn/attention.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "nn/nn_internal.h"

enum { RUN = 256 };             // keys that the backward pass takes together, whole panels
enum { RUN_STRIDE = RUN + 16 }; // rows of a power of two would fall on each other in the cache

/* One thread's scratch memory; panels are operands in the layout of the product. */
struct memory {
    float *p, *ds;            // scores and their gradients, rows ld apart
    float *keys_t, *values_t; // panels [D,T], [D,RUN] backward
    float *keys, *values;     // panels [RUN,D] backward, [T,D] forward
    float *dk_t, *dv_t;       // [D,RUN_STRIDE]
    size_t ld, floats;
};

/* A block, a key/value head and the thread that works on them. */
struct task {
    const struct nn *nn;
    const struct attention_call *call;
    struct memory memory;
    int start, T, g, thread;
    int first, Q; // queries of the block, from the first one on
    float scale;
};

/* Queries i.. of the block, of head h, against its keys from..to; n keys are packed, from first on. */
struct tile {
    int h, i, rows, from, to, first, n;
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
    enum { LONG = 384 };

    return nn->products->tile_rows * (T < LONG ? 1 : 2);
}

static int multiple(int n, int step)
{
    return (n + step - 1) / step * step;
}

static int whole_panels(const struct nn *nn, int n)
{
    return multiple(n, nn->products->panel_width);
}

/* The next n numbers of scratch memory, from the start of a cache line on. */
static float *take(struct memory *m, float *scratch, size_t n)
{
    float *at = scratch ? scratch + m->floats : NULL;

    m->floats += (n + 15) / 16 * 16;
    return at;
}

static struct memory forward_memory(const struct nn *nn, float *scratch, int T, int D)
{
    struct memory m = { .ld = (size_t)whole_panels(nn, T) + 16 };

    m.p = take(&m, scratch, (size_t)step_rows(nn, T) * m.ld);
    m.keys_t = take(&m, scratch, nn->products->panels_floats(D, T));
    m.values = take(&m, scratch, nn->products->panels_floats(T, D));
    return m;
}

static struct memory backward_memory(const struct nn *nn, float *scratch, int D)
{
    struct memory m = { .ld = RUN_STRIDE };
    size_t scores = (size_t)tile_height(nn) * m.ld,
           by_columns = nn->products->panels_floats(D, RUN);

    m.p = take(&m, scratch, scores);
    m.ds = take(&m, scratch, scores);
    m.keys_t = take(&m, scratch, by_columns);
    m.values_t = take(&m, scratch, by_columns);
    m.keys = take(&m, scratch, nn->products->panels_floats(RUN, D));
    m.dk_t = take(&m, scratch, (size_t)D * RUN_STRIDE);
    m.dv_t = take(&m, scratch, (size_t)D * RUN_STRIDE);
    return m;
}

static size_t per_thread(const struct nn *nn, int longest, int D)
{
    size_t forward = forward_memory(nn, NULL, longest, D).floats;
    size_t backward = backward_memory(nn, NULL, D).floats;

    return forward > backward ? forward : backward;
}

/*
 * What attention of width D computes with. Products over few numbers do not pay for cutting floats in three, as AMX
 * must: they are made on vector units.
 */
static struct nn kernels_for(const struct nn *nn, int D)
{
    struct nn chosen = *nn;
#ifdef HAVE_BF16
    enum { PAYS = 128 };

    if (nn->products == &gemm_kernels_amx && D < PAYS) {
        chosen.backend = GEMM_NATIVE;
        chosen.products = &nn->kernels->gemm;
    }
#endif
    return chosen;
}

size_t attention_scratch_floats(const struct nn *nn, int longest, int D)
{
    struct nn chosen = kernels_for(nn, D);

    return (size_t)nn->threads * per_thread(&chosen, longest, D);
}

/* How many queries there are of tokens before this one. */
static int queries_before(const struct attention_call *call, int token)
{
    int low = 0, high = call->Q;

    if (!call->query)
        return token;
    while (low < high) {
        int middle = low + (high - low) / 2;

        if (call->query[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Task number of a call, without its memory. */
static struct task task_of(const struct nn *nn, const struct attention_call *call, int number)
{
    int start = call->blocks[number / call->G], end = call->blocks[number / call->G + 1];
    int first = queries_before(call, start);

    return (struct task){ .nn = nn,
                          .call = call,
                          .start = start,
                          .T = end - start,
                          .first = first,
                          .Q = queries_before(call, end) - first,
                          .g = number % call->G,
                          .thread = omp_get_thread_num(),
                          .scale = 1.0f / sqrtf((float)call->D) };
}

static float *scratch_of(const struct task *t, int longest)
{
    return t->call->scratch + (size_t)t->thread * per_thread(t->nn, longest, t->call->D);
}

/* The token of query i, as a number in the block: the last key that it sees. */
static int token_of(const struct task *t, int i)
{
    return t->call->query ? t->call->query[t->first + i] - t->start : i;
}

/* The first query of a token of the block or one after it. */
static int query_from(const struct task *t, int token)
{
    return token < t->T ? queries_before(t->call, t->start + token) - t->first : t->Q;
}

/* Query i or key i of the block in an array of query heads, or of key/value heads. */
static size_t query_at(const struct task *t, int h, int i)
{
    return ((size_t)(t->first + i) * (size_t)t->call->H + (size_t)h) * (size_t)t->call->D;
}

static size_t key_at(const struct task *t, int i)
{
    return ((size_t)(t->start + i) * (size_t)t->call->G + (size_t)t->g) * (size_t)t->call->D;
}

/* Panels of n keys or values from key on, [n,D] or transposed. */
static void pack(const struct task *t, float *panels, const float *x, int transposed, int key,
                 int n)
{
    const struct attention_call *call = t->call;

    t->nn->products->pack(panels, x + key_at(t, key), transposed, (size_t)call->G * call->D,
                          transposed ? call->D : n, transposed ? n : call->D);
}

/* s = alpha x y^T for the rows of a tile, x of query heads, y_t packed; the last panel whole or half. */
static void scores(const struct task *t, const struct tile *tile, const float *x, const float *y_t,
                   float alpha, float *s)
{
    const struct attention_call *call = t->call;
    struct gemm_call g = { .M = tile->rows,
                           .N = multiple(tile->to - tile->from, t->nn->products->panel_width / 2),
                           .K = call->D,
                           .alpha = alpha,
                           .a = x + query_at(t, tile->h, tile->i),
                           .panels = y_t + t->nn->products->panel_at(call->D, 0,
                                                                     tile->from - tile->first),
                           .c = s,
                           .lda = (size_t)call->H * call->D,
                           .ldb = (size_t)call->D,
                           .ldc = t->memory.ld };

    gemm_serial(t->nn, &g, t->thread);
}

/* out = beta out + alpha s y for the rows of a tile, y packed. */
static void combine(const struct task *t, const struct tile *tile, const float *s, const float *y,
                    float alpha, float beta, float *out)
{
    const struct attention_call *call = t->call;
    struct gemm_call g = { .M = tile->rows,
                           .N = call->D,
                           .K = tile->to - tile->from,
                           .alpha = alpha,
                           .beta = beta,
                           .a = s,
                           .panels =
                               y + t->nn->products->panel_at(tile->n, tile->from - tile->first, 0),
                           .c = out + query_at(t, tile->h, tile->i),
                           .lda = t->memory.ld,
                           .ldb = (size_t)tile->n,
                           .ldc = (size_t)call->H * call->D };

    gemm_serial(t->nn, &g, t->thread);
}

/*
 * out_t = beta out_t + alpha x^T s for the keys of a tile, whole panels of them: at once those that all its rows see,
 * each of the others with the rows that see any of it.
 */
static void scatter(const struct task *t, const struct tile *tile, const float *s, const float *x,
                    float alpha, float beta, float *out_t)
{
    const struct attention_call *call = t->call;
    int width = t->nn->products->panel_width, common = token_of(t, tile->i), r = 0, keys;

    for (int key = tile->from; key < tile->to; key += keys) {
        struct gemm_call g = { .trans_a = 1,
                               .M = call->D,
                               .alpha = alpha,
                               .beta = beta,
                               .c = out_t + (key - tile->from),
                               .lda = (size_t)call->H * call->D,
                               .ldb = t->memory.ld,
                               .ldc = RUN_STRIDE };

        while (token_of(t, tile->i + r) < key)
            r++;
        g.K = tile->rows - r;
        g.a = x + query_at(t, tile->h, tile->i + r);
        g.b = s + (size_t)r * t->memory.ld + (key - tile->from);
        keys = common - key < width ? width : whole_panels(t->nn, common - key + 1);
        g.N = keys < tile->to - key ? keys : whole_panels(t->nn, tile->to - key);
        gemm_serial(t->nn, &g, t->thread);
    }
}

/* The keys that the queries of a tile see, as columns of their scores. */
static void find_seen(const struct task *t, const struct tile *tile, struct score_rows *at)
{
    int window = t->call->window;

    at->rows = tile->rows;
    at->n = whole_panels(t->nn, tile->to - tile->from);
    at->ld = t->memory.ld;
    for (int r = 0; r < tile->rows; r++) {
        int last = token_of(t, tile->i + r), first = window > 0 ? last - window + 1 : 0;

        at->seen[r].from = first > tile->from ? first - tile->from : 0;
        at->seen[r].to = (last < tile->to ? last + 1 : tile->to) - tile->from;
    }
}

static void forward_tile(const struct task *t, const struct tile *tile)
{
    const struct attention_call *call = t->call;
    float max[ATTENTION_TILE], sum[ATTENTION_TILE];
    size_t row = (size_t)call->H * call->D;
    struct score_rows at;

    find_seen(t, tile, &at);
    scores(t, tile, call->q, t->memory.keys_t, t->scale, t->memory.p);
    t->nn->kernels->exp_rows(&at, t->memory.p, max, sum);
    for (int r = 0; r < tile->rows; r++)
        call->lse[(size_t)(t->first + tile->i + r) * call->H + tile->h] = max[r] + logf(sum[r]);
    combine(t, tile, t->memory.p, t->memory.values, 1.0f, 0.0f, call->o);
    t->nn->kernels->divide_rows(call->o + query_at(t, tile->h, tile->i), row, sum, tile->rows,
                                call->D);
}

static void forward_task(const struct task *t)
{
    const struct attention_call *call = t->call;
    int share = call->H / call->G, step = step_rows(t->nn, t->T);
    int width = t->nn->products->panel_width;

    pack(t, t->memory.keys_t, call->k, 1, 0, t->T);
    pack(t, t->memory.values, call->v, 0, 0, t->T);
    for (int h = t->g * share; h < (t->g + 1) * share; h++)
        for (int i = 0; i < t->Q; i += step) {
            int rows = t->Q - i < step ? t->Q - i : step, token = token_of(t, i);
            int first = call->window > 0 && token >= call->window ? token - call->window + 1 : 0;
            struct tile tile = { h, i,   rows, first / width * width, token_of(t, i + rows - 1) + 1,
                                 0, t->T };

            forward_tile(t, &tile);
        }
}

/* What n products of a head with the keys that each query sees come to: what the mathematics needs. */
static double products(const struct attention_call *call, int n)
{
    double sum = 0.0;

    for (int b = 0; b < call->n_blocks; b++) {
        int start = call->blocks[b], end = queries_before(call, call->blocks[b + 1]);

        for (int i = queries_before(call, start); i < end; i++)
            sum += 2.0 * ((call->query ? call->query[i] : i) - start) + 1.0;
    }
    return n * sum * call->D;
}

void attention_forward(const struct nn *nn, const struct attention_call *call, int longest)
{
    struct nn chosen = kernels_for(nn, call->D);
    int tasks = call->n_blocks * call->G;

#pragma omp parallel for num_threads(nn->threads) schedule(dynamic, 1) if (nn->threads > 1)
    for (int i = 0; i < tasks; i++) {
        struct task task = task_of(&chosen, call, i);

        task.memory = forward_memory(&chosen, scratch_of(&task, longest), task.T, call->D);
        forward_task(&task);
    }
    profile_lap(nn->profile, PROFILE_ATTENTION, call->H * products(call, 2));
}

/* What the backward pass is given and makes. */
struct gradients {
    const float *d_o, *delta;
    float *dq, *dk, *dv;
};

/* Rows r0.. of a tile: their p and ds up to the last panel that they see, and what they add to dq. */
static void backward_rows(const struct task *t, const struct tile *tile, int r0, int rows,
                          const struct gradients *to)
{
    const struct attention_call *call = t->call;
    float *p = t->memory.p + (size_t)r0 * t->memory.ld;
    float *ds = t->memory.ds + (size_t)r0 * t->memory.ld;
    struct tile part = *tile;
    float beta = tile->first == 0 ? 0.0f : 1.0f;
    float lse[ATTENTION_TILE], delta[ATTENTION_TILE];
    struct score_rows at;

    part.i += r0;
    part.rows = rows;
    part.to = token_of(t, part.i + rows - 1) + 1;
    part.to = part.to < tile->to ? part.to : tile->to;
    for (int r = 0; r < rows; r++) {
        size_t query = (size_t)(t->first + part.i + r) * call->H + tile->h;

        lse[r] = call->lse[query];
        delta[r] = to->delta[query];
    }
    find_seen(t, &part, &at);
    scores(t, &part, call->q, t->memory.keys_t, t->scale, p);
    scores(t, &part, to->d_o, t->memory.values_t, 1.0f, ds);
    t->nn->kernels->prob_rows(&at, p, ds, lse, delta);
    combine(t, &part, ds, t->memory.keys, t->scale, beta, to->dq);
}

/* Queries [from, to) of a block: those that see any of the n keys from key on. */
struct queries {
    int from, to;
};

static struct queries queries_of(const struct task *t, int key, int n)
{
    int window = t->call->window;
    int end = window > 0 && t->T - key - n >= window ? key + n + window - 1 : t->T;

    return (struct queries){ query_from(t, key), query_from(t, end) };
}

/* The n keys from key on, and the queries of a head that see any of them, the last first; writes: these set dk_t and dv_t. */
static void backward_head(const struct task *t, int h, int key, int n, int writes,
                          const struct gradients *to)
{
    const struct attention_call *call = t->call;
    struct queries seeing = queries_of(t, key, n);
    int height = tile_height(t->nn);

    if (seeing.from == seeing.to)
        return;
    for (int i = seeing.from + (seeing.to - seeing.from - 1) / height * height; i >= seeing.from;
         i -= height) {
        int rows = seeing.to - i < height ? seeing.to - i : height;
        int end = token_of(t, i + rows - 1) + 1 < key + n ? token_of(t, i + rows - 1) + 1 : key + n;
        struct tile tile = { h, i, rows, key, end, key, n };
        int step = token_of(t, i) < key + n ? t->nn->products->tile_rows
                                            : height; // little above the diagonal
        float beta = writes && i + rows == seeing.to ? 0.0f : 1.0f;

        for (int r = 0; r < rows; r += step)
            backward_rows(t, &tile, r, rows - r < step ? rows - r : step, to);
        scatter(t, &tile, t->memory.ds, call->q, t->scale, beta, t->memory.dk_t);
        scatter(t, &tile, t->memory.p, to->d_o, 1.0f, beta, t->memory.dv_t);
    }
}

/* The last query that sees any of n keys is past them all: then its tile sets dk_t and dv_t of each. */
static int last_is_past(const struct task *t, int key, int n)
{
    struct queries seeing = queries_of(t, key, n);

    return seeing.to > seeing.from && token_of(t, seeing.to - 1) >= key + n - 1;
}

static void backward_task(const struct task *t, const struct gradients *to)
{
    const struct attention_call *call = t->call;
    int share = call->H / call->G, first = t->g * share;
    size_t ld = (size_t)call->G * call->D;
    const struct nn_kernels *kernels = t->nn->kernels;

    for (int i = 0; call->window > 0 && i < t->Q; i++) // without one all see the first keys
        memset(to->dq + query_at(t, first, i), 0, (size_t)share * call->D * sizeof(float));
    for (int key = 0; key < t->T; key += RUN) {
        int n = t->T - key < RUN ? t->T - key : RUN, all = last_is_past(t, key, n);

        if (!all) {
            memset(t->memory.dk_t, 0, (size_t)call->D * RUN_STRIDE * sizeof(float));
            memset(t->memory.dv_t, 0, (size_t)call->D * RUN_STRIDE * sizeof(float));
        }
        pack(t, t->memory.keys_t, call->k, 1, key, n);
        pack(t, t->memory.values_t, call->v, 1, key, n);
        pack(t, t->memory.keys, call->k, 0, key, n);
        for (int h = first; h < first + share; h++)
            backward_head(t, h, key, n, all && h == first, to);
        kernels->transpose(to->dk + key_at(t, key), ld, t->memory.dk_t, RUN_STRIDE, call->D, n);
        kernels->transpose(to->dv + key_at(t, key), ld, t->memory.dv_t, RUN_STRIDE, call->D, n);
    }
}

void attention_backward(const struct nn *nn, const struct attention_call *call, int longest,
                        const float *d_o, float *delta, float *dq, float *dk, float *dv)
{
    int tasks = call->n_blocks * call->G;
    struct gradients to = { d_o, delta, dq, dk, dv };
    struct nn chosen = kernels_for(nn, call->D);

#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (int i = 0; i < call->Q; i++) {
        size_t at = (size_t)i * call->H;

        nn->kernels->dot_rows(delta + at, d_o + at * call->D, call->o + at * call->D, call->H,
                              call->D);
    }
#pragma omp parallel for num_threads(nn->threads) schedule(dynamic, 1) if (nn->threads > 1)
    for (int i = 0; i < tasks; i++) {
        struct task task = task_of(&chosen, call, i);

        task.memory = backward_memory(&chosen, scratch_of(&task, longest), call->D);
        backward_task(&task, &to);
    }
    profile_lap(nn->profile, PROFILE_ATTENTION, call->H * products(call, 4));
}
