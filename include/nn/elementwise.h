/*
 * nn/elementwise.h: SwiGLU, residual sums, biases, dropout.
 */
#ifndef NN_ELEMENTWISE_H
#define NN_ELEMENTWISE_H

#include <stdint.h>

#include "nn/nn.h"

/*
 * y = silu(gate) up, silu(g) = g / (1 + e^-g)
 *
 *   y, gate, up  [n]; y may be gate or up
 *
 * Local; cannot fail. Source: Shazeer 2020 (arXiv:2002.05202).
 */
void swiglu_forward(const struct nn *nn, float *y, const float *gate, const float *up, size_t n);

/* dgate, dup [n] out (set, not added), and y once more; dup may be dy. */
void swiglu_backward(const struct nn *nn, float *dgate, float *dup, float *y, const float *dy,
                     const float *gate, const float *up, size_t n);

/* y += x, n numbers. */
void add_forward(const struct nn *nn, float *y, const float *x, size_t n);

/* y[i] += bias, for N rows of O numbers. */
void bias_forward(const struct nn *nn, float *y, const float *bias, int N, int O);

/*
 * Which elements a dropout layer drops is a function of these numbers: no
 * state, so a repeated pass, another rank, a resumed run drop the same ones.
 * leaf: the sample's place in the step's global list.
 */
struct dropout_key {
    uint64_t seed;
    uint32_t step, leaf, module;
};

/*
 * y = x m / (1 - p), or y += where add is set; m is 0 with probability p.
 * p is rounded to a multiple of 2^-16. One leaf's rows: x, y [n].
 */
void dropout_apply(const struct nn *nn, float *y, const float *x, float p,
                   const struct dropout_key *key, int add, size_t n);

#endif
