/*
 * nn/rmsnorm.c: rows divided over the threads.
 */
#include "nn/rmsnorm.h"

#include "nn/nn_internal.h"

void rmsnorm_forward(const struct nn *nn, float *y, float *rstd, const float *x, const float *w,
                     float eps, int N, int C)
{
#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (int i = 0; i < N; i++)
        nn->kernels->rmsnorm_forward(y + (size_t)i * C, rstd + i, x + (size_t)i * C, w, eps, 1, C);
    profile_lap(nn->profile, PROFILE_ELEMENTWISE, 0.0);
}

void rmsnorm_backward(const struct nn *nn, float *dx, const float *dy, const float *x,
                      const float *w, const float *rstd, int N, int C)
{
#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (int i = 0; i < N; i++)
        nn->kernels->rmsnorm_backward(dx + (size_t)i * C, dy + (size_t)i * C, x + (size_t)i * C, w,
                                      rstd + i, 1, C);
    profile_lap(nn->profile, PROFILE_ELEMENTWISE, 0.0);
}
