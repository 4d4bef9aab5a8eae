/*
 * optim/clip.h: clipping of gradients by their global norm, as
 * torch.nn.utils.clip_grad_norm_ does it.
 *
 *     norm = sqrt(sum g^2),   g *= min(1, max_norm / (norm + 1e-6))
 *
 * The norm is summed in double in a fixed order: any number of threads gives
 * the same bits. Everything here is local, cannot fail, allocates nothing.
 */
#ifndef OPTIM_CLIP_H
#define OPTIM_CLIP_H

#include <stddef.h>

/* The 2-norm of g [n]; not finite when an element is not. */
double clip_norm(const float *g, size_t n);

/* The factor for a norm; 1 when max_norm is 0 or less (clipping is off). */
float clip_factor(double norm, double max_norm);

/* g *= factor; does nothing for 1. */
void clip_scale(float *g, size_t n, float factor);

#endif
