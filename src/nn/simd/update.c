/*
 * nn/simd/update.c: gradients summed, parameters stepped, on one core.
 *
 * Compiled without contraction of products and sums (Makefile), and nothing is summed but integers: the bits are
 * the same with every instruction set.
 */
#include <math.h>

#include "base/round.h"
#include "nn/nn_internal.h"
#include "nn/simd/simd.h"

int SIMD(exact_add)(int64_t *sum, const float *g, size_t n, double scale, double limit)
{
    int64_t bad = 0;

#pragma omp simd reduction(| : bad)
    for (size_t i = 0; i < n; i++) {
        double x = (double)g[i];

        bad |= !(fabs(x) <= limit);
        sum[i] = (int64_t)((uint64_t)sum[i] + (uint64_t)round_to_int64(x * scale));
    }
    return bad != 0;
}

void SIMD(exact_mean)(float *g, const int64_t *sum, size_t n, double unit, double divisor)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        g[i] = (float)((double)sum[i] * unit / divisor);
}

static inline float lerp(float from, float to, float weight)
{
    return weight < 0.5F ? from + weight * (to - from) : to - (to - from) * (1.0F - weight);
}

void SIMD(adamw)(float *p, float *m, float *v, const float *g, size_t n,
                 const struct adamw_factors *factors)
{
    const struct adamw_factors f = *factors;

#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float denominator;

        m[i] = lerp(m[i], g[i], f.toward);
        v[i] = v[i] * f.beta2 + f.fresh * g[i] * g[i];
        denominator = sqrtf(v[i]) / f.correction + f.epsilon;
        p[i] = p[i] * f.keep - f.step_size * m[i] / denominator;
    }
}
