/*
 * nn/rope.h: rotary position embedding, half-split order as Hugging Face
 * stores it: dimension d is paired with d + D/2.
 */
#ifndef NN_ROPE_H
#define NN_ROPE_H

#include "nn/nn.h"

enum rope_kind { ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3 };

struct rope_params {
    enum rope_kind kind;
    double theta;
    double factor;                            // linear, llama3
    double low_freq_factor, high_freq_factor; // llama3
    double original_max_position_embeddings;  // llama3
};

/*
 * inv_freq [D/2] out: theta^(-2d/D), divided by factor (linear), or for llama3
 * divided for wavelengths above original/low_freq_factor, kept below
 * original/high_freq_factor and blended between.
 * Local; cannot fail. Source: Su et al. 2021 (arXiv:2104.09864); Llama 3.1's
 * rule as transformers states it (modeling_rope_utils).
 */
void rope_frequencies(float *inv_freq, const struct rope_params *params, int D);

/*
 * cosine, sine [N,D/2] out: of position x inv_freq, the product rounded to float.
 */
void rope_table(const struct nn *nn, float *cosine, float *sine, const int *positions,
                const float *inv_freq, int N, int D);

/*
 * Rotates each head's pair (a, b) to (a cos - b sin, b cos + a sin), in place.
 *
 *   x  [N,H,D]  in/out
 *
 * The backward pass is the rotation by the negative angle, applied to dx.
 */
void rope_forward(const struct nn *nn, float *x, const float *cosine, const float *sine, int N,
                  int H, int D);
void rope_backward(const struct nn *nn, float *dx, const float *cosine, const float *sine, int N,
                   int H, int D);

#endif
