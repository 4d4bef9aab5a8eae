/*
 * optim/exact_sum.c: gradients added as integers.
 */
#include "optim/exact_sum.h"

#include <math.h>

#include "base/round.h"
#include "nn/update.h"

#define EXACT_SUM_HEAD 62 // bits that the sum of all leaves may take

double exact_sum_limit(int bits, int64_t leaves)
{
    return ldexp(1.0, EXACT_SUM_HEAD - bits) / (double)(leaves > 1 ? leaves : 1);
}

int exact_sum_add(const struct nn *nn, int64_t *sum, const float *g, size_t n, int bits,
                  int64_t leaves)
{
    return exact_add(nn, sum, g, n, ldexp(1.0, bits), exact_sum_limit(bits, leaves));
}

int exact_sum_add_double(int64_t *sum, double x, int bits, int64_t leaves)
{
    int bad = !(fabs(x) <= exact_sum_limit(bits, leaves));

    *sum = (int64_t)((uint64_t)*sum + (uint64_t)round_to_int64(x * ldexp(1.0, bits)));
    return bad;
}

void exact_sum_to_float(const struct nn *nn, float *g, const int64_t *sum, size_t n, int bits,
                        double divide_by)
{
    exact_mean(nn, g, sum, n, ldexp(1.0, -bits), divide_by);
}

double exact_sum_to_double(int64_t sum, int bits)
{
    return (double)sum * ldexp(1.0, -bits);
}
