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

/* C = beta C + alpha acc, for the m x n corner that exists. */
static inline __attribute__((always_inline)) void
tile_store(vfloat acc[MR][NV], float alpha, float beta, float *c, size_t ldc, int m, int n)
{
    float edge[MR * NR];
    float *out = c;
    size_t ld = ldc;
    int whole = m == MR && n == NR;

    if (!whole) {
        out = edge;
        ld = NR;
        for (int i = 0; beta != 0.0f && i < m; i++)
            memcpy(edge + i * NR, c + (size_t)i * ldc, (size_t)n * sizeof(float));
    }
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NV; j++) {
            float *at = out + (size_t)i * ld + j * VLEN;
            vfloat v = vset(alpha) * acc[i][j];

            vstore(at, beta == 0.0f ? v : vset(beta) * vload(at) + v);
        }
    for (int i = 0; !whole && i < m; i++)
        memcpy(c + (size_t)i * ldc, edge + i * NR, (size_t)n * sizeof(float));
}

static void tile_packed(const float *a, const float *b, size_t bs, int kc, float alpha, float beta,
                        float *c, size_t ldc, int m, int n)
{
    vfloat acc[MR][NV];

    tile_sum(acc, a, 1, MR, b, bs, kc);
    tile_store(acc, alpha, beta, c, ldc, m, n);
}

/* A panel of op(A): MR rows, k by k; rows beyond m are zero. */
static void pack_a(float *dst, const float *a, size_t row_stride, size_t k_stride, int m, int kc)
{
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

static void pack_b(float *dst, const struct gemm_call *g, int k0, int kc, int j0, int nc)
{
    for (int j = 0; j < nc; j += NR) {
        int n = nc - j < NR ? nc - j : NR;
        size_t col = (size_t)(j0 + j);

        if (g->trans_b)
            pack_b_transposed(dst, g->b, g->b_dtype, g->ldb, col * g->ldb + (size_t)k0, kc, n);
        else
            pack_b_plain(dst, g->b, g->b_dtype, g->ldb, (size_t)k0 * g->ldb + col, kc, n);
        dst += (size_t)kc * NR;
    }
}

/* All tiles of one block of A against the packed columns. */
static void block_product(const struct gemm_call *g, const float *pa, const float *pb, int i0,
                          int mc, int j0, int nc, int kc, float beta)
{
    for (int j = 0; j < nc; j += NR)
        for (int i = 0; i < mc; i += MR)
            tile_packed(pa + (size_t)i * kc, pb + (size_t)j * kc, NR, kc, g->alpha, beta,
                        g->c + (size_t)(i0 + i) * g->ldc + (j0 + j), g->ldc,
                        mc - i < MR ? mc - i : MR, nc - j < NR ? nc - j : NR);
}

void SIMD(gemm_block)(const struct gemm_call *g, float *scratch)
{
    size_t row_stride = g->trans_a ? 1 : g->lda;
    size_t k_stride = g->trans_a ? g->lda : 1;
    int kb = k_block(g->K);
    float *pa = scratch;
    float *pb = scratch + (size_t)MC * KC_MAX;

    for (int j0 = 0; j0 < g->N; j0 += NC) {
        int nc = g->N - j0 < NC ? g->N - j0 : NC;

        for (int k0 = 0; k0 < g->K; k0 += kb) {
            int kc = g->K - k0 < kb ? g->K - k0 : kb;
            float beta = k0 == 0 ? g->beta : 1.0f;

            pack_b(pb, g, k0, kc, j0, nc);
            for (int i0 = 0; i0 < g->M; i0 += MC) {
                int mc = g->M - i0 < MC ? g->M - i0 : MC;

                for (int i = 0; i < mc; i += MR)
                    pack_a(pa + (size_t)i * kc,
                           g->a + (size_t)(i0 + i) * row_stride + (size_t)k0 * k_stride, row_stride,
                           k_stride, mc - i < MR ? mc - i : MR, kc);
                block_product(g, pa, pb, i0, mc, j0, nc, kc, beta);
            }
        }
    }
}
