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
 * Past the attention of the last layer there are only the labelled rows.
 */
#include <string.h>

#include "model/model_internal.h"
#include "nn/attention.h"
#include "nn/elementwise.h"
#include "nn/rmsnorm.h"
#include "nn/rope.h"

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
                                    .n_blocks = run->pass->n_blocks,
                                    .H = c->H,
                                    .G = c->G,
                                    .D = c->D,
                                    .window = run->model->layers[l].window,
                                    .scratch = run->work->attention };
}

static void norm_in(const struct run *run, int l, float *h)
{
    const struct layer_acts *a = &run->work->acts[l];
    const struct model_config *c = &run->model->config;

    rmsnorm_forward(run->nn, h, a->rstd_in, a->x, run->model->layers[l].norm_in, c->eps,
                    run->pass->N, c->C);
}

static void norm_mid(const struct run *run, int l, float *h)
{
    const struct layer_acts *a = &run->work->acts[l];
    const struct model_config *c = &run->model->config;

    rmsnorm_forward(run->nn, h, a->rstd_mid, a->x_mid, run->model->layers[l].norm_mid, c->eps,
                    layer_rows(run, l)->N, c->C);
}

static int is_last(const struct run *run, int l)
{
    return l + 1 == run->model->config.L;
}

const struct rows *layer_rows(const struct run *run, int l)
{
    return is_last(run, l) ? &run->labelled : &run->all;
}

/* dst [labelled,width] = the labelled rows of src [N,width]. Returns dst. */
static float *gather(const struct run *run, float *dst, const float *src, int width)
{
    for (int i = 0; i < run->labelled.N; i++)
        memcpy(dst + (size_t)i * width, src + (size_t)run->work->loss_row[i] * width,
               (size_t)width * sizeof(*dst));
    return dst;
}

/* x [labelled,width] to [N,width] in place: the other rows are zero. */
static void scatter(const struct run *run, float *x, int width)
{
    size_t bytes = (size_t)width * sizeof(*x);
    int row = run->all.N;

    for (int i = run->labelled.N - 1; i >= -1; i--) { // from the end: a row only moves up
        int to = i < 0 ? -1 : run->work->loss_row[i];

        if (to >= 0)
            memmove(x + (size_t)to * width, x + (size_t)i * width, bytes);
        while (--row > to)
            memset(x + (size_t)row * width, 0, bytes);
    }
}

static void attention_inputs(const struct run *run, int l)
{
    const struct model_layer *layer = &run->model->layers[l];
    const struct model_config *c = &run->model->config;
    struct model_work *work = run->work;
    struct layer_acts *a = &work->acts[l];
    int N = run->pass->N;

    norm_in(run, l, work->h);
    linear_forward(run, &run->all, &layer->linear[SLOT_Q], c->qk_norm ? a->q_raw : a->q,
                   a->xa[SLOT_Q], work->h);
    linear_forward(run, &run->all, &layer->linear[SLOT_K], c->qk_norm ? a->k_raw : a->k,
                   a->xa[SLOT_K], work->h);
    linear_forward(run, &run->all, &layer->linear[SLOT_V], a->v, a->xa[SLOT_V], work->h);
    if (c->qk_norm) {
        rmsnorm_forward(run->nn, a->q, a->q_rstd, a->q_raw, layer->norm_q, c->eps, N * c->H, c->D);
        rmsnorm_forward(run->nn, a->k, a->k_rstd, a->k_raw, layer->norm_k, c->eps, N * c->G, c->D);
    }
    rope_forward(run->nn, a->q, work->cosine, work->sine, N, c->H, c->D);
    rope_forward(run->nn, a->k, work->cosine, work->sine, N, c->G, c->D);
}

void layer_forward(const struct run *run, int l, float *next)
{
    const struct model_layer *layer = &run->model->layers[l];
    const struct model_config *c = &run->model->config;
    const struct rows *rows = layer_rows(run, l);
    struct model_work *work = run->work;
    struct layer_acts *a = &work->acts[l];
    struct attention_call attention = attention_of(run, l);
    size_t stream = (size_t)rows->N * c->C, wide = (size_t)rows->N * c->F;
    const float *att = a->att, *x = a->x;

    attention_inputs(run, l);
    attention_forward(run->nn, &attention, work->shape.longest);
    if (is_last(run, l)) {
        att = gather(run, work->top_att, a->att, c->H * c->D);
        x = gather(run, work->dh, a->x, c->C);
    }
    linear_forward(run, rows, &layer->linear[SLOT_O], a->x_mid, a->xa[SLOT_O], att);
    add_forward(run->nn, a->x_mid, x, stream);
    norm_mid(run, l, work->h);
    linear_forward(run, rows, &layer->linear[SLOT_GATE], a->gate, a->xa[SLOT_GATE], work->h);
    linear_forward(run, rows, &layer->linear[SLOT_UP], a->up, a->xa[SLOT_UP], work->h);
    swiglu_forward(run->nn, work->act, a->gate, a->up, wide);
    linear_forward(run, rows, &layer->linear[SLOT_DOWN], next, a->xa[SLOT_DOWN], work->act);
    if (next)
        add_forward(run->nn, next, a->x_mid, stream);
}

/* True when an adapter lies at or below this slot of layer l, so that its input gradient is needed. */
static int needs_below(const struct run *run, int l, enum model_slot slot)
{
    return l > run->model->first_layer || run->model->first_slot < slot;
}

/* dx of x_out to dx of x_mid. */
static void mlp_backward(const struct run *run, int l)
{
    const struct model_layer *layer = &run->model->layers[l];
    const struct model_config *c = &run->model->config;
    struct model_work *work = run->work;
    struct layer_acts *a = &work->acts[l];
    const struct rows *rows = layer_rows(run, l);
    size_t wide = (size_t)rows->N * c->F;
    int through = needs_below(run, l, SLOT_DOWN), below = needs_below(run, l, SLOT_GATE);

    linear_input_gradient(run, rows, &layer->linear[SLOT_DOWN], through ? work->dup : NULL, 0,
                          work->dx);
    if (through)
        swiglu_backward(run->nn, work->dgate, work->dup, work->act, work->dup, a->gate, a->up,
                        wide);
    else
        swiglu_forward(run->nn, work->act, a->gate, a->up, wide);
    linear_adapter_gradients(run, rows, &layer->linear[SLOT_DOWN], work->dx, work->act,
                             a->xa[SLOT_DOWN]);
    if (!through)
        return;
    norm_mid(run, l, work->h);
    linear_backward(run, rows, &layer->linear[SLOT_GATE], below ? work->dh : NULL, 0, work->dgate,
                    work->h, a->xa[SLOT_GATE]);
    linear_backward(run, rows, &layer->linear[SLOT_UP], below ? work->dh : NULL, 1, work->dup,
                    work->h, a->xa[SLOT_UP]);
    if (below)
        rmsnorm_backward(run->nn, work->dx, work->dh, a->x_mid, layer->norm_mid, a->rstd_mid,
                         rows->N, c->C);
}

/* dq and dk of the rotated q and k to those of the linear modules' outputs, in place. */
static void rotary_backward(const struct run *run, int l)
{
    const struct model_layer *layer = &run->model->layers[l];
    const struct model_config *c = &run->model->config;
    struct model_work *work = run->work;
    struct layer_acts *a = &work->acts[l];
    int N = run->pass->N;
    size_t q = (size_t)N * c->H * c->D, kv = (size_t)N * c->G * c->D;

    rope_backward(run->nn, work->dq, work->cosine, work->sine, N, c->H, c->D);
    rope_backward(run->nn, work->dk, work->cosine, work->sine, N, c->G, c->D);
    if (!c->qk_norm)
        return;
    memcpy(work->datt, work->dq, q * sizeof(float));
    memset(work->dq, 0, q * sizeof(float));
    rmsnorm_backward(run->nn, work->dq, work->datt, a->q_raw, layer->norm_q, a->q_rstd, N * c->H,
                     c->D);
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

    linear_backward(run, layer_rows(run, l), &layer->linear[SLOT_O], through ? work->datt : NULL, 0,
                    work->dx, is_last(run, l) ? work->top_att : a->att, a->xa[SLOT_O]);
    if (!through)
        return;
    if (is_last(run, l)) {
        scatter(run, work->datt, c->H * c->D);
        scatter(run, work->dx, c->C);
    }
    attention_backward(run->nn, &attention, work->shape.longest, work->datt, work->delta, work->dq,
                       work->dk, work->dv);
    rotary_backward(run, l);
    norm_in(run, l, work->h);
    linear_backward(run, &run->all, &layer->linear[SLOT_Q], dh, 0, work->dq, work->h,
                    a->xa[SLOT_Q]);
    linear_backward(run, &run->all, &layer->linear[SLOT_K], dh, 1, work->dk, work->h,
                    a->xa[SLOT_K]);
    linear_backward(run, &run->all, &layer->linear[SLOT_V], dh, 1, work->dv, work->h,
                    a->xa[SLOT_V]);
    if (below)
        rmsnorm_backward(run->nn, work->dx, work->dh, a->x, layer->norm_in, a->rstd_in,
                         run->pass->N, c->C);
}

void layer_backward(const struct run *run, int l)
{
    mlp_backward(run, l);
    if (needs_below(run, l, SLOT_GATE))
        attention_part_backward(run, l);
}
