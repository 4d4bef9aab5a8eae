/*
 * optim/clip.c: global norm and scaling.
 *
 * The array is cut into a fixed number of parts whose sums are added in
 * order: the cut does not depend on threads, so neither do the bits. Inside a part
 * eight sums run side by side, so that additions need not wait for each other.
 */
#include "optim/clip.h"

#include <math.h>

#define PARTS         64
#define LANES         8
#define PARALLEL_FROM ((size_t)1 << 17) // elements

static double sum_of_squares(const float *g, size_t n)
{
    double lane[LANES] = { 0 };
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++)
            lane[k] += (double)g[i + (size_t)k] * (double)g[i + (size_t)k];
    }
    for (; i < n; i++)
        lane[0] += (double)g[i] * (double)g[i];
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

double clip_norm(const float *g, size_t n)
{
    double part[PARTS];
    double sum = 0;
    size_t step = n / PARTS + 1;

#pragma omp parallel for if (parallel : n >= PARALLEL_FROM)
    for (int p = 0; p < PARTS; p++) {
        size_t begin = step * (size_t)p < n ? step * (size_t)p : n;
        size_t end = n - begin < step ? n : begin + step;

        part[p] = sum_of_squares(g + begin, end - begin);
    }
    for (int p = 0; p < PARTS; p++)
        sum += part[p];
    return sqrt(sum);
}

float clip_factor(double norm, double max_norm)
{
    double factor;

    if (!(max_norm > 0))
        return 1.0F;
    factor = max_norm / (norm + 1e-6);
    return factor < 1.0 || isnan(factor) ? (float)factor : 1.0F;
}

void clip_scale(float *g, size_t n, float factor)
{
    if (factor == 1.0F)
        return;
#pragma omp parallel for simd if (parallel : n >= PARALLEL_FROM)
    for (size_t i = 0; i < n; i++)
        g[i] *= factor;
}
