/*
 * optim/exact_sum.c: gradients added as integers.
 *
 * The conversion to integers has no branch and no call (lrint is one without
 * -fno-math-errno). With M = 1.5 * 2^52 the sum x + M, for |x| < 2^51, holds
 * round(x) in its low bits, rounded to nearest even by the addition itself. A
 * number of up to 2^62 is cut in two first: x = h * 2^20 + l with integer h; as
 * h * 2^20 is even, rounding l to nearest even rounds x to nearest even.
 */
#include "optim/exact_sum.h"

#include <math.h>
#include <string.h>

#define MAGIC          0x1.8p52
#define PARALLEL_FROM  ((size_t)1 << 17) // elements; below, threads cost more than they save
#define EXACT_SUM_HEAD 62                // bits that the sum of all leaves may take

double exact_sum_limit(int bits, int64_t leaves)
{
    return ldexp(1.0, EXACT_SUM_HEAD - bits) / (double)(leaves > 1 ? leaves : 1);
}

/* round(x) as an integer for |x| < 2^51, given x + MAGIC. */
static inline int64_t magic_to_int(double x_plus_magic)
{
    const double magic = MAGIC;
    uint64_t a, b, difference;
    int64_t result;

    memcpy(&a, &x_plus_magic, sizeof(a));
    memcpy(&b, &magic, sizeof(b));
    difference = a - b;
    memcpy(&result, &difference, sizeof(result));
    return result;
}

/* round(x), ties to even, for |x| <= 2^62; any value, but no undefined act, beyond. */
static inline int64_t round_to_int(double x)
{
    double high = x * 0x1p-20 + MAGIC;
    double low = (x - (high - MAGIC) * 0x1p20) + MAGIC;
    uint64_t sum = ((uint64_t)magic_to_int(high) << 20) + (uint64_t)magic_to_int(low);

    return (int64_t)sum;
}

int exact_sum_add(int64_t *sum, const float *g, size_t n, int bits, int64_t leaves)
{
    const double scale = ldexp(1.0, bits);
    const double limit = exact_sum_limit(bits, leaves);
    int bad = 0;

    for (size_t i = 0; i < n; i++) {
        double x = (double)g[i];

        bad |= !(fabs(x) <= limit);
        sum[i] = (int64_t)((uint64_t)sum[i] + (uint64_t)round_to_int(x * scale));
    }
    return bad;
}

int exact_sum_add_double(int64_t *sum, double x, int bits, int64_t leaves)
{
    int bad = !(fabs(x) <= exact_sum_limit(bits, leaves));

    *sum = (int64_t)((uint64_t)*sum + (uint64_t)round_to_int(x * ldexp(1.0, bits)));
    return bad;
}

void exact_sum_to_float(float *g, const int64_t *sum, size_t n, int bits, double divide_by)
{
    const double unit = ldexp(1.0, -bits);

#pragma omp parallel for if (parallel : n >= PARALLEL_FROM)
    for (size_t i = 0; i < n; i++)
        g[i] = (float)((double)sum[i] * unit / divide_by);
}

double exact_sum_to_double(int64_t sum, int bits)
{
    return (double)sum * ldexp(1.0, -bits);
}
