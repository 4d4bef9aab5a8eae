/*
 * model/run.c: embedding, layers, head and loss of one pass, and the way back.
 */
#include <string.h>

#include "model/model_internal.h"
#include "nn/cross_entropy.h"
#include "nn/rmsnorm.h"
#include "nn/rope.h"

static void embed(const struct run *run, float *x)
{
    const struct model *m = run->model;
    size_t C = (size_t)m->config.C, row_bytes = C * dtype_size(m->embedding_dtype);

    for (int s = 0; s < run->n_spans; s++) {
        const struct span *span = &run->work->spans[s];

        for (int i = 0; i < span->n && !span->again; i++)
            dtype_widen(x + (size_t)(span->from + i) * C,
                        (const char *)m->embedding +
                            (size_t)run->pass->ids[span->row + i] * row_bytes,
                        m->embedding_dtype, C);
    }
}

static void forward(const struct run *run)
{
    const struct model *m = run->model;
    struct model_work *work = run->work;

    rope_table(run->nn, work->cosine, work->sine, run->pass->positions, m->inv_freq, run->pass->N,
               m->config.D);
    rows_take(work->loss_cosine, work->cosine, work->loss_row, run->labelled.N, m->config.D / 2);
    rows_take(work->loss_sine, work->sine, work->loss_row, run->labelled.N, m->config.D / 2);
    embed(run, work->acts[0].x);
    for (int l = 0; l < m->config.L; l++)
        layer_forward(run, l, l + 1 < m->config.L ? work->acts[l + 1].x : work->x_out);
}

static void sum_leaf_losses(const struct run *run, double *leaf_loss)
{
    for (int leaf = 0; leaf < run->pass->n_leaves; leaf++) {
        leaf_loss[leaf] = 0.0;
        for (int i = run->labelled.leaves[leaf]; i < run->labelled.leaves[leaf + 1]; i++)
            leaf_loss[leaf] += run->work->loss[i];
    }
}

/* Loss of every leaf; with train, dx of the last layer's output. */
static void head(const struct run *run, double *leaf_loss)
{
    const struct model *m = run->model;
    struct model_work *work = run->work;
    int C = m->config.C, M = run->labelled.N;

    rmsnorm_forward(run->nn, work->h, work->loss_rstd, work->x_out, m->norm_out, m->config.eps, M,
                    C);
    cross_entropy(run->nn, work->loss, run->pass->train ? work->loss_dh : NULL, work->h, m->head,
                  m->head_dtype, work->loss_target, M, C, m->config.V, work->logits);
    sum_leaf_losses(run, leaf_loss);
    if (!run->pass->train)
        return;
    memset(work->dx, 0, (size_t)M * C * sizeof(float));
    rmsnorm_backward(run->nn, work->dx, work->loss_dh, work->x_out, m->norm_out, work->loss_rstd, M,
                     C);
}

/* Tells that the adapters of layer l, and of those above, have all of their gradients. */
static void layer_is_final(const struct run *run, int l)
{
    const struct model_linear *linear = run->model->layers[l].linear;

    for (int s = 0; s < SLOT_COUNT; s++)
        if (linear[s].module >= 0) { // the lowest offset
            run->sink->final(run->sink->context,
                             run->model->adapter->modules[linear[s].module].a_offset);
            return;
        }
}

static void backward(const struct run *run)
{
    const struct model *m = run->model;

    for (int l = m->config.L - 1; l >= m->first_layer; l--) {
        if (!layer_is_kept(m, &run->work->shape, l))
            layer_forward(run, l, NULL);
        layer_backward(run, l);
        if (run->sink->final)
            layer_is_final(run, l);
    }
}

void model_run(const struct model *model, const struct nn *nn, struct model_work *work,
               const struct model_pass *pass, double *leaf_loss, const struct model_sink *sink)
{
    struct run run = { .model = model, .nn = nn, .work = work, .pass = pass, .sink = sink };

    if (pass->N > work->shape.N || pass->n_leaves > work->shape.n_leaves)
        BUG("a pass of %d tokens in %d leaves for a workspace of %d in %d", pass->N, pass->n_leaves,
            work->shape.N, work->shape.n_leaves);
    rows_find(&run);
    forward(&run);
    head(&run, leaf_loss);
    if (pass->train && run.labelled.N > 0)
        backward(&run);
}
