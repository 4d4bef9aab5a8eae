/*
 * nn/simd/bf16_pack.c: numbers in parts, and panels of them.
 */
#ifdef __AVX512BF16__ // as the Makefile compiles it
#include "nn/simd/bf16.h"

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

/* ---- panels ---------------------------------------------------------------- */

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

void bf16_pack_rows(uint16_t *dst, const struct operand *a, int k0, int kc, int i, int m)
{
    pack_panel(dst, a, k0, kc, i, m, 2, !a->along);
}

void bf16_pack_columns(uint16_t *dst, const struct operand *b, int k0, int kc, int j, int n,
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

void bf16_pack_low_rank_rows(uint16_t *dst, const float *u, size_t ldu, int m, int R,
                             uint16_t *buffer)
{
    struct operand a = { buffer, DTYPE_BF16, 1, 1, (size_t)(PAIRS * R) };

    for (int i = 0; i < m; i++)
        spread(buffer + (size_t)i * a.ld, (size_t)R, u + (size_t)i * ldu, R, 0);
    bf16_pack_rows(dst, &a, 0, PAIRS * R, 0, m);
}

void bf16_pack_low_rank_columns(uint16_t *dst, const struct gemm_call *g, int j, int n,
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
    bf16_pack_columns(dst, &b, 0, PAIRS * R, 0, n, bf16_tiles(n));
}

void bf16_copy_low_rank_rows(float *dst, const float *u, size_t ldu, int m, int R)
{
    for (int i = 0; i < m; i++)
        memcpy(dst + (size_t)i * (size_t)R, u + (size_t)i * ldu, (size_t)R * sizeof(*dst));
}

void bf16_copy_low_rank_columns(float *dst, const struct gemm_call *g, int j, int n)
{
    size_t across = g->trans_b ? 1 : g->ldv, along = g->trans_b ? g->ldv : 1;
    const float *v = g->v + (size_t)j * along;

    for (int r = 0; r < g->R; r++, dst += bf16_tiles(n) * SIDE)
        for (int c = 0; c < bf16_tiles(n) * SIDE; c++)
            dst[c] = c < n ? v[(size_t)r * across + (size_t)c * along] : 0.0f;
}
#endif
