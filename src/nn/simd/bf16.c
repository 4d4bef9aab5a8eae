/*
 * nn/simd/bf16.c: the matrix product of one core by instructions that multiply bfloat16
 * numbers and add in float32: on the tiles of AMX, or on vectors (AVX512_BF16).
 *
 * On tiles they are so fast that floats are multiplied with them, too. A float is
 * the exact sum of three of them, x = x0 + x1 + x2, each the rest rounded to 8
 * bits; a float16 is the sum of two. So
 *
 *     x w = sum of x_p w_q over p + q <= 2
 *
 * up to what is below 2^-24 of it: a product of floats in float32, at three
 * instructions where the weights are bfloat16 (nothing is left out then), five
 * for float16, six for floats. Numbers below 2^-110 lose their last bits, since
 * tiles have no denormal numbers. With bf16 there is one product, of factors
 * rounded to bfloat16; vectors do that alone.
 *
 * Blocks and panels are as in gemm.c. A panel is 32 rows of op(A) or up to 32
 * columns of op(B), as tiles of 16 x 32 (rows by k) and 32 x 16 (k by columns,
 * in pairs of k), each 1 KiB, step of k by step, part by part. The low-rank term
 * goes on along k: the six products of parts of U and V stand side by side there,
 * for vectors U and V as they are.
 *
 * Invariant: the sums of an element of C run over k in an order that depends on
 * K alone. Intel, Instruction Set Extensions Reference 319433, TDPBF16PS and VDPBF16PS.
 */
#ifdef __AVX512BF16__ // as the Makefile compiles it
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nn/nn_internal.h"
#include "nn/simd/fetch.h"

enum {
    SIDE = 16,          // rows or columns of a tile
    STEP = 32,          // its length along k
    TILE = SIDE * STEP, // numbers in it
    PANEL = 2 * SIDE,
    PARTS = 3,
    PAIRS = 6,      // of parts of two floats that count
    MC = PANEL * 6, // rows of a block in three parts; in one part three times as many
    KC_MAX = 768,
    NC = PANEL * 64, // columns of a block of weights in bfloat16; with more parts as many fewer
    K_LOW_RANK = PAIRS * GEMM_LOW_RANK,
    A_NUMBERS = MC * PARTS * (KC_MAX + K_LOW_RANK),
    D_NUMBERS = GEMM_LOW_RANK * KC_MAX * PARTS,
    B_NUMBERS = NC * (KC_MAX + K_LOW_RANK),
    V_NUMBERS = PANEL * K_LOW_RANK,
    SUMS = PANEL * PANEL
};

static size_t scratch_floats(void)
{
    return (A_NUMBERS + D_NUMBERS + B_NUMBERS + V_NUMBERS) / 2 + SUMS;
}

int amx_available(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    unsigned eax, ebx, ecx, edx;
    const unsigned bf16 = 1u << 22, tile = 1u << 24; // EDX of leaf 7

    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    return (edx & bf16) && (edx & tile) && __builtin_cpu_supports("avx512bf16") &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

int bf16_vectors_available(void)
{
    return __builtin_cpu_supports("avx512bf16") != 0;
}

int bf16_takes(const struct gemm_call *g)
{
    return g->panels || (g->trans_a ? g->M > SIDE : g->K >= 2 * STEP);
}

/* ---- tiles ----------------------------------------------------------------- */

/* All eight tiles alike: 16 rows of 64 bytes. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes = { .palette = 1,
                  .row_bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
                  .rows = { SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE } };

enum { ROW_BYTES = 64 };

/* Part a of a number of op(A) times part b of one of op(B). Neighbours in a list share one, which stays loaded. */
struct pair {
    int a, b;
};

static const struct pair pairs_1x1[] = { { 0, 0 } };
static const struct pair pairs_3x1[] = { { 0, 0 }, { 1, 0 }, { 2, 0 } };
static const struct pair pairs_3x2[] = { { 2, 0 }, { 1, 0 }, { 0, 0 }, { 0, 1 }, { 1, 1 } };
static const struct pair pairs_3x3[PAIRS] = { { 0, 2 }, { 0, 0 }, { 2, 0 },
                                              { 1, 0 }, { 1, 1 }, { 0, 1 } };

/*
 * Adds the products of a panel of rows and one of columns to tiles 0 to 3, [row half][column half].
 * high, wide: there is a second half of the rows, of the columns.
 */
INLINE void add_pairs(const uint16_t *a, const uint16_t *b, int steps, const struct pair *pair,
                      int count, int a_parts, int b_parts, int high, int wide, struct fetch fetch)
{
    for (int s = 0; s < steps; s++) {
        fetch_step(&fetch);
#pragma GCC unroll 6
        for (int i = 0; i < count; i++) {
            const uint16_t *at = a + (size_t)pair[i].a * 2 * TILE;
            const uint16_t *bt = b + (size_t)(pair[i].b * (1 + wide)) * TILE;
            int new_a = i == 0 || pair[i].a != pair[i - 1].a;
            int new_b = i == 0 || pair[i].b != pair[i - 1].b;

            if (new_a)
                _tile_loadd(4, at, ROW_BYTES);
            if (new_b)
                _tile_loadd(6, bt, ROW_BYTES);
            _tile_dpbf16ps(0, 4, 6);
            if (wide && new_b)
                _tile_loadd(7, bt + TILE, ROW_BYTES);
            if (wide)
                _tile_dpbf16ps(1, 4, 7);
            if (high && new_a)
                _tile_loadd(5, at + TILE, ROW_BYTES);
            if (high)
                _tile_dpbf16ps(2, 5, 6);
            if (high && wide)
                _tile_dpbf16ps(3, 5, 7);
        }
        a += (size_t)a_parts * 2 * TILE;
        b += (size_t)(b_parts * (1 + wide)) * TILE;
    }
}

INLINE void add_products(const uint16_t *a, const uint16_t *b, int steps, int a_parts, int b_parts,
                         int high, int wide, struct fetch fetch)
{
    if (a_parts == 1)
        add_pairs(a, b, steps, pairs_1x1, 1, 1, 1, high, wide, fetch);
    else if (b_parts == 1)
        add_pairs(a, b, steps, pairs_3x1, 3, 3, 1, high, wide, fetch);
    else if (b_parts == 2)
        add_pairs(a, b, steps, pairs_3x2, 5, 3, 2, high, wide, fetch);
    else
        add_pairs(a, b, steps, pairs_3x3, PAIRS, 3, 3, high, wide, fetch);
}

/* ---- vectors --------------------------------------------------------------- */

enum { GROUP = 8 }; // rows whose sums registers hold together, of up to two vectors

/* Adds to acc [GROUP][1 + wide] the products of so many rows of a panel and of a panel of columns. */
INLINE void add_dot_products(__m512 *acc, const uint16_t *a, const uint16_t *b, int steps, int wide,
                             struct fetch fetch)
{
    for (int s = 0; s < steps; s++) {
        fetch_step(&fetch);
        for (int k = 0; k < SIDE; k++) {
            __m512bh bv[2];

#pragma GCC unroll 2
            for (int j = 0; j <= wide; j++)
                bv[j] = (__m512bh)_mm512_load_si512(b + (size_t)j * TILE + (size_t)k * STEP);
#pragma GCC unroll 8
            for (int i = 0; i < GROUP; i++) {
                int32_t pair;
                __m512bh av;

                memcpy(&pair, a + (size_t)i * STEP + (size_t)k * 2, sizeof(pair));
                av = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
                for (int j = 0; j <= wide; j++)
                    acc[i * (1 + wide) + j] = _mm512_dpbf16_ps(acc[i * (1 + wide) + j], av, bv[j]);
            }
        }
        a += (size_t)2 * TILE;
        b += (size_t)(1 + wide) * TILE;
    }
}

/* The same of floats: u [GROUP,R], v [R,16 or 32]. */
INLINE void add_low_rank(__m512 *acc, const float *u, const float *v, int R, int wide)
{
    for (int r = 0; r < R; r++, v += (1 + wide) * SIDE)
#pragma GCC unroll 8
        for (int i = 0; i < GROUP; i++)
#pragma GCC unroll 2
            for (int j = 0; j <= wide; j++)
                acc[i * (1 + wide) + j] =
                    _mm512_fmadd_ps(_mm512_set1_ps(u[(size_t)i * (size_t)R + (size_t)r]),
                                    _mm512_load_ps(v + j * SIDE), acc[i * (1 + wide) + j]);
}

/* ---- numbers in parts ------------------------------------------------------ */

/* The upper halves of 32 floats. */
INLINE __m512i upper_halves(__m512i low, __m512i high)
{
    const __m512i odd =
        _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                         25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);

    return _mm512_permutex2var_epi16(low, odd, high);
}

/* x rounded to 8 bits, ties away from zero; its lower half is not cleared. */
INLINE __m512i rounded(__m512 x)
{
    return _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
}

INLINE __m512 rest(__m512 x, __m512i part)
{
    return _mm512_sub_ps(
        x, _mm512_castsi512_ps(_mm512_and_si512(part, _mm512_set1_epi32((int)0xffff0000))));
}

/* 32 floats as parts: the last of three or two is exact, a single one rounded to even. */
INLINE void split(__m512i *part, __m512 low, __m512 high, int parts)
{
    if (parts == 1) {
        part[0] = (__m512i)_mm512_cvtne2ps_pbh(high, low);
        return;
    }
    for (int p = 0; p < parts - 1; p++) {
        __m512i l = rounded(low), h = rounded(high);

        part[p] = upper_halves(l, h);
        low = rest(low, l);
        high = rest(high, h);
    }
    part[parts - 1] = upper_halves(_mm512_castps_si512(low), _mm512_castps_si512(high));
}

/* The n <= 32 numbers of src from at on, zeros behind them, as parts. */
INLINE void load(__m512i *part, const void *src, enum dtype dtype, size_t at, int n, int parts)
{
    __mmask32 mask = n >= STEP ? 0xffffffffu : (1u << (n < 0 ? 0 : n)) - 1;
    const uint16_t *half = (const uint16_t *)src + at;
    const float *full = (const float *)src + at;

    if (dtype == DTYPE_BF16)
        part[0] = _mm512_maskz_loadu_epi16(mask, half);
    else if (dtype == DTYPE_F16)
        split(part, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16((__mmask16)mask, half)),
              _mm512_cvtph_ps(_mm256_maskz_loadu_epi16((__mmask16)(mask >> 16), half + SIDE)),
              parts);
    else
        split(part, _mm512_maskz_loadu_ps((__mmask16)mask, full),
              _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), full + SIDE), parts);
}

/* In how many parts numbers are multiplied; all says in how many a float is. */
static int parts_of(enum dtype dtype, int all)
{
    return all == 1 || dtype == DTYPE_BF16 ? 1 : dtype == DTYPE_F16 ? 2 : all;
}

/* ---- panels ---------------------------------------------------------------- */

static int steps_of(int k)
{
    return (k + STEP - 1) / STEP;
}

/* A matrix; along: k runs along its rows, which are lines of the panel, else its rows are numbers of one k. */
struct operand {
    const void *x;
    enum dtype dtype;
    int along, parts;
    size_t ld;
};

/* Tiles of rows become tiles of columns and the other way: pairs of k are transposed as if they were floats. */
static void turn_tiles(uint16_t *tile, int n)
{
    for (; n > 0; n--, tile += TILE) {
        vfloat v[SIDE];

#pragma GCC unroll 16
        for (int i = 0; i < SIDE; i++)
            v[i] = (vfloat)_mm512_load_si512(tile + (size_t)i * STEP);
        vtranspose(v);
#pragma GCC unroll 16
        for (int i = 0; i < SIDE; i++)
            _mm512_store_ps(tile + (size_t)i * STEP, v[i]);
    }
}

/* One step of a panel, k numbers of n lines that lie along k: tiles of rows. */
INLINE void step_along(uint16_t *dst, const void *x, enum dtype dtype, size_t at, size_t ld, int n,
                       int k, int parts, int tiles)
{
    for (int i = 0; i < tiles * SIDE; i++) {
        __m512i part[PARTS] = { { 0 } };

        if (i < n)
            load(part, x, dtype, at + (size_t)i * ld, k, parts);
#pragma GCC unroll 3
        for (int p = 0; p < parts; p++)
            _mm512_store_si512(dst + (size_t)(p * tiles) * TILE + (size_t)i * STEP, part[p]);
    }
}

/* The same where rows of x are numbers of one k: tiles of columns, two rows interleaved. */
INLINE void step_across(uint16_t *dst, const void *x, enum dtype dtype, size_t at, size_t ld, int n,
                        int k, int parts, int tiles)
{
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));

    for (int i = 0; i < SIDE; i++) {
        __m512i even[PARTS] = { { 0 } }, odd[PARTS] = { { 0 } };

        if (2 * i < k)
            load(even, x, dtype, at + (size_t)(2 * i) * ld, n, parts);
        if (2 * i + 1 < k)
            load(odd, x, dtype, at + (size_t)(2 * i + 1) * ld, n, parts);
#pragma GCC unroll 3
        for (int p = 0; p < parts; p++) {
            uint16_t *row = dst + (size_t)(p * tiles) * TILE + (size_t)i * STEP;

            _mm512_store_si512(row, _mm512_permutex2var_epi16(even[p], low, odd[p]));
            if (tiles == 2)
                _mm512_store_si512(row + TILE, _mm512_permutex2var_epi16(even[p], high, odd[p]));
        }
    }
}

INLINE void pack_as(uint16_t *dst, const struct operand *m, enum dtype dtype, size_t at, int n,
                    int kc, int parts, int tiles, int turn)
{
    for (int k = 0; k < kc; k += STEP) {
        if (m->along)
            step_along(dst, m->x, dtype, at + (size_t)k, m->ld, n, kc - k, parts, tiles);
        else
            step_across(dst, m->x, dtype, at + (size_t)k * m->ld, m->ld, n, kc - k, parts, tiles);
        if (turn)
            turn_tiles(dst, parts * tiles);
        dst += (size_t)(parts * tiles) * TILE;
    }
}

/* A panel of n lines from line j on, k from k0 on; turned where they are rows of op(B) or columns of op(A). */
static void pack_panel(uint16_t *dst, const struct operand *m, int k0, int kc, int j, int n,
                       int tiles, int turn)
{
    size_t at = m->along ? (size_t)j * m->ld + (size_t)k0 : (size_t)k0 * m->ld + (size_t)j;

    if (m->dtype == DTYPE_BF16)
        pack_as(dst, m, DTYPE_BF16, at, n, kc, 1, tiles, turn);
    else if (m->dtype == DTYPE_F16 && m->parts == 2)
        pack_as(dst, m, DTYPE_F16, at, n, kc, 2, tiles, turn);
    else if (m->dtype == DTYPE_F16)
        pack_as(dst, m, DTYPE_F16, at, n, kc, 1, tiles, turn);
    else if (m->parts == PARTS)
        pack_as(dst, m, DTYPE_F32, at, n, kc, PARTS, tiles, turn);
    else
        pack_as(dst, m, DTYPE_F32, at, n, kc, 1, tiles, turn);
}

static void pack_rows(uint16_t *dst, const struct operand *a, int k0, int kc, int i, int m)
{
    pack_panel(dst, a, k0, kc, i, m, 2, !a->along);
}

/* How many tiles wide a panel of n columns is. */
static int tiles_of(int n)
{
    return n <= SIDE ? 1 : 2;
}

static void pack_columns(uint16_t *dst, const struct operand *b, int k0, int kc, int j, int n,
                         int tiles)
{
    pack_panel(dst, b, k0, kc, j, n, tiles, b->along);
}

/* dst [pair][n], ld apart: the parts of n floats that pairs take, on the left or on the right. */
static void spread(uint16_t *dst, size_t ld, const float *x, int n, int right)
{
    for (int i = 0; i < n; i += STEP) {
        __mmask32 mask = n - i >= STEP ? 0xffffffffu : (1u << (n - i)) - 1;
        __m512i part[PARTS];

        load(part, x, DTYPE_F32, (size_t)i, n - i, PARTS);
        for (int t = 0; t < PAIRS; t++)
            _mm512_mask_storeu_epi16(dst + (size_t)t * ld + i, mask,
                                     part[right ? pairs_3x3[t].b : pairs_3x3[t].a]);
    }
}

/* The low-rank end of a panel of rows for tiles: u [m,R]. */
static void pack_low_rank_rows(uint16_t *dst, const float *u, size_t ldu, int m, int R,
                               uint16_t *buffer)
{
    struct operand a = { buffer, DTYPE_BF16, 1, 1, (size_t)(PAIRS * R) };

    for (int i = 0; i < m; i++)
        spread(buffer + (size_t)i * a.ld, (size_t)R, u + (size_t)i * ldu, R, 0);
    pack_rows(dst, &a, 0, PAIRS * R, 0, m);
}

/* The low-rank end of a panel of columns for tiles: v [R,n], or [n,R] where B is transposed. */
static void pack_low_rank_columns(uint16_t *dst, const struct gemm_call *g, int j, int n,
                                  uint16_t *buffer)
{
    int R = g->R;
    struct operand b = { buffer, DTYPE_BF16, g->trans_b, 1,
                         (size_t)(g->trans_b ? PAIRS * R : PANEL) };

    if (g->trans_b)
        for (int c = 0; c < n; c++)
            spread(buffer + (size_t)c * b.ld, (size_t)R, g->v + (size_t)(j + c) * g->ldv, R, 1);
    else
        for (int k = 0; k < R; k++)
            spread(buffer + (size_t)k * PANEL, (size_t)R * PANEL, g->v + (size_t)k * g->ldv + j, n,
                   1);
    pack_columns(dst, &b, 0, PAIRS * R, 0, n, tiles_of(n));
}

/* The low-rank ends for vectors: floats, rows of R, and R rows of 16 or 32 with zeros behind n. */
static void copy_low_rank_rows(float *dst, const float *u, size_t ldu, int m, int R)
{
    for (int i = 0; i < m; i++)
        memcpy(dst + (size_t)i * (size_t)R, u + (size_t)i * ldu, (size_t)R * sizeof(*dst));
}

static void copy_low_rank_columns(float *dst, const struct gemm_call *g, int j, int n)
{
    size_t across = g->trans_b ? 1 : g->ldv, along = g->trans_b ? g->ldv : 1;
    const float *v = g->v + (size_t)j * along;

    for (int r = 0; r < g->R; r++, dst += tiles_of(n) * SIDE)
        for (int c = 0; c < tiles_of(n) * SIDE; c++)
            dst[c] = c < n ? v[(size_t)r * across + (size_t)c * along] : 0.0f;
}

/* Where in panels of op(B) [K,N] row k and column n are, multiples of a panel's width, in floats. */
static size_t panel_at(int K, int k, int n, int parts)
{
    return ((size_t)n / PANEL * (size_t)steps_of(K) + (size_t)k / STEP) * (size_t)parts * TILE;
}

/* ---- the product ----------------------------------------------------------- */

/* What multiplies. */
enum unit { TILES, VECTORS };

/* The place of a block, as in gemm.c, and the scratch memory in parts. */
struct block {
    enum unit unit;
    int i0, mc, j0, nc, k0, kc;
    int steps, low_rank_steps; // of k; the second in the last block of K
    int d;                     // columns of U to be made
    int a_parts, b_parts, d_parts;
    float beta;
    uint16_t *pa, *pd, *pb, *buffer;
    size_t pb_stride; // from one panel of columns to the next
    float *sums;
    struct fetch fetch; // beside the next product of panels
};

static size_t a_panel(const struct block *at)
{
    return (size_t)(at->steps * at->a_parts + at->low_rank_steps) * 2 * TILE;
}

static size_t b_panel(const struct block *at)
{
    return (size_t)(at->steps * at->b_parts + at->low_rank_steps) * 2 * TILE;
}

/* Where sums go: c = beta c + alpha sums, m x n. */
struct target {
    float *c;
    size_t ld;
    int m, n;
    float alpha, beta;
};

/* One vector of sums, of row i from column j on. */
INLINE void update(const struct target *to, int i, int j, __m512 sum)
{
    int n = to->n - j;
    __mmask16 mask = n >= SIDE ? 0xffff : (__mmask16)((1u << (n < 0 ? 0 : n)) - 1);
    float *c = to->c + (size_t)i * to->ld + j;
    __m512 v = _mm512_mul_ps(_mm512_set1_ps(to->alpha), sum);

    if (to->beta != 0.0f)
        v = _mm512_fmadd_ps(_mm512_set1_ps(to->beta), _mm512_maskz_loadu_ps(mask, c), v);
    _mm512_mask_storeu_ps(c, mask, v);
}

/* GCC does not know that loading a tile reads memory: what was packed must be there by now. */
INLINE void finish_stores(void)
{
    __asm__ volatile("" : : : "memory");
}

/* The sums of a panel of rows and one of columns; without b's low-rank end where low_rank is 0. */
INLINE void panel_sums(const struct block *at, const uint16_t *a, const uint16_t *b, int b_parts,
                       int high, int wide, int low_rank)
{
    finish_stores();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    add_products(a, b, at->steps, at->a_parts, b_parts, high, wide, at->fetch);
    if (low_rank)
        add_products(a + (size_t)at->steps * at->a_parts * 2 * TILE,
                     b + (size_t)at->steps * b_parts * (1 + wide) * TILE, at->low_rank_steps, 1, 1,
                     high, wide, (struct fetch){ 0 });
    _tile_stored(0, at->sums, PANEL * sizeof(float));
    if (wide)
        _tile_stored(1, at->sums + SIDE, PANEL * sizeof(float));
    if (high)
        _tile_stored(2, at->sums + SIDE * PANEL, PANEL * sizeof(float));
    if (high && wide)
        _tile_stored(3, at->sums + SIDE * PANEL + SIDE, PANEL * sizeof(float));
}

static void product_by_tiles(const struct block *at, const uint16_t *a, const uint16_t *b,
                             int b_parts, int tiles, int low_rank, const struct target *to)
{
    if (to->m > SIDE && tiles == 2)
        panel_sums(at, a, b, b_parts, 1, 1, low_rank);
    else if (to->m > SIDE)
        panel_sums(at, a, b, b_parts, 1, 0, low_rank);
    else if (tiles == 2)
        panel_sums(at, a, b, b_parts, 0, 1, low_rank);
    else
        panel_sums(at, a, b, b_parts, 0, 0, low_rank);
    for (int i = 0; i < to->m; i++)
        for (int j = 0; j < to->n; j += SIDE)
            update(to, i, j, _mm512_load_ps(at->sums + (size_t)i * PANEL + j));
}

INLINE void product_by_vectors(const struct block *at, const uint16_t *a, const uint16_t *b,
                               int wide, int R, const struct target *to)
{
    const float *u = (const void *)(a + (size_t)at->steps * 2 * TILE);
    const float *v = (const void *)(b + (size_t)(at->steps * (1 + wide)) * TILE);
    int groups = (to->m + GROUP - 1) / GROUP;

    for (int i = 0; i < to->m; i += GROUP) {
        int rows = to->m - i < GROUP ? to->m - i : GROUP;
        __m512 acc[GROUP * 2];

        fetch_sums(to->c + (size_t)i * to->ld, to->ld, rows, 1 + wide);
#pragma GCC unroll 16
        for (int s = 0; s < GROUP * (1 + wide); s++)
            acc[s] = _mm512_setzero_ps();
        add_dot_products(acc, a + (size_t)i * STEP, b, at->steps, wide,
                         fetch_part(at->fetch, i / GROUP, groups));
        add_low_rank(acc, u + (size_t)i * (size_t)R, v, R, wide);
#pragma GCC unroll 8
        for (int s = 0; s < GROUP; s++)
#pragma GCC unroll 2
            for (int j = 0; j <= wide; j++)
                if (s < rows)
                    update(to, i + s, j * SIDE, acc[s * (1 + wide) + j]);
    }
}

/* A panel of rows times one of columns, so many tiles wide; low_rank: with the low-rank term of so many numbers. */
static void product_of_panels(const struct block *at, const uint16_t *a, const uint16_t *b,
                              int b_parts, int tiles, int low_rank, const struct target *to)
{
    if (at->unit == TILES)
        product_by_tiles(at, a, b, b_parts, tiles, low_rank, to);
    else if (tiles == 2)
        product_by_vectors(at, a, b, 1, low_rank, to);
    else
        product_by_vectors(at, a, b, 0, low_rank, to);
}

/* What this block of K adds to m rows of U. */
static void add_low_rank_input(const struct gemm_call *g, const struct block *at, const uint16_t *a,
                               int row, int m)
{
    for (int j = 0; j < at->d; j += PANEL) {
        int n = at->d - j < PANEL ? at->d - j : PANEL;

        struct target to = { g->u + (size_t)row * g->ldu + j, g->ldu, m, n, g->gamma,
                             at->k0 == 0 ? 0.0f : 1.0f };

        product_of_panels(at, a, at->pd + (size_t)j / PANEL * at->steps * at->d_parts * 2 * TILE,
                          at->d_parts, tiles_of(n), 0, &to);
    }
}

/* The m rows from row i of the block on, at their place pa. */
static void pack_block_rows(const struct gemm_call *g, const struct block *at, uint16_t *pa, int i,
                            int m)
{
    struct operand a = { g->a, DTYPE_F32, !g->trans_a, at->a_parts, g->lda };
    uint16_t *end = pa + (size_t)at->steps * at->a_parts * 2 * TILE;
    int row = at->i0 + i;
    const float *u = g->u + (size_t)row * g->ldu;

    pack_rows(pa, &a, at->k0, at->kc, row, m);
    add_low_rank_input(g, at, pa, row, m);
    if (at->low_rank_steps > 0 && at->unit == TILES)
        pack_low_rank_rows(end, u, g->ldu, m, g->R, at->buffer);
    else if (at->low_rank_steps > 0)
        copy_low_rank_rows((void *)end, u, g->ldu, m, g->R);
}

static void pack_d(const struct gemm_call *g, const struct block *at)
{
    struct operand d = { g->d, DTYPE_F32, g->trans_b, at->d_parts, g->ldd };
    uint16_t *pd = at->pd;

    for (int j = 0; j < at->d; j += PANEL) {
        int n = at->d - j < PANEL ? at->d - j : PANEL;

        pack_columns(pd, &d, at->k0, at->kc, j, n, tiles_of(n));
        pd += (size_t)at->steps * at->d_parts * 2 * TILE;
    }
}

/* The panel of columns at j, packed. */
static const uint16_t *panel_of(const struct gemm_call *g, const struct block *at, int j)
{
    if (g->panels)
        return (const void *)(g->panels + panel_at((int)g->ldb, at->k0, at->j0 + j, at->b_parts));
    return at->pb + (size_t)(j / PANEL) * at->pb_stride;
}

/* The panel at column j of a block, before the first rows meet it. */
static void pack_b(const struct gemm_call *g, const struct block *at, int j, int n)
{
    struct operand b = { g->b, g->b_dtype, g->trans_b, at->b_parts, g->ldb };
    uint16_t *pb = at->pb + (size_t)(j / PANEL) * at->pb_stride;
    uint16_t *end = pb + (size_t)at->steps * at->b_parts * tiles_of(n) * TILE;

    if (at->i0 > 0 || g->panels)
        return;
    pack_columns(pb, &b, at->k0, at->kc, at->j0 + j, n, tiles_of(n));
    if (at->low_rank_steps > 0 && at->unit == TILES)
        pack_low_rank_columns(end, g, at->j0 + j, n, at->buffer);
    else if (at->low_rank_steps > 0)
        copy_low_rank_columns((void *)end, g, at->j0 + j, n);
}

/* The panel of rows at i of the block, as A is given. */
static struct fetch fetch_rows(const struct gemm_call *g, const struct block *at, int i)
{
    int m = at->mc - i < PANEL ? at->mc - i : PANEL;
    size_t ld = g->lda * sizeof(float);

    if (at->unit == TILES || g->trans_a || m <= 0) // tiles did not gain by it
        return (struct fetch){ 0 };
    return fetch_along((uintptr_t)(g->a + at->k0) + (size_t)(at->i0 + i) * ld, ld, m,
                       (size_t)at->kc * sizeof(float), (struct fetch_share){ 0, 1, at->steps });
}

/* A part of the panel of columns at j, packed or as it is given, beside the rows at i. */
static struct fetch fetch_panel(const struct gemm_call *g, const struct block *at, int i, int j)
{
    struct fetch_share share = { i / PANEL, (at->mc + PANEL - 1) / PANEL, at->steps };
    int n = at->nc - j < PANEL ? at->nc - j : PANEL;

    if (n <= 0 || g->panels)
        return (struct fetch){ 0 };
    if (at->i0 > 0)
        return fetch_packed(panel_of(g, at, j), b_panel(at) * sizeof(*at->pb), share);
    return fetch_columns(g, at->k0, at->kc, at->j0 + j, n, share);
}

/*
 * A panel of columns against all rows of a block: it stays in the first cache while they pass by. The first one
 * packs the rows.
 */
static void panel_product(const struct gemm_call *g, struct block *at, int j)
{
    int n = at->nc - j < PANEL ? at->nc - j : PANEL, tiles = g->panels ? 2 : tiles_of(n);
    const uint16_t *b = panel_of(g, at, j);
    uint16_t *a = at->pa;

    pack_b(g, at, j, n);
    for (int i = 0; i < at->mc; i += PANEL, a += a_panel(at)) {
        int m = at->mc - i < PANEL ? at->mc - i : PANEL;
        struct target to = {
            g->c + (size_t)(at->i0 + i) * g->ldc + (at->j0 + j), g->ldc, m, n, g->alpha, at->beta
        };

        if (j == 0)
            pack_block_rows(g, at, a, i, m);
        at->fetch = j == 0 ? fetch_rows(g, at, i + PANEL) : (struct fetch){ 0 };
        if (at->fetch.rows == 0)
            at->fetch = fetch_panel(g, at, i, j + PANEL);
        product_of_panels(at, a, b, at->b_parts, tiles, at->low_rank_steps > 0 ? g->R : 0, &to);
        at->fetch = (struct fetch){ 0 };
    }
}

/* A float is multiplied in so many parts. */
static void product(const struct gemm_call *g, float *scratch, enum unit unit, int parts)
{
    int low_rank_steps =
        steps_of(unit == TILES ? PAIRS * g->R : 2 * g->R); // a float is two numbers
    int kb = block_of(g->K, KC_MAX, STEP), mb = block_of(g->M, MC * PARTS / parts, PANEL);
    struct block at = { .unit = unit,
                        .a_parts = parts,
                        .b_parts = parts_of(g->b_dtype, parts),
                        .d_parts = parts,
                        .sums = scratch };
    int nb = NC / at.b_parts / PANEL * PANEL;

    at.pa = (void *)(scratch + SUMS);
    at.pd = at.pa + A_NUMBERS;
    at.pb = at.pd + D_NUMBERS;
    at.buffer = at.pb + B_NUMBERS;
    if (unit == TILES)
        _tile_loadconfig(&tile_shapes);
    for (at.j0 = 0; at.j0 < g->N; at.j0 += nb) {
        at.nc = g->N - at.j0 < nb ? g->N - at.j0 : nb;
        at.d = at.j0 == 0 && g->d ? g->R : 0;
        for (at.k0 = 0; at.k0 < g->K; at.k0 += kb) {
            at.kc = g->K - at.k0 < kb ? g->K - at.k0 : kb;
            at.steps = steps_of(at.kc);
            at.low_rank_steps = at.k0 + kb >= g->K && g->v ? low_rank_steps : 0;
            at.beta = at.k0 == 0 ? g->beta : 1.0f;
            at.pb_stride = g->M <= mb ? 0 : b_panel(&at);
            pack_d(g, &at);
            for (at.i0 = 0; at.i0 < g->M; at.i0 += mb) {
                at.mc = g->M - at.i0 < mb ? g->M - at.i0 : mb;
                for (int j = 0; j < at.nc; j += PANEL)
                    panel_product(g, &at, j);
            }
        }
    }
    if (unit == TILES)
        _tile_release();
}

static void block_of_parts(const struct gemm_call *g, float *scratch)
{
    product(g, scratch, TILES, PARTS);
}

static void block_rounded(const struct gemm_call *g, float *scratch)
{
    product(g, scratch, TILES, 1);
}

static void block_on_vectors(const struct gemm_call *g, float *scratch)
{
    product(g, scratch, VECTORS, 1);
}

/* ---- op(B) laid out once --------------------------------------------------- */

static size_t floats_of_parts(int K, int N)
{
    return panel_at(K, 0, (N + PANEL - 1) / PANEL * PANEL, PARTS);
}

static size_t floats_rounded(int K, int N)
{
    return panel_at(K, 0, (N + PANEL - 1) / PANEL * PANEL, 1);
}

static size_t at_of_parts(int K, int k, int n)
{
    return panel_at(K, k, n, PARTS);
}

static size_t at_rounded(int K, int k, int n)
{
    return panel_at(K, k, n, 1);
}

static void pack(float *panels, const struct operand *b, int K, int N)
{
    for (int j = 0; j < N; j += PANEL)
        pack_columns((void *)(panels + panel_at(K, 0, j, b->parts)), b, 0, K, j,
                     N - j < PANEL ? N - j : PANEL, 2);
}

static void pack_of_parts(float *panels, const float *b, int trans_b, size_t ldb, int K, int N)
{
    pack(panels, &(struct operand){ b, DTYPE_F32, trans_b, PARTS, ldb }, K, N);
}

static void pack_rounded(float *panels, const float *b, int trans_b, size_t ldb, int K, int N)
{
    pack(panels, &(struct operand){ b, DTYPE_F32, trans_b, 1, ldb }, K, N);
}

const struct gemm_kernels gemm_kernels_amx = { scratch_floats,  block_of_parts, PANEL,        PANEL,
                                               floats_of_parts, at_of_parts,    pack_of_parts };
const struct gemm_kernels gemm_kernels_amx_bf16 = { scratch_floats, block_rounded,  PANEL,
                                                    PANEL,          floats_rounded, at_rounded,
                                                    pack_rounded };
const struct gemm_kernels gemm_kernels_vectors_bf16 = {
    scratch_floats, block_on_vectors, PANEL, PANEL, floats_rounded, at_rounded, pack_rounded
};
#endif
