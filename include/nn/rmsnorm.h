/*
 * nn/rmsnorm.h: root mean square normalisation.
 */
#ifndef NN_RMSNORM_H
#define NN_RMSNORM_H

#include "nn/nn.h"

/*
 * y = x r w, r = 1 / sqrt(mean(x^2) + eps), row by row
 *
 *   y     [N,C]  out; may be x
 *   rstd  [N]    out: r, kept for the backward pass
 *   x     [N,C]
 *   w     [C]
 *
 * Local; cannot fail. Source: Zhang and Sennrich 2019 (arXiv:1910.07467).
 */
void rmsnorm_forward(const struct nn *nn, float *y, float *rstd, const float *x, const float *w,
                     float eps, int N, int C);

/*
 * dx += r w dy - x r^3 mean(w dy x); w is frozen and gets no gradient
 *
 *   dx    [N,C]  in/out; must not be dy
 *   dy    [N,C]
 *   x     [N,C]  the forward input
 *   rstd  [N]
 */
void rmsnorm_backward(const struct nn *nn, float *dx, const float *dy, const float *x,
                      const float *w, const float *rstd, int N, int C);

#endif
