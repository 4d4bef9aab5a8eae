/*
 * data/order.h: the two permutations that decide which row is used when.
 *
 * Training order is torch's: the generator is a 32-bit Mersenne Twister
 * (MT19937) seeded with the low 32 bits of seed + epoch; for i from 0 to
 * n - 2 element i changes places with element i + draw mod (n - i). The
 * split into training and evaluation rows is NumPy's: PCG64 seeded through
 * SeedSequence, shuffled from the end with masked draws.
 *
 * Local.
 * Source: torch.randperm on CPUs, numpy.random.default_rng(seed).permutation,
 * both held against the libraries in tests/golden/data.
 */
#ifndef DATA_ORDER_H
#define DATA_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* out[0, n): torch.randperm(n, generator=torch.Generator().manual_seed(seed)). */
void order_torch_permutation(int64_t *out, size_t n, uint64_t seed);

/*
 * The rows of one epoch in the order in which LLaMA-Factory 0.9.5 uses them
 * on one rank. shuffle 0: 0, 1, 2, ...; else the torch permutation for
 * seed + epoch. epoch counts from 0; seed is data_seed when that is set.
 */
void order_epoch(int64_t *out, size_t n, uint64_t seed, int64_t epoch, int shuffle);

/* out[0, n): numpy.random.default_rng(seed).permutation(n). */
void order_numpy_permutation(int64_t *out, size_t n, uint64_t seed);

/*
 * NumPy's global generator after numpy.random.seed(seed): draws follow one
 * another, so data sets with num_samples are drawn in their order.
 */
struct order_legacy {
    uint32_t word[624];
    int used;
};

void order_legacy_seed(struct order_legacy *rng, uint32_t seed);

/*
 * Rows of a set of n rows with num_samples = want: out[0, want) receives the
 * first of numpy.random.permutation(n), then, when want > n, want - n of
 * numpy.random.choice(n, ...). perm: [n] scratch. n >= 1.
 */
void order_num_samples(struct order_legacy *rng, int64_t *out, size_t want, int64_t *perm,
                       size_t n);

/*
 * Splits n rows as datasets' train_test_split(test_size=val_size, seed=seed)
 * does: val_size above 1 is a number of rows, below 1 a share (rounded up).
 * perm[0, n) receives the permutation; rows perm[0, *eval_count) are the
 * evaluation set, the rest the training set, both in this order. -1 when a
 * set would be empty.
 */
int order_split(int64_t *perm, size_t n, double val_size, uint64_t seed, size_t *eval_count,
                struct error *err);

#endif
