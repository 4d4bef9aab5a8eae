/*
 * base/rng.h: random numbers that are addressed, not drawn.
 *
 * Philox4x32-10: four 32-bit words are a function of a 64-bit key and a
 * 128-bit counter. The key is the run's seed; the counter says which number
 * is meant (step, sample, module, element), so no state is kept or saved and
 * the number of ranks changes nothing.
 *
 * Local; cannot fail.
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

void rng_philox(uint32_t out[4], uint64_t key, const uint32_t counter[4]);

/* Uniform in [0, 1) from 24 bits of a word: exact in float. */
static inline float rng_unit(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

#endif
