/*
 * base/round.h: a double to the nearest integer, without a branch or a call, so that loops over it become
 * vector code (lrint is a call without -fno-math-errno).
 */
#ifndef BASE_ROUND_H
#define BASE_ROUND_H

#include <stdint.h>
#include <string.h>

#define ROUND_MAGIC 0x1.8p52

/* round(x) as an integer for |x| < 2^51, given x + ROUND_MAGIC: the addition has rounded it, its low bits hold it. */
static inline int64_t round_of_sum(double x_plus_magic)
{
    const double magic = ROUND_MAGIC;
    uint64_t a, b, difference;
    int64_t result;

    memcpy(&a, &x_plus_magic, sizeof(a));
    memcpy(&b, &magic, sizeof(b));
    difference = a - b;
    memcpy(&result, &difference, sizeof(result));
    return result;
}

/*
 * round(x), ties to even, for |x| <= 2^62; any value, but no undefined act, beyond.
 *
 * x is cut in two, x = h 2^20 + l with integer h: as h 2^20 is even, rounding l to the nearest even rounds x so.
 */
static inline int64_t round_to_int64(double x)
{
    double high = x * 0x1p-20 + ROUND_MAGIC;
    double low = (x - (high - ROUND_MAGIC) * 0x1p20) + ROUND_MAGIC;
    uint64_t sum = ((uint64_t)round_of_sum(high) << 20) + (uint64_t)round_of_sum(low);

    return (int64_t)sum;
}

#endif
