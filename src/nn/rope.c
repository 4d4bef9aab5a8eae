/*
 * nn/rope.c: frequencies, tables, rotation.
 */
#include "nn/rope.h"

#include <math.h>

#include "nn/nn_internal.h"

static const double PI = 3.14159265358979323846;

/* Float arithmetic where transformers uses it, so that angles have its bits. */
static float scale_llama3(float freq, const struct rope_params *p)
{
    double wavelength = 2.0 * PI / (double)freq;
    double low = p->original_max_position_embeddings / p->low_freq_factor;
    double high = p->original_max_position_embeddings / p->high_freq_factor;
    float smooth;

    if (wavelength < high)
        return freq;
    if (wavelength > low)
        return (float)((double)freq / p->factor);
    smooth = (float)((p->original_max_position_embeddings / wavelength - p->low_freq_factor) /
                     (p->high_freq_factor - p->low_freq_factor));
    return (1.0f - smooth) * freq / (float)p->factor + smooth * freq;
}

void rope_frequencies(float *inv_freq, const struct rope_params *params, int D)
{
    for (int d = 0; d < D / 2; d++) {
        float power = powf((float)params->theta, (float)(2 * d) / (float)D);
        float freq = 1.0f / power;

        if (params->kind == ROPE_LINEAR)
            freq = (float)((double)freq / params->factor);
        else if (params->kind == ROPE_LLAMA3)
            freq = scale_llama3(freq, params);
        inv_freq[d] = freq;
    }
}

void rope_table(const struct nn *nn, float *cosine, float *sine, const int *positions,
                const float *inv_freq, int N, int D)
{
    int half = D / 2;

#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (int i = 0; i < N; i++)
        for (int d = 0; d < half; d++) {
            float angle = (float)positions[i] * inv_freq[d];

            cosine[(size_t)i * half + d] = (float)cos((double)angle);
            sine[(size_t)i * half + d] = (float)sin((double)angle);
        }
    profile_lap(nn->profile, PROFILE_ELEMENTWISE, 0.0);
}

static void rotate(const struct nn *nn, float *x, const float *cosine, const float *sine,
                   float sign, int N, int H, int D)
{
    size_t stride = (size_t)H * D;

#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
    for (int i = 0; i < N; i++)
        nn->kernels->rope_rotate(x + (size_t)i * stride, cosine + (size_t)i * (D / 2),
                                 sine + (size_t)i * (D / 2), sign, 1, H, D, stride);
    profile_lap(nn->profile, PROFILE_ELEMENTWISE, 0.0);
}

void rope_forward(const struct nn *nn, float *x, const float *cosine, const float *sine, int N,
                  int H, int D)
{
    rotate(nn, x, cosine, sine, 1.0f, N, H, D);
}

void rope_backward(const struct nn *nn, float *dx, const float *cosine, const float *sine, int N,
                   int H, int D)
{
    rotate(nn, dx, cosine, sine, -1.0f, N, H, D);
}
