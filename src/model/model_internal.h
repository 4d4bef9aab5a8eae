/*
 * model/model_internal.h: the pieces of a pass.
 */
#ifndef MODEL_INTERNAL_H
#define MODEL_INTERNAL_H

#include "base/mem.h"
#include "model/model.h"

/* What the functions of one pass share. */
struct run {
    const struct model *model;
    const struct nn *nn;
    struct model_work *work;
    const struct model_pass *pass;
    const struct model_sink *sink;
};

/* The layer keeps its activations; otherwise they are computed again before its backward pass. */
int layer_is_kept(const struct model *model, const struct model_shape *shape, int l);

/* Layer l from acts[l].x to next [N,C]; fills acts[l]. next NULL: only what backward needs. */
void layer_forward(const struct run *run, int l, float *next);

/* Turns work->dx, the gradient of layer l's output, into that of its input; gives leaves to the sink. */
void layer_backward(const struct run *run, int l);

/* h [N,C] = normed input of the attention or of the MLP, from kept activations. */
void layer_norm_in(const struct run *run, int l, float *h);
void layer_norm_mid(const struct run *run, int l, float *h);

/*
 * y = W x + bias + B xa, where xa [N,R] = s dropout(x) A^T is kept.
 *   y [N,O] out   x [N,C]
 */
void linear_forward(const struct run *run, const struct model_linear *lin, float *y, float *xa,
                    const float *x);

/*
 * dx = (or +=, where add is set) W^T dy + the adapter's part; the adapter's own gradients go to the
 * sink. dx NULL: only the adapter's gradients.
 *   dy [N,O]   x [N,C] and xa [N,R] as in the forward pass
 */
void linear_backward(const struct run *run, const struct model_linear *lin, float *dx, int add,
                     const float *dy, const float *x, const float *xa);

#endif
