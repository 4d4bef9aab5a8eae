/*
 * nn/simd/gemm.c: matrix product on one core, C = alpha op(A) op(B) + beta C.
 *
 * The usual nest of blocks (Goto and van de Geijn 2008): B is packed in
 * panels of NR columns, A in panels of MR rows, and a tile of MR x NR sums
 * stays in registers while k runs. Weights in bfloat16 or float16 are widened
 * while they are packed, so a pass over them is a pass over half the bytes.
 *
 * Invariant: the sum of an element of C runs over k in order, cut at places
 * that depend on K alone. Its bits depend on its row of op(A) and its column
 * of op(B) and on nothing else, not on M, N or where the tile stands.
 */
#include "nn/nn_internal.h"
#include "nn/simd/simd.h"
#include "tensor/dtype.h"

#if VLEN == 16
#define MR 14
#define NV 2
#elif VLEN == 8
#define MR 6
#define NV 2
#else
#define MR 4
#define NV 2
#endif
#define NR     (NV * VLEN)
#define MC     (MR * 24)
#define KC_MAX 384
#define NC     2048 // a multiple of NR

size_t SIMD(gemm_scratch_floats)(void)
{
    return (size_t)(MC + NC) * KC_MAX;
}

/* Where a block of K ends: equal parts of at most KC_MAX, multiples of 8. */
static int k_block(int K)
{
    int parts = (K + KC_MAX - 1) / KC_MAX;

    return ((K + parts - 1) / parts + 7) / 8 * 8;
}

/* acc[i] = sum over k of a[i rs + k ks] b[k bs ..]. rs and ks are constants where this is inlined. */
static inline __attribute__((always_inline)) void tile_sum(vfloat acc[MR][NV], const float *a,
                                                           size_t rs, size_t ks, const float *b,
                                                           size_t bs, int kc)
{
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NV; j++)
            acc[i][j] = (vfloat){ 0 };
    for (int k = 0; k < kc; k++) {
        vfloat bv[NV];

        for (int j = 0; j < NV; j++)
            bv[j] = vload(b + j * VLEN);
#pragma GCC unroll 16
        for (int i = 0; i < MR; i++)
            for (int j = 0; j < NV; j++)
                acc[i][j] += vset(a[(size_t)i * rs]) * bv[j];
        a += ks;
        b += bs;
    }
}

/* out = beta out + alpha acc over a whole tile. */
static inline __attribute__((always_inline)) void tile_update(vfloat acc[MR][NV], float alpha,
                                                              float beta, float *out, size_t ld)
{
    vfloat va = vset(alpha), vb = vset(beta);

    if (beta == 0.0f) {
#pragma GCC unroll 16
        for (int i = 0; i < MR; i++)
            for (int j = 0; j < NV; j++)
                vstore(out + (size_t)i * ld + j * VLEN, va * acc[i][j]);
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NV; j++) {
            float *at = out + (size_t)i * ld + j * VLEN;

            vstore(at, vb * vload(at) + va * acc[i][j]);
        }
}

/* C = beta C + alpha acc, for the m x n corner that exists. */
static inline __attribute__((always_inline)) void
tile_store(vfloat acc[MR][NV], float alpha, float beta, float *c, size_t ldc, int m, int n)
{
    float edge[MR * NR];

    if (m == MR && n == NR) {
        tile_update(acc, alpha, beta, c, ldc);
        return;
    }
    for (int i = 0; beta != 0.0f && i < m; i++)
        memcpy(edge + i * NR, c + (size_t)i * ldc, (size_t)n * sizeof(float));
    tile_update(acc, alpha, beta, edge, NR);
    for (int i = 0; i < m; i++)
        memcpy(c + (size_t)i * ldc, edge + i * NR, (size_t)n * sizeof(float));
}

/* A tile from packed A; rows of b are bs apart. */
static void tile_packed(const float *a, const float *b, size_t bs, int kc, float alpha, float beta,
                        float *c, size_t ldc, int m, int n)
{
    vfloat acc[MR][NV];

    tile_sum(acc, a, 1, MR, b, bs, kc);
    tile_store(acc, alpha, beta, c, ldc, m, n);
}

/* A tile of MR whole rows of A as it lies, lda apart: for few columns, packing would cost more. */
static void tile_direct(const float *a, size_t lda, const float *b, int kc, float alpha, float beta,
                        float *c, size_t ldc, int n)
{
    vfloat acc[MR][NV];

    tile_sum(acc, a, lda, 1, b, NR, kc);
    tile_store(acc, alpha, beta, c, ldc, MR, n);
}

/* A panel of op(A): MR rows, k by k; rows beyond m are zero. */
static void pack_a(float *dst, const float *a, size_t row_stride, size_t k_stride, int m, int kc)
{
    if (m == MR) {
        for (int k = 0; k < kc; k++)
#pragma GCC unroll 16
            for (int i = 0; i < MR; i++)
                dst[k * MR + i] = a[(size_t)i * row_stride + (size_t)k * k_stride];
        return;
    }
    for (int k = 0; k < kc; k++)
        for (int i = 0; i < MR; i++)
            dst[k * MR + i] = i < m ? a[(size_t)i * row_stride + (size_t)k * k_stride] : 0.0f;
}

static void widen_row(float *dst, const void *src, enum dtype dtype, size_t offset, int n)
{
    const uint16_t *half = (const uint16_t *)src + offset;

    if (dtype == DTYPE_BF16) {
        for (int i = 0; i < n; i++)
            dst[i] = bf16_to_float(half[i]);
    } else if (dtype == DTYPE_F16) {
        for (int i = 0; i < n; i++)
            dst[i] = f16_to_float(half[i]);
    } else {
        memcpy(dst, (const float *)src + offset, (size_t)n * sizeof(*dst));
    }
}

/* A panel of op(B), op(B)[k][j] = b[k ldb + j]: rows are copied as they lie. */
static void pack_b_plain(float *dst, const void *b, enum dtype dtype, size_t ldb, size_t at, int kc,
                         int n)
{
    for (int k = 0; k < kc; k++) {
        widen_row(dst + k * NR, b, dtype, at + (size_t)k * ldb, n);
        for (int j = n; j < NR; j++)
            dst[k * NR + j] = 0.0f;
    }
}

/* A panel of op(B), op(B)[k][j] = b[j ldb + k]: columns are widened, then transposed in blocks. */
static void pack_b_transposed(float *dst, const void *b, enum dtype dtype, size_t ldb, size_t at,
                              int kc, int n)
{
    enum { STEP = 16 };
    float rows[NR][STEP];

    for (int k0 = 0; k0 < kc; k0 += STEP) {
        int steps = kc - k0 < STEP ? kc - k0 : STEP;

        for (int j = 0; j < NR; j++) {
            if (j < n && steps == STEP)
                widen_row(rows[j], b, dtype, at + (size_t)j * ldb + (size_t)k0, STEP);
            else if (j < n)
                widen_row(rows[j], b, dtype, at + (size_t)j * ldb + (size_t)k0, steps);
            else
                memset(rows[j], 0, sizeof(rows[j]));
        }
        for (int k = 0; k < steps; k++)
            for (int j = 0; j < NR; j++)
                dst[(k0 + k) * NR + j] = rows[j][k];
    }
}

/* Few rows of A do not repay packing B where its rows can be read as they lie. */
static int reads_b_directly(const struct gemm_call *g, int n)
{
    return !g->trans_b && g->b_dtype == DTYPE_F32 && g->M <= 2 * MR && n == NR;
}

/* Few columns of B do not repay packing A. */
static int reads_a_directly(const struct gemm_call *g)
{
    return !g->trans_a && g->N <= NR && g->M > 2 * MR;
}

static void pack_b(float *dst, const struct gemm_call *g, int k0, int kc, int j0, int nc)
{
    for (int j = 0; j < nc; j += NR) {
        int n = nc - j < NR ? nc - j : NR;
        size_t col = (size_t)(j0 + j);

        if (g->trans_b)
            pack_b_transposed(dst, g->b, g->b_dtype, g->ldb, col * g->ldb + (size_t)k0, kc, n);
        else if (!reads_b_directly(g, n))
            pack_b_plain(dst, g->b, g->b_dtype, g->ldb, (size_t)k0 * g->ldb + col, kc, n);
        dst += (size_t)kc * NR;
    }
}

/* The place of a block in the product. */
struct block {
    int i0, mc, j0, nc, k0, kc;
    float beta;
};

/* All tiles of a block, A packed. */
static void block_product(const struct gemm_call *g, const struct block *at, const float *pa,
                          const float *pb)
{
    for (int j = 0; j < at->nc; j += NR) {
        int n = at->nc - j < NR ? at->nc - j : NR;
        const float *b = pb + (size_t)j * at->kc;
        size_t bs = NR;

        if (reads_b_directly(g, n)) {
            b = (const float *)g->b + (size_t)at->k0 * g->ldb + (size_t)(at->j0 + j);
            bs = g->ldb;
        }
        for (int i = 0; i < at->mc; i += MR)
            tile_packed(pa + (size_t)i * at->kc, b, bs, at->kc, g->alpha, at->beta,
                        g->c + (size_t)(at->i0 + i) * g->ldc + (at->j0 + j), g->ldc,
                        at->mc - i < MR ? at->mc - i : MR, n);
    }
}

static void pack_rows(const struct gemm_call *g, const struct block *at, float *pa)
{
    size_t row_stride = g->trans_a ? 1 : g->lda;
    size_t k_stride = g->trans_a ? g->lda : 1;

    for (int i = 0; i < at->mc; i += MR)
        pack_a(pa + (size_t)i * at->kc,
               g->a + (size_t)(at->i0 + i) * row_stride + (size_t)at->k0 * k_stride, row_stride,
               k_stride, at->mc - i < MR ? at->mc - i : MR, at->kc);
}

/* One panel of columns and many rows: A is read as it lies, but for the last rows. */
static void narrow_product(const struct gemm_call *g, const struct block *at, float *pa,
                           const float *pb)
{
    int whole = at->mc / MR * MR;
    struct block rest = *at;

    for (int i = 0; i < whole; i += MR)
        tile_direct(g->a + (size_t)(at->i0 + i) * g->lda + (size_t)at->k0, g->lda, pb, at->kc,
                    g->alpha, at->beta, g->c + (size_t)(at->i0 + i) * g->ldc + at->j0, g->ldc,
                    at->nc);
    rest.i0 += whole;
    rest.mc -= whole;
    pack_rows(g, &rest, pa);
    block_product(g, &rest, pa, pb);
}

void SIMD(gemm_block)(const struct gemm_call *g, float *scratch)
{
    int kb = k_block(g->K);
    float *pa = scratch;
    float *pb = scratch + (size_t)MC * KC_MAX;
    struct block at;

    for (at.j0 = 0; at.j0 < g->N; at.j0 += NC) {
        at.nc = g->N - at.j0 < NC ? g->N - at.j0 : NC;
        for (at.k0 = 0; at.k0 < g->K; at.k0 += kb) {
            at.kc = g->K - at.k0 < kb ? g->K - at.k0 : kb;
            at.beta = at.k0 == 0 ? g->beta : 1.0f;
            pack_b(pb, g, at.k0, at.kc, at.j0, at.nc);
            for (at.i0 = 0; at.i0 < g->M; at.i0 += MC) {
                at.mc = g->M - at.i0 < MC ? g->M - at.i0 : MC;
                if (reads_a_directly(g)) {
                    narrow_product(g, &at, pa, pb);
                    continue;
                }
                pack_rows(g, &at, pa);
                block_product(g, &at, pa, pb);
            }
        }
    }
}
