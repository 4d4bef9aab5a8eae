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

    for (int i = 0; i < run->pass->N; i++)
        dtype_widen(x + (size_t)i * C,
                    (const char *)m->embedding + (size_t)run->pass->ids[i] * row_bytes,
                    m->embedding_dtype, C);
}

static void forward(const struct run *run)
{
    const struct model *m = run->model;
    struct model_work *work = run->work;

    rope_table(run->nn, work->cosine, work->sine, run->pass->positions, m->inv_freq, run->pass->N,
               m->config.D);
    embed(run, work->acts[0].x);
    for (int l = 0; l < m->config.L; l++)
        layer_forward(run, l, l + 1 < m->config.L ? work->acts[l + 1].x : work->x_out);
}

/* The labelled rows side by side: only they reach the head. Returns how many. */
static int gather_labelled(const struct run *run)
{
    struct model_work *work = run->work;
    size_t C = (size_t)run->model->config.C;
    int M = 0;

    for (int i = 0; i < run->pass->N; i++) {
        if (run->pass->targets[i] < 0)
            continue;
        work->loss_row[M] = i;
        work->loss_target[M] = run->pass->targets[i];
        memcpy(work->loss_h + (size_t)M * C, work->x_out + (size_t)i * C, C * sizeof(float));
        M++;
    }
    return M;
}

static void sum_leaf_losses(const struct run *run, int M, double *leaf_loss)
{
    int leaf = 0;

    for (int i = 0; i < run->pass->n_leaves; i++)
        leaf_loss[i] = 0.0;
    for (int i = 0; i < M; i++) {
        while (run->work->loss_row[i] >= run->pass->leaves[leaf + 1])
            leaf++;
        leaf_loss[leaf] += run->work->loss[i];
    }
}

/* Loss of every leaf; with train, dx of the last layer's output. Returns the labelled rows. */
static int head(const struct run *run, double *leaf_loss)
{
    const struct model *m = run->model;
    struct model_work *work = run->work;
    int C = m->config.C, M = gather_labelled(run);
    float *normed = work->h; // [M,C]: no more rows than tokens
    float *dx = work->loss_h;

    rmsnorm_forward(run->nn, normed, work->loss_rstd, work->loss_h, m->norm_out, m->config.eps, M,
                    C);
    cross_entropy(run->nn, work->loss, run->pass->train ? work->loss_dh : NULL, normed, m->head,
                  m->head_dtype, work->loss_target, M, C, m->config.V, work->logits);
    sum_leaf_losses(run, M, leaf_loss);
    if (!run->pass->train)
        return M;
    memset(work->dx, 0, (size_t)run->pass->N * C * sizeof(float));
    memset(normed, 0, (size_t)M * C * sizeof(float));
    rmsnorm_backward(run->nn, normed, work->loss_dh, dx, m->norm_out, work->loss_rstd, M, C);
    for (int i = 0; i < M; i++)
        memcpy(work->dx + (size_t)work->loss_row[i] * C, normed + (size_t)i * C,
               (size_t)C * sizeof(float));
    return M;
}

static void backward(const struct run *run)
{
    const struct model *m = run->model;

    for (int l = m->config.L - 1; l >= m->first_layer; l--) {
        if (!layer_is_kept(m, &run->work->shape, l))
            layer_forward(run, l, run->work->x_out);
        layer_backward(run, l);
    }
}

void model_run(const struct model *model, const struct nn *nn, struct model_work *work,
               const struct model_pass *pass, double *leaf_loss, const struct model_sink *sink)
{
    struct run run = { model, nn, work, pass, sink };

    if (pass->N > work->shape.N || pass->n_leaves > work->shape.n_leaves)
        BUG("a pass of %d tokens in %d leaves for a workspace of %d in %d", pass->N, pass->n_leaves,
            work->shape.N, work->shape.n_leaves);
    forward(&run);
    if (head(&run, leaf_loss) > 0 && pass->train)
        backward(&run);
}
