/*
 * data/order.c: MT19937 and PCG64, and the shuffles that PyTorch, NumPy and the
 * datasets library make with them.
 */
#include "data/order.h"

#include <math.h>

/* MT19937, 32 bits (Matsumoto and Nishimura 1998); the word array is the legacy struct's. */
static void mt_seed(struct order_legacy *mt, uint32_t seed)
{
    int i;

    mt->word[0] = seed;
    for (i = 1; i < 624; i++) {
        uint32_t w = mt->word[i - 1];

        mt->word[i] = 1812433253u * (w ^ w >> 30) + (uint32_t)i;
    }
    mt->used = 624;
}

static void mt_refill(struct order_legacy *mt)
{
    int i;

    for (i = 0; i < 624; i++) {
        uint32_t y = (mt->word[i] & 0x80000000u) | (mt->word[(i + 1) % 624] & 0x7FFFFFFFu);

        mt->word[i] = mt->word[(i + 397) % 624] ^ y >> 1 ^ (y & 1 ? 0x9908B0DFu : 0);
    }
    mt->used = 0;
}

static uint32_t mt_next(struct order_legacy *mt)
{
    uint32_t y;

    if (mt->used == 624)
        mt_refill(mt);
    y = mt->word[mt->used++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9D2C5680u;
    y ^= y << 15 & 0xEFC60000u;
    return y ^ y >> 18;
}

static void swap(int64_t *a, int64_t *b)
{
    int64_t t = *a;

    *a = *b;
    *b = t;
}

static void identity(int64_t *out, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        out[i] = (int64_t)i;
}

/* From here on PyTorch takes 64-bit draws, since a remainder of 32 bits is too uneven. */
#define TORCH_LARGE (UINT32_MAX / 20)

/* Both libraries put the later of two 32-bit draws into the lower half. */
static uint64_t mt_next64(struct order_legacy *mt)
{
    uint64_t high = mt_next(mt);

    return high << 32 | mt_next(mt);
}

void order_torch_permutation(int64_t *out, size_t n, uint64_t seed)
{
    struct order_legacy mt;
    size_t i;

    mt_seed(&mt, (uint32_t)seed);
    if (n < TORCH_LARGE) {
        identity(out, n);
        for (i = 0; i + 1 < n; i++)
            swap(&out[i], &out[i + mt_next(&mt) % (n - i)]);
        return;
    }
    for (i = 0; i < n; i++) {
        size_t j = mt_next64(&mt) % (i + 1);

        out[i] = (int64_t)i;
        out[i] = out[j];
        out[j] = (int64_t)i;
    }
}

void order_epoch(int64_t *out, size_t n, uint64_t seed, int64_t epoch, int shuffle)
{
    if (shuffle)
        order_torch_permutation(out, n, seed + (uint64_t)epoch);
    else
        identity(out, n);
}

__extension__ typedef unsigned __int128 uint128;

/* PCG64: XSL-RR 128/64 (O'Neill 2014); 32-bit draws take the low half first. */
struct pcg64 {
    uint128 state, inc;
    uint32_t spare;
    int has_spare;
};

static void pcg64_step(struct pcg64 *pcg)
{
    const uint128 mult = (uint128)0x2360ED051FC65DA4u << 64 | 0x4385DF649FCCF645u;

    pcg->state = pcg->state * mult + pcg->inc;
}

static uint64_t pcg64_next64(struct pcg64 *pcg)
{
    uint64_t folded;
    unsigned turn;

    pcg64_step(pcg);
    folded = (uint64_t)(pcg->state >> 64) ^ (uint64_t)pcg->state;
    turn = (unsigned)(pcg->state >> 122);
    return folded >> turn | folded << (-turn & 63);
}

static uint32_t pcg64_next32(struct pcg64 *pcg)
{
    uint64_t word;

    if (pcg->has_spare) {
        pcg->has_spare = 0;
        return pcg->spare;
    }
    word = pcg64_next64(pcg);
    pcg->spare = (uint32_t)(word >> 32);
    pcg->has_spare = 1;
    return (uint32_t)word;
}

/* NumPy's SeedSequence (after O'Neill's seed_seq_fe): a pool of four words. */
static uint32_t seed_hash(uint32_t value, uint32_t *constant, uint32_t mult)
{
    value ^= *constant;
    *constant *= mult;
    value *= *constant;
    return value ^ value >> 16;
}

static void seed_sequence(uint32_t out[8], uint64_t seed)
{
    const uint32_t entropy[4] = { (uint32_t)seed, (uint32_t)(seed >> 32), 0, 0 };
    uint32_t constant = 0x43B0D7E5u;
    uint32_t pool[4];
    int from, to;

    for (to = 0; to < 4; to++)
        pool[to] = seed_hash(entropy[to], &constant, 0x931E8875u);
    for (from = 0; from < 4; from++) {
        for (to = 0; to < 4; to++) {
            uint32_t mixed;

            if (to == from)
                continue;
            mixed = 0xCA01F9DDu * pool[to] -
                    0x4973F715u * seed_hash(pool[from], &constant, 0x931E8875u);
            pool[to] = mixed ^ mixed >> 16;
        }
    }
    constant = 0x8B51F9DDu;
    for (to = 0; to < 8; to++)
        out[to] = seed_hash(pool[to % 4], &constant, 0x58F38DEDu);
}

static void pcg64_seed(struct pcg64 *pcg, uint64_t seed)
{
    uint32_t word[8];
    uint128 half[4];
    int i;

    seed_sequence(word, seed);
    for (i = 0; i < 4; i++)
        half[i] = (uint64_t)word[2 * i + 1] << 32 | word[2 * i];
    *pcg = (struct pcg64){ 0 };
    pcg->inc = (half[2] << 64 | half[3]) << 1 | 1;
    pcg64_step(pcg);
    pcg->state += half[0] << 64 | half[1];
    pcg64_step(pcg);
}

/* Uniform in [0, max], max >= 1: draws masked to max's bits until one fits. */
static uint64_t mask_of(uint64_t max)
{
    int shift;

    for (shift = 1; shift < 64; shift *= 2)
        max |= max >> shift;
    return max;
}

static uint64_t pcg64_bounded(struct pcg64 *pcg, uint64_t max)
{
    const uint64_t mask = mask_of(max);
    uint64_t value;

    do {
        value = (max > UINT32_MAX ? pcg64_next64(pcg) : pcg64_next32(pcg)) & mask;
    } while (value > max);
    return value;
}

static uint64_t mt_bounded(struct order_legacy *rng, uint64_t max)
{
    const uint64_t mask = mask_of(max);
    uint64_t value;

    do {
        value = (max > UINT32_MAX ? mt_next64(rng) : mt_next(rng)) & mask;
    } while (value > max);
    return value;
}

void order_numpy_permutation(int64_t *out, size_t n, uint64_t seed)
{
    struct pcg64 pcg;
    size_t i;

    pcg64_seed(&pcg, seed);
    identity(out, n);
    for (i = n; i-- > 1;)
        swap(&out[i], &out[pcg64_bounded(&pcg, i)]);
}

void order_legacy_seed(struct order_legacy *rng, uint32_t seed)
{
    mt_seed(rng, seed);
}

void order_num_samples(struct order_legacy *rng, int64_t *out, size_t want, int64_t *perm, size_t n)
{
    size_t i;

    identity(perm, n);
    for (i = n; i-- > 1;)
        swap(&perm[i], &perm[mt_bounded(rng, i)]);
    for (i = 0; i < want && i < n; i++)
        out[i] = perm[i];
    for (; i < want; i++)
        out[i] = n > 1 ? (int64_t)mt_bounded(rng, n - 1) : 0;
}

int order_split(int64_t *perm, size_t n, double val_size, uint64_t seed, size_t *eval_count,
                struct error *err)
{
    double eval = val_size > 1 ? floor(val_size) : ceil(val_size * (double)n);

    if (!(val_size > 0) || !(eval >= 1) || !(eval < (double)n))
        return error_set(err,
                         "'val_size' %g of %zu rows leaves no row for training or evaluation; "
                         "give a share below 1 or a number of rows from 1 to %zu",
                         val_size, n, n > 0 ? n - 1 : 0);
    *eval_count = (size_t)eval;
    order_numpy_permutation(perm, n, seed);
    return 0;
}
