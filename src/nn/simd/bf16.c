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
#include <sys/syscall.h>
#include <unistd.h>

#include "nn/nn_internal.h"
#include "nn/simd/bf16.h"
#include "nn/simd/fetch.h"

enum {
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

static const struct pair pairs_1x1[] = { { 0, 0 } };
static const struct pair pairs_3x1[] = { { 0, 0 }, { 1, 0 }, { 2, 0 } };
static const struct pair pairs_3x2[] = { { 2, 0 }, { 1, 0 }, { 0, 0 }, { 0, 1 }, { 1, 1 } };

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

/* ---- the product ----------------------------------------------------------- */

static int steps_of(int k)
{
    return (k + STEP - 1) / STEP;
}

/* In how many parts numbers are multiplied; all says in how many a float is. */
static int parts_of(enum dtype dtype, int all)
{
    return all == 1 || dtype == DTYPE_BF16 ? 1 : dtype == DTYPE_F16 ? 2 : all;
}

/* Where in panels of op(B) [K,N] row k and column n are, multiples of a panel's width, in floats. */
static size_t panel_at(int K, int k, int n, int parts)
{
    return ((size_t)n / PANEL * (size_t)steps_of(K) + (size_t)k / STEP) * (size_t)parts * TILE;
}

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
INLINE void update(struct target to, int i, int j, __m512 sum)
{
    int n = to.n - j;
    __mmask16 mask = n >= SIDE ? 0xffff : (__mmask16)((1u << (n < 0 ? 0 : n)) - 1);
    float *c = to.c + (size_t)i * to.ld + j;
    __m512 v = _mm512_mul_ps(_mm512_set1_ps(to.alpha), sum);

    if (to.beta != 0.0f)
        v = _mm512_fmadd_ps(_mm512_set1_ps(to.beta), _mm512_maskz_loadu_ps(mask, c), v);
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
                             int b_parts, int tiles, int low_rank, struct target to)
{
    if (to.m > SIDE && tiles == 2)
        panel_sums(at, a, b, b_parts, 1, 1, low_rank);
    else if (to.m > SIDE)
        panel_sums(at, a, b, b_parts, 1, 0, low_rank);
    else if (tiles == 2)
        panel_sums(at, a, b, b_parts, 0, 1, low_rank);
    else
        panel_sums(at, a, b, b_parts, 0, 0, low_rank);
    for (int i = 0; i < to.m; i++)
        for (int j = 0; j < to.n; j += SIDE)
            update(to, i, j, _mm512_load_ps(at->sums + (size_t)i * PANEL + j));
}

INLINE void product_by_vectors(const struct block *at, const uint16_t *a, const uint16_t *b,
                               int wide, int R, struct target to)
{
    const float *u = (const void *)(a + (size_t)at->steps * 2 * TILE);
    const float *v = (const void *)(b + (size_t)(at->steps * (1 + wide)) * TILE);
    int groups = (to.m + GROUP - 1) / GROUP;

    for (int i = 0; i < to.m; i += GROUP) {
        int rows = to.m - i < GROUP ? to.m - i : GROUP;
        __m512 acc[GROUP * 2];

        fetch_sums(to.c + (size_t)i * to.ld, to.ld, rows, 1 + wide);
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
                              int b_parts, int tiles, int low_rank, struct target to)
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
                          at->d_parts, bf16_tiles(n), 0, to);
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

    bf16_pack_rows(pa, &a, at->k0, at->kc, row, m);
    add_low_rank_input(g, at, pa, row, m);
    if (at->low_rank_steps > 0 && at->unit == TILES)
        bf16_pack_low_rank_rows(end, u, g->ldu, m, g->R, at->buffer);
    else if (at->low_rank_steps > 0)
        bf16_copy_low_rank_rows((void *)end, u, g->ldu, m, g->R);
}

static void pack_d(const struct gemm_call *g, const struct block *at)
{
    struct operand d = { g->d, DTYPE_F32, g->trans_b, at->d_parts, g->ldd };
    uint16_t *pd = at->pd;

    for (int j = 0; j < at->d; j += PANEL) {
        int n = at->d - j < PANEL ? at->d - j : PANEL;

        bf16_pack_columns(pd, &d, at->k0, at->kc, j, n, bf16_tiles(n));
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
    uint16_t *end = pb + (size_t)at->steps * at->b_parts * bf16_tiles(n) * TILE;

    if (at->i0 > 0 || g->panels)
        return;
    bf16_pack_columns(pb, &b, at->k0, at->kc, at->j0 + j, n, bf16_tiles(n));
    if (at->low_rank_steps > 0 && at->unit == TILES)
        bf16_pack_low_rank_columns(end, g, at->j0 + j, n, at->buffer);
    else if (at->low_rank_steps > 0)
        bf16_copy_low_rank_columns((void *)end, g, at->j0 + j, n);
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
    int n = at->nc - j < PANEL ? at->nc - j : PANEL, tiles = g->panels ? 2 : bf16_tiles(n);
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
        product_of_panels(at, a, b, at->b_parts, tiles, at->low_rank_steps > 0 ? g->R : 0, to);
        at->fetch = (struct fetch){ 0 };
    }
}

/* A float is multiplied in so many parts. */
static void product(const struct gemm_call *g, float *scratch, enum unit unit, int parts)
{
    int low_rank_steps =
        steps_of(unit == TILES ? PAIRS * g->R : 2 * g->R); // a float is two numbers
    int kb = depth_of_block(g, KC_MAX, STEP), mb = block_of(g->M, MC * PARTS / parts, PANEL);
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
        bf16_pack_columns((void *)(panels + panel_at(K, 0, j, b->parts)), b, 0, K, j,
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
