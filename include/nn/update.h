/*
 * nn/update.h: gradients summed, parameters stepped: what optim computes element by element.
 *
 * The bits are the same with every instruction set and any number of threads.  Local; cannot fail; allocates nothing.
 */
#ifndef NN_UPDATE_H
#define NN_UPDATE_H

#include <stdint.h>

#include "nn/nn.h"

/*
 * sum[i] += round(g[i] scale), ties to even, n numbers, on the calling thread. Returns 1 where an element is beyond
 * limit or not finite (the sums then mean nothing), else 0. limit scale: 2^62 at most.
 */
int exact_add(const struct nn *nn, int64_t *sum, const float *g, size_t n, double scale,
              double limit);

/* g[i] = sum[i] unit / divisor, in double and then rounded. */
void exact_mean(const struct nn *nn, float *g, const int64_t *sum, size_t n, double unit,
                double divisor);

/* The scalars of a step of AdamW, optim/adamw.h, rounded once. */
struct adamw_factors {
    float keep;         // 1 - lr decay
    float toward;       // 1 - beta1
    float beta2, fresh; // fresh = 1 - beta2
    float step_size;    // lr / (1 - beta1^t)
    float correction;   // sqrt(1 - beta2^t)
    float epsilon;
};

/*
 * p, m, v [n] in/out by the gradient g:
 *
 *   m += toward (g - m),  v = beta2 v + fresh g^2,  p = keep p - step_size m / (sqrt(v) / correction + epsilon)
 *
 * m moves by interpolation, written from the end that is nearer, as torch's lerp does: it returns exactly g for
 * toward = 1.
 */
void adamw_apply(const struct nn *nn, float *p, float *m, float *v, const float *g, size_t n,
                 const struct adamw_factors *factors);

#endif
