/*
 * model/work.c: where activations and scratch memory lie.
 *
 * A layer that is kept has every array of its own. The others own their input
 * x and share one set of the rest: forward overwrites it layer by layer, and
 * backward computes it again from x before it is needed. Kept are the topmost
 * layers; those below the lowest adapter have no backward pass and are never
 * kept.
 */
#include "model/model_internal.h"
#include "nn/attention.h"
#include "nn/cross_entropy.h"

static float *floats(struct arena *arena, size_t rows, size_t cols)
{
    return arena_take(arena, size_mul(rows, cols), sizeof(float));
}

/* Everything of a layer but its input. */
static void place_acts(struct layer_acts *a, struct arena *arena, const struct model *model, int l,
                       const struct model_shape *shape)
{
    const struct model_config *c = &model->config;
    size_t N = (size_t)shape->N, asking = l + 1 == c->L ? (size_t)shape->labelled : N;
    size_t q = (size_t)c->H * c->D, kv = (size_t)c->G * c->D;

    a->rstd_in = floats(arena, N, 1);
    if (c->qk_norm) {
        a->q_raw = floats(arena, asking, q);
        a->k_raw = floats(arena, N, kv);
        a->q_rstd = floats(arena, asking, (size_t)c->H);
        a->k_rstd = floats(arena, N, (size_t)c->G);
    }
    a->q = floats(arena, asking, q);
    a->k = floats(arena, N, kv);
    a->v = floats(arena, N, kv);
    a->att = floats(arena, asking, q);
    a->lse = floats(arena, asking, (size_t)c->H);
    a->x_mid = floats(arena, asking, (size_t)c->C);
    a->rstd_mid = floats(arena, asking, 1);
    a->gate = floats(arena, asking, (size_t)c->F);
    a->up = floats(arena, asking, (size_t)c->F);
    for (int s = 0; s < SLOT_COUNT; s++)
        if (l < 0 || model->layers[l].linear[s].module >= 0)
            a->xa[s] = floats(arena, s == SLOT_K || s == SLOT_V ? N : asking,
                              model->adapter ? (size_t)model->adapter->R : 0);
}

int layer_is_kept(const struct model *model, const struct model_shape *shape, int l)
{
    return l >= model->first_layer && l >= model->config.L - shape->kept_layers;
}

static void place_layers(struct model_work *work, struct arena *arena, const struct model *model,
                         const struct model_shape *shape)
{
    int L = model->config.L, shared = 0;
    struct layer_acts common = { 0 };

    for (int l = 0; l < L; l++)
        shared = shared || !layer_is_kept(model, shape, l);
    work->acts = arena_take(arena, (size_t)L, sizeof(*work->acts));
    if (shared)
        place_acts(&common, arena, model, -1, shape);
    for (int l = 0; l < L; l++) {
        struct layer_acts a = { 0 };

        if (layer_is_kept(model, shape, l))
            place_acts(&a, arena, model, l, shape);
        else
            a = common;
        a.x = floats(arena, (size_t)shape->N, (size_t)model->config.C);
        if (work->acts)
            work->acts[l] = a;
    }
}

static void place_loss(struct model_work *work, struct arena *arena, const struct model *model,
                       const struct model_shape *shape)
{
    const struct model_config *c = &model->config;
    size_t M = (size_t)shape->labelled;

    work->x_out = floats(arena, M, (size_t)c->C);
    work->loss_cosine = floats(arena, M, (size_t)c->D / 2);
    work->loss_sine = floats(arena, M, (size_t)c->D / 2);
    work->loss_dh = floats(arena, M, (size_t)c->C);
    work->loss_rstd = floats(arena, M, 1);
    work->loss = arena_take(arena, M, sizeof(*work->loss));
    work->loss_row = arena_take(arena, M, sizeof(*work->loss_row));
    work->loss_distinct = arena_take(arena, M, sizeof(*work->loss_distinct));
    work->loss_leaf = arena_take(arena, (size_t)shape->n_leaves + 1, sizeof(*work->loss_leaf));
    work->loss_target = arena_take(arena, M, sizeof(*work->loss_target));
    work->logits = floats(arena, cross_entropy_scratch_floats((int)M, c->V), 1);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

void model_work_place(struct model_work *work, struct arena *arena, const struct model *model,
                      const struct nn *nn, const struct model_shape *shape)
{
    const struct model_config *c = &model->config;
    size_t N = (size_t)shape->N, C = (size_t)c->C, F = (size_t)c->F;
    size_t q = (size_t)c->H * c->D, kv = (size_t)c->G * c->D;
    size_t widest = larger(larger(C, F), q);
    size_t R = model->adapter ? (size_t)model->adapter->R : 0;

    *work = (struct model_work){ .shape = *shape };
    place_layers(work, arena, model, shape);
    work->cosine = floats(arena, N, (size_t)c->D / 2);
    work->sine = floats(arena, N, (size_t)c->D / 2);
    work->spans = arena_take(arena, N, sizeof(*work->spans));
    work->h = floats(arena, N, C);
    work->act = floats(arena, N, F);
    if (model->adapter && model->adapter->dropout > 0.0f)
        work->dropped = floats(arena, N, widest);
    work->attention = floats(arena, attention_scratch_floats(nn, shape->longest, c->D), 1);
    place_loss(work, arena, model, shape);
    work->dx = floats(arena, N, C);
    work->dh = floats(arena, N, C);
    work->dgate = floats(arena, N, F);
    work->dup = floats(arena, N, F);
    work->dq = floats(arena, N, q);
    work->dk = floats(arena, N, kv);
    work->dv = floats(arena, N, kv);
    work->datt = floats(arena, N, q);
    work->delta = floats(arena, N, (size_t)c->H);
    work->dxa = floats(arena, N, R);
    work->leaf_a = floats(arena, R, widest);
    work->leaf_bt = floats(arena, R, widest);
    work->leaf_b = floats(arena, R, widest);
}
