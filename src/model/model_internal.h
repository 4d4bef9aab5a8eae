/*
 * model/model_internal.h: the pieces of a pass.
 */
#ifndef MODEL_INTERNAL_H
#define MODEL_INTERNAL_H

#include "base/mem.h"
#include "model/model.h"

/*
 * Which tokens of the pass the arrays in hand have a row for: all of them; in the forward pass, but
 * for attention, those that do not repeat others (rows.c); or, past the attention of the last layer,
 * the labelled ones alone: nothing else reaches the loss.
 */
struct rows {
    int N;
    const int *
        leaves; // [n_leaves+1] bounds of the leaves in rows; NULL where distinct rows are fewer than all
};

/* Rows [row, row + n) of all are the distinct rows [from, from + n). */
struct span {
    int row, from, n;
    int again; // they belong to rows before these, too
};

/* What the functions of one pass share. */
struct run {
    const struct model *model;
    const struct nn *nn;
    struct model_work *work;
    const struct model_pass *pass;
    const struct model_sink *sink;
    struct rows all, distinct, labelled;
    int n_spans; // in work->spans; 1: all rows are distinct
};

/* Sets rows and spans of a pass. */
void rows_find(struct run *run);

/* dst [n,width] = the rows of src that row [n] names. Returns dst. */
float *rows_take(float *dst, const float *src, const int *row, int n, int width);

/* x [labelled,width] to [all,width] in place: the other rows are zero. */
void rows_scatter(const struct run *run, float *x, int width);

/* x [distinct,width] to [all,width] in place. */
void rows_repeat(const struct run *run, float *x, int width);

/* The distinct rows of src [all,width], in dst, or src where all are distinct. */
const float *rows_distinct(const struct run *run, float *dst, const float *src, int width);

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
