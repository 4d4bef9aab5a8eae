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
#define MR    14
#define SHORT 8
#elif VLEN == 8
#define MR    6
#define SHORT 4
#else
#define MR    4
#define SHORT 4
#endif
#define NV     2 // vectors in a panel of B
#define NR     (NV * VLEN)
#define TALL   (2 * MR) // rows of a tile one vector wide
#define MC     (MR * 24)
#define KC_MAX 384
#define NC     2048 // a multiple of NR
#define K_SUM  (KC_MAX + GEMM_LOW_RANK)

size_t SIMD(gemm_scratch_floats)(void)
{
    return (size_t)(MC + MR + NC) * K_SUM;
}

/* Where a block of K ends: equal parts of at most KC_MAX, multiples of 8. */
static int k_block(int K)
{
    int parts = (K + KC_MAX - 1) / KC_MAX;

    return ((K + parts - 1) / parts + 7) / 8 * 8;
}

/* Height of the next tile where m rows are left: as few rows of nothing as can be. */
static int tile_rows(int m)
{
    return m <= SHORT || (m > MR && m <= 2 * SHORT) ? SHORT : MR;
}

#define INLINE static inline __attribute__((always_inline))

/*
 * acc[i][j] = sum over k of a[i rs + k ks] b[k bs + j VLEN ..] for mr rows and
 * nv vectors. mr, nv, and one of rs and ks, are constants where this is inlined.
 */
INLINE void tile_sum(vfloat *acc, int mr, int nv, const float *a, size_t rs, size_t ks,
                     const float *b, size_t bs, int kc)
{
#pragma GCC unroll 32
    for (int i = 0; i < mr * nv; i++)
        acc[i] = (vfloat){ 0 };
    for (int k = 0; k < kc; k++) {
        vfloat bv[NV];

#pragma GCC unroll 2
        for (int j = 0; j < nv; j++)
            bv[j] = vload(b + j * VLEN);
#pragma GCC unroll 32
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 2
            for (int j = 0; j < nv; j++)
                acc[i * nv + j] += vset(a[(size_t)i * rs]) * bv[j];
        a += ks;
        b += bs;
    }
}

/* out = beta out + alpha acc over a whole tile. */
INLINE void tile_update(const vfloat *acc, int mr, int nv, float alpha, float beta, float *out,
                        size_t ld)
{
    vfloat va = vset(alpha), vb = vset(beta);

    if (beta == 0.0f) {
#pragma GCC unroll 32
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 2
            for (int j = 0; j < nv; j++)
                vstore(out + (size_t)i * ld + j * VLEN, va * acc[i * nv + j]);
        return;
    }
#pragma GCC unroll 32
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 2
        for (int j = 0; j < nv; j++) {
            float *at = out + (size_t)i * ld + j * VLEN;

            vstore(at, vb * vload(at) + vrounded(va * acc[i * nv + j]));
        }
}

/* C = beta C + alpha acc, for the m x n corner that exists. */
INLINE void tile_store(const vfloat *acc, int mr, int nv, const struct gemm_call *g, float beta,
                       float *c, int m, int n)
{
    float edge[TALL * NR];
    int width = nv * VLEN;

    if (m == mr && n == width) {
        tile_update(acc, mr, nv, g->alpha, beta, c, g->ldc);
        return;
    }
    for (int i = 0; beta != 0.0f && i < m; i++)
        memcpy(edge + i * width, c + (size_t)i * g->ldc, (size_t)n * sizeof(float));
    tile_update(acc, mr, nv, g->alpha, beta, edge, (size_t)width);
    for (int i = 0; i < m; i++)
        memcpy(c + (size_t)i * g->ldc, edge + i * width, (size_t)n * sizeof(float));
}

/* Panels of packed A of two heights; rows of b are bs apart. */
#define TILE_PACKED(name, mr)                                                                      \
    static void name(const struct gemm_call *g, const float *a, const float *b, size_t bs, int kc, \
                     float beta, float *c, int m, int n)                                           \
    {                                                                                              \
        vfloat acc[(mr)*NV];                                                                       \
                                                                                                   \
        tile_sum(acc, mr, NV, a, 1, mr, b, bs, kc);                                                \
        tile_store(acc, mr, NV, g, beta, c, m, n);                                                 \
    }
TILE_PACKED(tile_packed, MR)
TILE_PACKED(tile_packed_short, SHORT)

/* Whole rows of A as they lie: for few columns, packing would cost more. */
#define TILE_DIRECT(name, mr, nv)                                                       \
    static void name(const struct gemm_call *g, const float *a, const float *b, int kc, \
                     float beta, float *c, int n)                                       \
    {                                                                                   \
        vfloat acc[(mr) * (nv)];                                                        \
                                                                                        \
        tile_sum(acc, mr, nv, a, g->lda, 1, b, NR, kc);                                 \
        tile_store(acc, mr, nv, g, beta, c, mr, n);                                     \
    }
TILE_DIRECT(tile_direct, MR, NV)
TILE_DIRECT(tile_direct_tall, TALL, 1)

/* A panel of op(A): mr rows, k by k; rows beyond m are zero. */
INLINE void pack_a_rows(float *dst, int mr, const float *a, size_t row_stride, size_t k_stride,
                        int m, int kc)
{
    if (m == mr) {
        for (int k = 0; k < kc; k++)
#pragma GCC unroll 16
            for (int i = 0; i < mr; i++)
                dst[k * mr + i] = a[(size_t)i * row_stride + (size_t)k * k_stride];
        return;
    }
    for (int k = 0; k < kc; k++)
        for (int i = 0; i < mr; i++)
            dst[k * mr + i] = i < m ? a[(size_t)i * row_stride + (size_t)k * k_stride] : 0.0f;
}

static void pack_a(float *dst, int mr, const float *a, size_t row_stride, size_t k_stride, int m,
                   int kc)
{
    if (mr == MR)
        pack_a_rows(dst, MR, a, row_stride, k_stride, m, kc);
    else
        pack_a_rows(dst, SHORT, a, row_stride, k_stride, m, kc);
}

/* n numbers of src, from offset on, as floats. Where n is a constant this is a few vector moves. */
INLINE void widen_row(float *dst, const void *src, enum dtype dtype, size_t offset, int n)
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
    if (n == NR) {
        for (int k = 0; k < kc; k++)
            widen_row(dst + k * NR, b, dtype, at + (size_t)k * ldb, NR);
        return;
    }
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

    for (int j = n; j < NR; j++)
        memset(rows[j], 0, sizeof(rows[j]));
    for (int k0 = 0; k0 < kc; k0 += STEP) {
        int steps = kc - k0 < STEP ? kc - k0 : STEP;

        for (int j = 0; j < n; j++) {
            size_t from = at + (size_t)j * ldb + (size_t)k0;

            if (steps == STEP)
                widen_row(rows[j], b, dtype, from, STEP);
            else
                widen_row(rows[j], b, dtype, from, steps);
        }
        for (int k = 0; k < steps; k++)
            for (int j = 0; j < NR; j++)
                dst[(k0 + k) * NR + j] = rows[j][k];
    }
}

/* Few rows of A do not repay packing B where its rows can be read as they lie. */
static int reads_b_directly(const struct gemm_call *g, int n)
{
    return !g->trans_b && g->b_dtype == DTYPE_F32 && g->M <= 2 * MR && g->R == 0 && n == NR;
}

/* Few columns of B do not repay packing A. */
static int reads_a_directly(const struct gemm_call *g)
{
    return !g->trans_a && g->N <= NR && g->M > TALL && g->R == 0;
}

/* The place of a block in the product. The last block of K carries the low-rank term: r is its rank there, else 0. */
struct block {
    int i0, mc, j0, nc, k0, kc, r;
    float beta;
};

static void pack_b_panel(float *dst, const struct gemm_call *g, const void *b, enum dtype dtype,
                         size_t ldb, int k0, int kc, int col, int n)
{
    if (g->trans_b)
        pack_b_transposed(dst, b, dtype, ldb, (size_t)col * ldb + (size_t)k0, kc, n);
    else
        pack_b_plain(dst, b, dtype, ldb, (size_t)k0 * ldb + (size_t)col, kc, n);
}

static void pack_b(float *dst, const struct gemm_call *g, const struct block *at)
{
    for (int j = 0; j < at->nc; j += NR) {
        int n = at->nc - j < NR ? at->nc - j : NR;
        int col = at->j0 + j;

        if (!reads_b_directly(g, n))
            pack_b_panel(dst, g, g->b, g->b_dtype, g->ldb, at->k0, at->kc, col, n);
        dst += (size_t)at->kc * NR;
        if (at->r > 0)
            pack_b_panel(dst, g, g->v, DTYPE_F32, g->ldv, 0, at->r, col, n);
        dst += (size_t)at->r * NR;
    }
}

static void pack_rows(const struct gemm_call *g, const struct block *at, float *pa)
{
    size_t row_stride = g->trans_a ? 1 : g->lda;
    size_t k_stride = g->trans_a ? g->lda : 1;

    for (int i = 0, mr; i < at->mc; i += mr) {
        size_t row = (size_t)(at->i0 + i);
        int m;

        mr = tile_rows(at->mc - i);
        m = at->mc - i < mr ? at->mc - i : mr;
        pack_a(pa, mr, g->a + row * row_stride + (size_t)at->k0 * k_stride, row_stride, k_stride, m,
               at->kc);
        pa += (size_t)mr * at->kc;
        if (at->r > 0)
            pack_a(pa, mr, g->u + row * g->ldu, g->ldu, 1, m, at->r);
        pa += (size_t)mr * at->r;
    }
}

/* One panel of columns against all rows of a block, A packed. */
static void panel_product(const struct gemm_call *g, const struct block *at, const float *pa,
                          const float *b, size_t bs, int j, int n)
{
    int kc = at->kc + at->r;

    for (int i = 0, mr; i < at->mc; i += mr) {
        float *c = g->c + (size_t)(at->i0 + i) * g->ldc + (at->j0 + j);
        int m;

        mr = tile_rows(at->mc - i);
        m = at->mc - i < mr ? at->mc - i : mr;
        if (mr == MR)
            tile_packed(g, pa, b, bs, kc, at->beta, c, m, n);
        else
            tile_packed_short(g, pa, b, bs, kc, at->beta, c, m, n);
        pa += (size_t)mr * kc;
    }
}

static void block_product(const struct gemm_call *g, const struct block *at, const float *pa,
                          const float *pb)
{
    for (int j = 0; j < at->nc; j += NR) {
        int n = at->nc - j < NR ? at->nc - j : NR;

        if (reads_b_directly(g, n))
            panel_product(g, at, pa,
                          (const float *)g->b + (size_t)at->k0 * g->ldb + (size_t)(at->j0 + j),
                          g->ldb, j, n);
        else
            panel_product(g, at, pa, pb + (size_t)j * (at->kc + at->r), NR, j, n);
    }
}

/* One panel of columns and many rows: A is read as it lies, but for the last rows. */
static void narrow_product(const struct gemm_call *g, const struct block *at, float *pa,
                           const float *pb)
{
    int mr = g->N <= VLEN ? TALL : MR;
    int whole = at->mc / mr * mr;
    struct block rest = *at;

    for (int i = 0; i < whole; i += mr) {
        const float *a = g->a + (size_t)(at->i0 + i) * g->lda + (size_t)at->k0;
        float *c = g->c + (size_t)(at->i0 + i) * g->ldc + at->j0;

        if (g->N <= VLEN)
            tile_direct_tall(g, a, pb, at->kc, at->beta, c, at->nc);
        else
            tile_direct(g, a, pb, at->kc, at->beta, c, at->nc);
    }
    rest.i0 += whole;
    rest.mc -= whole;
    pack_rows(g, &rest, pa);
    block_product(g, &rest, pa, pb);
}

void SIMD(gemm_block)(const struct gemm_call *g, float *scratch)
{
    int kb = k_block(g->K);
    float *pa = scratch;
    float *pb = scratch + (size_t)(MC + MR) * K_SUM;
    struct block at;

    for (at.j0 = 0; at.j0 < g->N; at.j0 += NC) {
        at.nc = g->N - at.j0 < NC ? g->N - at.j0 : NC;
        for (at.k0 = 0; at.k0 < g->K; at.k0 += kb) {
            at.kc = g->K - at.k0 < kb ? g->K - at.k0 : kb;
            at.r = at.k0 + kb >= g->K ? g->R : 0;
            at.beta = at.k0 == 0 ? g->beta : 1.0f;
            pack_b(pb, g, &at);
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
