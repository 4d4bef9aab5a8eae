/*
 * model/model_internal.h: the pieces of a pass.
 */
#ifndef MODEL_INTERNAL_H
#define MODEL_INTERNAL_H

#include "base/mem.h"
#include "model/model.h"

/*
 * Which tokens of the pass the arrays in hand have a row for: all of them, or, past the attention
 * of the last layer, the labelled ones alone: nothing else reaches the loss.
 */
struct rows {
    int N;
    const int *leaves; // [n_leaves+1] bounds of the leaves in rows
};

/* What the functions of one pass share. */
struct run {
    const struct model *model;
    const struct nn *nn;
    struct model_work *work;
    const struct model_pass *pass;
    const struct model_sink *sink;
    struct rows all, labelled;
};

/* The rows that layer l has past its attention. */
const struct rows *layer_rows(const struct run *run, int l);

/* The layer keeps its activations; otherwise they are computed again before its backward pass. */
int layer_is_kept(const struct model *model, const struct model_shape *shape, int l);

/* Layer l from acts[l].x to next [layer_rows,C]; fills acts[l]. next NULL: only acts[l]. */
void layer_forward(const struct run *run, int l, float *next);

/* Turns work->dx, the gradient of layer l's output, into that of its input; gives leaves to the sink. */
void layer_backward(const struct run *run, int l);

/*
 * y = W x + bias + B xa, where xa [N,R] = s dropout(x) A^T is kept.
 *   y [N,O] out, NULL: only xa   x [N,C], N = rows->N
 */
void linear_forward(const struct run *run, const struct rows *rows, const struct model_linear *lin,
                    float *y, float *xa, const float *x);

/*
 * dx = (or +=, where add is set) W^T dy + the adapter's part. dx NULL: only what the adapter's
 * gradients need, which are next.
 *   dy [N,O]
 */
void linear_input_gradient(const struct run *run, const struct rows *rows,
                           const struct model_linear *lin, float *dx, int add, const float *dy);

/*
 * The adapter's own gradients go to the sink.
 *   dy [N,O]   x [N,C] and xa [N,R] as in the forward pass
 */
void linear_adapter_gradients(const struct run *run, const struct rows *rows,
                              const struct model_linear *lin, const float *dy, const float *x,
                              const float *xa);

/* Both. */
void linear_backward(const struct run *run, const struct rows *rows, const struct model_linear *lin,
                     float *dx, int add, const float *dy, const float *x, const float *xa);

#endif
