/*
 * optim/adamw.h: one step of AdamW.
 *
 *     p -= lr decay p
 *     m += (1 - beta1) (g - m)
 *     v  = beta2 v + (1 - beta2) g^2
 *     p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
 *
 * Scalars are computed in double and rounded once to float; arrays are float32
 * and take the operations in the order of torch.optim.AdamW(fused=True).
 * Elements do not meet, so threads change no bit.
 *
 * Local; cannot fail; allocates nothing.
 * Source: Loshchilov and Hutter 2019 (arXiv:1711.05101).
 */
#ifndef OPTIM_ADAMW_H
#define OPTIM_ADAMW_H

#include <stddef.h>
#include <stdint.h>

#include "nn/nn.h"

struct adamw {
    double beta1, beta2, epsilon, weight_decay;
};

/*
 * p, m (exp_avg), v (exp_avg_sq)  [n]  in/out; m and v are zero before the first step
 * g                               [n]  gradient, after clipping
 * lr                                   the rate of this step
 * t                                    number of this step, from 1
 */
void adamw_step(const struct nn *nn, const struct adamw *adamw, float *p, float *m, float *v,
                const float *g, size_t n, double lr, int64_t t);

#endif
