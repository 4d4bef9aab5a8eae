/*
 * nn/cross_entropy.h: the head and the loss in one, a few rows at a time.
 */
#ifndef NN_CROSS_ENTROPY_H
#define NN_CROSS_ENTROPY_H

#include <stdint.h>

#include "nn/nn.h"
#include "tensor/dtype.h"

/*
 * z_i = W h_i,  loss_i = log sum e^z_i - z_i[target_i],
 * dh_i = W^T (softmax(z_i) - onehot(target_i))
 *
 *   loss     [M]    out, in double
 *   dh       [M,C]  out (set, not added); NULL: loss only
 *   h        [M,C]
 *   w        [V,C]  f32, bf16 or f16
 *   targets  [M]    in 0 .. V-1
 *   scratch  cross_entropy_scratch_floats(M, V) numbers: logits of a block of rows, up to 128 MiB
 *
 * Local; cannot fail; allocates nothing.
 */
void cross_entropy(const struct nn *nn, double *loss, float *dh, const float *h, const void *w,
                   enum dtype dtype, const int32_t *targets, int M, int C, int V, float *scratch);

size_t cross_entropy_scratch_floats(int M, int V);

#endif
