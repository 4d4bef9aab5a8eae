/*
 * optim/exact_sum.h: sums whose bits do not depend on order.
 *
 * Each leaf's gradient g (float32) is rounded once, to the nearest multiple
 * of 2^-bits (ties to even), and added as a 64-bit integer:
 *
 *     sum[i] += round(g[i] * 2^bits)
 *
 * Integer addition is associative, so leaves may be added by any thread, on
 * any rank, in any order, and reduced by any algorithm: the bits are the same.
 *
 * Error: at most 2^-(bits+1) for each leaf added, absolute; at the default
 * of 36 bits 7.3e-12 a leaf. A float32 gradient of size 2^-12 or more is added
 * without any error.
 *
 * Room: with n leaves in a step over all ranks, each |g| may be up to
 * exact_sum_limit() = 2^(62 - bits) / n, so no partial sum in any order passes
 * 2^62: 6.7e7 / n at 36 bits (8.4e6 for 8 leaves). A larger, infinite or NaN
 * element makes the add return 1: a flag to be reduced (maximum) beside the
 * sums. If any rank has it, the sums of this step hold no meaning; the step may
 * be done again with fewer bits, the same on all ranks.
 *
 * Everything here is local, cannot fail, allocates nothing.
 */
#ifndef OPTIM_EXACT_SUM_H
#define OPTIM_EXACT_SUM_H

#include <stddef.h>
#include <stdint.h>

#include "nn/nn.h"

#define EXACT_SUM_BITS 36

/* The largest |g| of a leaf when leaves of them are added over all ranks (at least 1). */
double exact_sum_limit(int bits, int64_t leaves);

/*
 * sum[i] += round(g[i] * 2^bits), i < n. Returns 1 when an element is beyond
 * the limit or not finite, else 0. g is read, not changed.
 */
int exact_sum_add(const struct nn *nn, int64_t *sum, const float *g, size_t n, int bits,
                  int64_t leaves);

/* The same for one double: a leaf's loss. */
int exact_sum_add_double(int64_t *sum, double x, int bits, int64_t leaves);

/* g[i] = sum[i] / 2^bits / divide_by, computed in double and rounded to float. */
void exact_sum_to_float(const struct nn *nn, float *g, const int64_t *sum, size_t n, int bits,
                        double divide_by);

/* sum / 2^bits in double. */
double exact_sum_to_double(int64_t sum, int bits);

#endif
