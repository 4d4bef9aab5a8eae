/*
 * model/layer.c: one decoder layer, forward and backward.
 *
 *     h = norm_in(x);  q, k, v = linear(h), q and k normed (Qwen3) and rotated
 *     x_mid = x + o_proj(attention(q, k, v))
 *     h = norm_mid(x_mid);  x_out = x_mid + down_proj(silu(gate(h)) up(h))
 *
 * Backward goes the same way from the end. Normed inputs and the SwiGLU output
 * are computed again: they cost one pass over memory and are the largest.
 *
 * The forward pass computes rows that leaves have in common once (rows.c): x,
 * x_mid, gate and up have a row for each that is distinct, what attention and
 * adapters read has all. In the last layer only the labelled rows have a query
 * and what follows it.
 */
#include <string.h>

#include "model/model_internal.h"
#include "nn/attention.h"
#include "nn/elementwise.h"
#include "nn/rmsnorm.h"
#include "nn/rope.h"

static int is_last(const struct run *run, int l)
{
    return l + 1 == run->model->config.L;
}

/* The queries of layer l, with their angles. */
struct queries {
    int n;
    const float *cosine, *sine;
};

static struct queries queries_of(const struct run *run, int l)
{
    const struct model_work *work = run->work;

    if (is_last(run, l))
        return (struct queries){ run->labelled.N, work->loss_cosine, work->loss_sine };
    return (struct queries){ run->all.N, work->cosine, work->sine };
}

static struct attention_call attention_of(const struct run *run, int l)
{
    const struct model_config *c = &run->model->config;
    const struct layer_acts *a = &run->work->acts[l];

    return (struct attention_call){ .q = a->q,
                                    .k = a->k,
                                    .v = a->v,
                                    .o = a->att,
                                    .lse = a->lse,
                                    .blocks = run->pass->blocks,
                                    .query = is_last(run, l) ? run->work->loss_row : NULL,
                                    .n_blocks = run->pass->n_blocks,
                                    .Q = queries_of(run, l).n,
                                    .H = c->H,
                                    .G = c->G,
                                    .D = c->D,
                                    .window = run->model->layers[l].window,
                                    .scratch = run->work->attention };
}

/* The rows of layer l but for keys and values, in the forward pass. */
static const struct rows *forward_rows(const struct run *run, int l)
{
    return is_last(run, l) ? &run->labelled : &run->distinct;
}

/* The same in the backward pass. */
static const struct rows *backward_rows(const struct run *run, int l)
{
    return is_last(run, l) ? &run->labelled : &run->all;
}

/*
 * The runs of rows in which what a layer keeps, a row for each that is distinct, meets what has one
 * for each of all. count: their number. Labelled rows are a run by themselves.
 */
static const struct span *spans_of(const struct run *run, const struct rows *rows,
                                   struct span *single, int *count)
{
    *count = 1;
    *single = (struct span){ 0, 0, rows->N, 0 };
    if (rows != &run->all)
        return single;
    *count = run->n_spans;
    return run->work->spans;
}

/* h [rows,C] = the normed x that the layer keeps. */
static void norm(const struct run *run, const struct rows *rows, float *h, const float *x,
                 const float *weight, float *rstd)
{
    const struct model_config *c = &run->model->config;
    struct span single;
    int count;
    const struct span *span = spans_of(run, rows, &single, &count);

    for (const struct span *end = span + count; span < end; span++)
        rmsnorm_forward(run->nn, h + (size_t)span->row * c->C, rstd + span->from,
                        x + (size_t)span->from * c->C, weight, c->eps, span->n, c->C);
}

/* dx [rows,C] += the gradient of x by that of h. */
static void norm_backward(const struct run *run, const struct rows *rows, float *dx,
                          const float *dh, const float *x, const float *weight, const float *rstd)
{
    const struct model_config *c = &run->model->config;
    struct span single;
    int count;
    const struct span *span = spans_of(run, rows, &single, &count);

    for (const struct span *end = span + count; span < end; span++)
        rmsnorm_backward(run->nn, dx + (size_t)span->row * c->C, dh + (size_t)span->row * c->C,
                         x + (size_t)span->from * c->C, weight, rstd + span->from, span->n, c->C);
}

static void norm_in(const struct run *run, int l, const struct rows *rows)
{
    const struct layer_acts *a = &run->work->acts[l];

    norm(run, rows, run->work->h, a->x, run->model->layers[l].norm_in, a->rstd_in);
}

static void norm_mid(const struct run *run, int l, const struct rows *rows)
{
    const struct layer_acts *a = &run->work->acts[l];

    norm(run, rows, run->work->h, a->x_mid, run->model->layers[l].norm_mid, a->rstd_mid);
}

static void attention_inputs(const struct run *run, int l)
{
    const struct model_layer *layer = &run->model->layers[l];
    const struct model_config *c = &run->model->config;
    struct model_work *work = run->work;
    struct layer_acts *a = &work->acts[l];
    struct queries queries = queries_of(run, l);
    float *q = c->qk_norm ? a->q_raw : a->q, *k = c->qk_norm ? a->k_raw : a->k;
    const float *asking = work->h;
    int N = run->pass->N;

    norm_in(run, l, &run->distinct);
    if (is_last(run, l))
        asking = rows_take(work->loss_dh, work->h, work->loss_distinct, queries.n, c->C);
    linear_forward(run, forward_rows(run, l), &layer->linear[SLOT_Q], q, a->xa[SLOT_Q], asking);
    linear_forward(run, &run->distinct, &layer->linear[SLOT_K], k, a->xa[SLOT_K], work->h);
    linear_forward(run, &run->distinct, &layer->linear[SLOT_V], a->v, a->xa[SLOT_V], work->h);
    if (!is_last(run, l))
        rows_repeat(run, q, c->H * c->D);
    rows_repeat(run, k, c->G * c->D);
    rows_repeat(run, a->v, c->G * c->D);
    if (c->qk_norm) {
        rmsnorm_forward(run->nn, a->q, a->q_rstd, a->q_raw, layer->norm_q, c->eps, queries.n * c->H,
                        c->D);
        rmsnorm_forward(run->nn, a->k, a->k_rstd, a->k_raw, layer->norm_k, c->eps, N * c->G, c->D);
    }
    rope_forward(run->nn, a->q, queries.cosine, queries.sine, queries.n, c->H, c->D);
    rope_forward(run->nn, a->k, work->cosine, work->sine, N, c->G, c->D);
}

/* Gradients of an adapter want all rows of what it was given. */
static void repeat_adapter_inputs(const struct run *run, int l)
{
    const struct layer_acts *a = &run->work->acts[l];

    for (int s = 0; s < SLOT_COUNT; s++)
        if (run->model->layers[l].linear[s].module >= 0 &&
            (!is_last(run, l) || s == SLOT_K || s == SLOT_V)) // the others have labelled rows alone
            rows_repeat(run, a->xa[s], run->model->adapter->R);
}

void layer_forward(const struct run *run, int l, float *next)
{
    const struct model_layer *layer = &run->model->layers[l];
    const struct model_config *c = &run->model->config;
    const struct rows *rows = forward_rows(run, l);
    struct model_work *work = run->work;
    struct layer_acts *a = &work->acts[l];
    struct attention_call attention = attention_of(run, l);
    size_t stream = (size_t)rows->N * c->C, wide = (size_t)rows->N * c->F;
    const float *att = a->att, *x = a->x;

    attention_inputs(run, l);
    attention_forward(run->nn, &attention, work->shape.longest);
    if (is_last(run, l))
        x = rows_take(work->dh, a->x, work->loss_distinct, rows->N, c->C);
    else
        att = rows_distinct(run, work->datt, a->att, c->H * c->D);
    linear_forward(run, rows, &layer->linear[SLOT_O], a->x_mid, a->xa[SLOT_O], att);
    add_forward(run->nn, a->x_mid, x, stream);
    norm_mid(run, l, rows);
    linear_forward(run, rows, &layer->linear[SLOT_GATE], a->gate, a->xa[SLOT_GATE], work->h);
    linear_forward(run, rows, &layer->linear[SLOT_UP], a->up, a->xa[SLOT_UP], work->h);
    swiglu_forward(run->nn, work->act, a->gate, a->up, wide);
    linear_forward(run, rows, &layer->linear[SLOT_DOWN], next, a->xa[SLOT_DOWN], work->act);
    if (next)
        add_forward(run->nn, next, a->x_mid, stream);
    repeat_adapter_inputs(run, l);
}

/* True when an adapter lies at or below this slot of layer l, so that its input gradient is needed. */
static int needs_below(const struct run *run, int l, enum model_slot slot)
{
    return l > run->model->first_layer || run->model->first_slot < slot;
}

/* act = silu(gate) up, of all rows; through: also dgate and dup, whose place dact has until then. */
static void swiglu_again(const struct run *run, int l, const struct rows *rows, int through)
{
    const struct layer_acts *a = &run->work->acts[l];
    size_t F = (size_t)run->model->config.F;
    struct model_work *work = run->work;
    struct span single;
    int count;
    const struct span *span = spans_of(run, rows, &single, &count);

    for (const struct span *end = span + count; span < end; span++) {
        size_t at = (size_t)span->row * F, from = (size_t)span->from * F;

        if (through)
            swiglu_backward(run->nn, work->dgate + at, work->dup + at, work->act + at,
                            work->dup + at, a->gate + from, a->up + from, (size_t)span->n * F);
        else
            swiglu_forward(run->nn, work->act + at, a->gate + from, a->up + from,
                           (size_t)span->n * F);
    }
}

/* dx of x_out to dx of x_mid. */
static void mlp_backward(const struct run *run, int l)
{
    const struct model_layer *layer = &run->model->layers[l];
    struct model_work *work = run->work;
    struct layer_acts *a = &work->acts[l];
    const struct rows *rows = backward_rows(run, l);
    int through = needs_below(run, l, SLOT_DOWN), below = needs_below(run, l, SLOT_GATE);

    linear_input_gradient(run, rows, &layer->linear[SLOT_DOWN], through ? work->dup : NULL, 0,
                          work->dx);
    swiglu_again(run, l, rows, through);
    linear_adapter_gradients(run, rows, &layer->linear[SLOT_DOWN], work->dx, work->act,
                             a->xa[SLOT_DOWN]);
    if (!through)
        return;
    norm_mid(run, l, rows);
    linear_backward(run, rows, &layer->linear[SLOT_GATE], below ? work->dh : NULL, 0, work->dgate,
                    work->h, a->xa[SLOT_GATE]);
    linear_backward(run, rows, &layer->linear[SLOT_UP], below ? work->dh : NULL, 1, work->dup,
                    work->h, a->xa[SLOT_UP]);
    if (below)
        norm_backward(run, rows, work->dx, work->dh, a->x_mid, layer->norm_mid, a->rstd_mid);
}

/* dq and dk of the rotated q and k to those of the linear modules' outputs, in place. */
static void rotary_backward(const struct run *run, int l)
{
    const struct model_layer *layer = &run->model->layers[l];
    const struct model_config *c = &run->model->config;
    struct model_work *work = run->work;
    struct layer_acts *a = &work->acts[l];
    struct queries queries = queries_of(run, l);
    int N = run->pass->N;
    size_t q = (size_t)queries.n * c->H * c->D, kv = (size_t)N * c->G * c->D;

    rope_backward(run->nn, work->dq, queries.cosine, queries.sine, queries.n, c->H, c->D);
    rope_backward(run->nn, work->dk, work->cosine, work->sine, N, c->G, c->D);
    if (!c->qk_norm)
        return;
    memcpy(work->datt, work->dq, q * sizeof(float));
    memset(work->dq, 0, q * sizeof(float));
    rmsnorm_backward(run->nn, work->dq, work->datt, a->q_raw, layer->norm_q, a->q_rstd,
                     queries.n * c->H, c->D);
    memcpy(work->datt, work->dk, kv * sizeof(float));
    memset(work->dk, 0, kv * sizeof(float));
    rmsnorm_backward(run->nn, work->dk, work->datt, a->k_raw, layer->norm_k, a->k_rstd, N * c->G,
                     c->D);
}

/* dx of x_mid to dx of x. */
static void attention_part_backward(const struct run *run, int l)
{
    const struct model_layer *layer = &run->model->layers[l];
    const struct model_config *c = &run->model->config;
    struct model_work *work = run->work;
    struct layer_acts *a = &work->acts[l];
    struct attention_call attention = attention_of(run, l);
    int through = needs_below(run, l, SLOT_O), below = l > run->model->first_layer;
    float *dh = below ? work->dh : NULL;
    const float *asking = work->h;

    linear_backward(run, backward_rows(run, l), &layer->linear[SLOT_O], through ? work->datt : NULL,
                    0, work->dx, a->att, a->xa[SLOT_O]);
    if (!through)
        return;
    attention_backward(run->nn, &attention, work->shape.longest, work->datt, work->delta, work->dq,
                       work->dk, work->dv);
    rotary_backward(run, l);
    norm_in(run, l, &run->all);
    if (is_last(run, l))
        asking = rows_take(work->loss_dh, work->h, work->loss_row, run->labelled.N, c->C);
    linear_backward(run, backward_rows(run, l), &layer->linear[SLOT_Q], dh, 0, work->dq, asking,
                    a->xa[SLOT_Q]);
    if (is_last(run, l) && below) {
        rows_scatter(run, work->dh, c->C);
        rows_scatter(run, work->dx, c->C);
    }
    linear_backward(run, &run->all, &layer->linear[SLOT_K], dh, 1, work->dk, work->h,
                    a->xa[SLOT_K]);
    linear_backward(run, &run->all, &layer->linear[SLOT_V], dh, 1, work->dv, work->h,
                    a->xa[SLOT_V]);
    if (below)
        norm_backward(run, &run->all, work->dx, work->dh, a->x, layer->norm_in, a->rstd_in);
}

void layer_backward(const struct run *run, int l)
{
    mlp_backward(run, l);
    if (needs_below(run, l, SLOT_GATE))
        attention_part_backward(run, l);
}
