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

#define SHORT  (VLEN == 16 ? 8 : 4)
#define TALL   (2 * MR) // rows of a tile one vector wide
#define REACH  5  // rows that one address serves: 0 to 4 strides on, what instructions can add
#define FEW_K  64 // a short row of A, a short column of B
#define MC     (MR * 24)
#define KC_MAX (VLEN == 16 ? 576 : 384) // a panel of B may come from the second cache
#define NC     2048                     // a multiple of NR
#define K_SUM  (KC_MAX + GEMM_LOW_RANK)

size_t SIMD(gemm_scratch_floats)(void)
{
    return (size_t)(MC + MR + NC) * K_SUM + (size_t)GEMM_LOW_RANK * KC_MAX;
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

/*
 * p, which the compiler must not make from another pointer: addresses of fourteen rows by one and the same
 * would take all registers there are, and some of the vectors' too.
 */
INLINE const float *address_kept(const float *p)
{
    __asm__("" : "+r"(p));
    return p;
}

/*
 * acc[i][j] = sum over k of a[i rs + k ks] b[k bs + j VLEN ..] for mr rows and
 * nv vectors. mr, nv, and one of rs and ks, are constants where this is inlined.
 * With ahead, the next columns of b are fetched: where its rows are read as they
 * lie, each in a page of its own, the CPU does not see by itself what comes next.
 */
INLINE void tile_sum(vfloat *acc, int mr, int nv, const float *a, size_t rs, size_t ks,
                     const float *b, size_t bs, int kc, int ahead)
{
    const float *base[(TALL + REACH - 1) / REACH];
    int reach = __builtin_constant_p(rs) ? mr : REACH, bases = (mr + reach - 1) / reach;

#pragma GCC unroll 32
    for (int i = 0; i < bases; i++)
        base[i] = address_kept(a + (size_t)(i * reach) * rs);
#pragma GCC unroll 32
    for (int i = 0; i < mr * nv; i++)
        acc[i] = (vfloat){ 0 };
    for (int k = 0; k < kc; k++) {
        vfloat bv[NV];

#pragma GCC unroll 2
        for (int j = 0; j < nv; j++)
            bv[j] = vload(b + j * VLEN);
        for (int j = 0; ahead && j < NV; j++)
            __builtin_prefetch(b + NR + j * VLEN);
#pragma GCC unroll 32
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 2
            for (int j = 0; j < nv; j++)
                acc[i * nv + j] += vset(base[i / reach][(size_t)(i % reach) * rs]) * bv[j];
#pragma GCC unroll 32
        for (int i = 0; i < bases; i++)
            base[i] += ks;
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

/* Panels of packed A of two heights, panels of B of one or two vectors; rows of b are bs apart. */
#define TILE_PACKED(name, mr, nv, ahead)                                                           \
    static void name(const struct gemm_call *g, const float *a, const float *b, size_t bs, int kc, \
                     float beta, float *c, int m, int n)                                           \
    {                                                                                              \
        vfloat acc[(mr) * (nv)];                                                                   \
                                                                                                   \
        tile_sum(acc, mr, nv, a, 1, mr, b, bs, kc, ahead);                                         \
        tile_store(acc, mr, nv, g, beta, c, m, n);                                                 \
    }
TILE_PACKED(tile_packed, MR, NV, 0)
TILE_PACKED(tile_packed_narrow, MR, 1, 0)
TILE_PACKED(tile_packed_short, SHORT, NV, 0)
TILE_PACKED(tile_packed_short_ahead, SHORT, NV, 1)

/* Whole rows of op(A) as they lie, rs and ks apart: for few columns, packing would cost more. */
#define TILE_DIRECT(name, mr, nv, rs, ks)                                                          \
    static void name(const struct gemm_call *g, const float *a, const float *b, size_t bs, int kc, \
                     float beta, float *c, int n)                                                  \
    {                                                                                              \
        vfloat acc[(mr) * (nv)];                                                                   \
                                                                                                   \
        tile_sum(acc, mr, nv, a, rs, ks, b, bs, kc, 0);                                            \
        tile_store(acc, mr, nv, g, beta, c, mr, n);                                                \
    }
TILE_DIRECT(tile_direct, MR, NV, g->lda, 1)
TILE_DIRECT(tile_direct_tall, TALL, 1, g->lda, 1)
TILE_DIRECT(tile_direct_transposed, MR, NV, 1, g->lda)

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
        size_t size = dtype_size(dtype);

        for (int k = 0; k < kc; k++) {
            size_t from = at + (size_t)k * ldb;

            for (int j = NR; j < 2 * NR; j += VLEN) // the next panel's, as in tile_sum()
                __builtin_prefetch((const char *)b + (from + (size_t)j) * size);
            widen_row(dst + k * NR, b, dtype, from, NR);
        }
        return;
    }
    for (int k = 0; k < kc; k++) {
        widen_row(dst + k * NR, b, dtype, at + (size_t)k * ldb, n);
        for (int j = n; j < NR; j++)
            dst[k * NR + j] = 0.0f;
    }
}

/*
 * dst[k stride + i] = row i of src, i < m; lanes from m to VLEN are zero. Each k
 * stores VLEN lanes, so with a stride below VLEN the last ones reach beyond the
 * panel: what follows it is packed later.
 */
INLINE void pack_lanes(float *dst, int stride, const void *src, enum dtype dtype, size_t at,
                       size_t ld, int m, int kc)
{
    for (int k = 0; k < kc; k += VLEN) {
        int steps = kc - k < VLEN ? kc - k : VLEN;
        vfloat v[VLEN];

#pragma GCC unroll 16
        for (int i = 0; i < VLEN; i++) {
            size_t from = at + (size_t)i * ld + (size_t)k;

            v[i] = (vfloat){ 0 };
            if (i < m && steps == VLEN)
                widen_row((float *)&v[i], src, dtype, from, VLEN);
            else if (i < m)
                widen_row((float *)&v[i], src, dtype, from, steps);
        }
        vtranspose(v);
        for (int j = 0; j < steps; j++)
            vstore(dst + (size_t)(k + j) * (size_t)stride, v[j]);
    }
}

/* A panel of op(B), op(B)[k][j] = b[j ldb + k]: VLEN columns at a time are widened and transposed. */
static void pack_b_transposed(float *dst, const void *b, enum dtype dtype, size_t ldb, size_t at,
                              int kc, int n)
{
    for (int j = 0; j < NR; j += VLEN, at += VLEN * ldb) {
        int m = n - j < 0 ? 0 : n - j < VLEN ? n - j : VLEN;

        if (m == VLEN && dtype == DTYPE_F32)
            pack_lanes(dst + j, NR, b, DTYPE_F32, at, ldb, VLEN, kc);
        else if (m == VLEN && dtype == DTYPE_BF16)
            pack_lanes(dst + j, NR, b, DTYPE_BF16, at, ldb, VLEN, kc);
        else
            pack_lanes(dst + j, NR, b, dtype, at, ldb, m, kc);
    }
}

/* A panel of op(A): mr rows, k by k; rows beyond m are zero. */
INLINE void pack_a_panel(float *dst, int mr, const float *a, size_t row_stride, size_t k_stride,
                         int m, int kc)
{
    if (k_stride == 1) {
        if (m == mr)
            pack_lanes(dst, mr, a, DTYPE_F32, 0, row_stride, mr, kc);
        else
            pack_lanes(dst, mr, a, DTYPE_F32, 0, row_stride, m, kc);
        return;
    }
    for (int k = 0; k < kc; k++, dst += mr, a += k_stride) {
        if (m == mr) {
            memcpy(dst, a, (size_t)mr * sizeof(*dst));
            continue;
        }
        for (int i = 0; i < mr; i++)
            dst[i] = i < m ? a[i] : 0.0f;
    }
}

static void pack_a(float *dst, int mr, const float *a, size_t row_stride, size_t k_stride, int m,
                   int kc)
{
    if (mr == MR)
        pack_a_panel(dst, MR, a, row_stride, k_stride, m, kc);
    else
        pack_a_panel(dst, SHORT, a, row_stride, k_stride, m, kc);
}

/* Few rows of A do not repay packing B where its rows can be read as they lie, nor do few rows of B. */
static int reads_b_directly(const struct gemm_call *g, int n)
{
    return !g->trans_b && g->b_dtype == DTYPE_F32 && g->R == 0 && n == NR &&
           (g->M <= 2 * MR || g->K <= FEW_K);
}

/*
 * Few columns of B do not repay packing A: few panels, or one where A is not in the first cache yet.
 * Nor do short rows of A, which stay there while many panels pass by.
 */
static int reads_a_directly(const struct gemm_call *g)
{
    int few = g->panels || g->trans_a ? 4 * NR : NR;
    int stays = g->trans_a ? g->K <= FEW_K : g->panels && g->K <= 2 * FEW_K;

    return g->R == 0 && (g->N <= few || stays) && g->M >= (g->N <= VLEN ? TALL : MR);
}

/*
 * The place of a block in the product. The last block of K carries the low-rank
 * term: r is its rank there, else 0. The first columns bring along U where it is
 * to be made: d is its rank there, else 0.
 */
struct block {
    int i0, mc, j0, nc, k0, kc, r, d;
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

static void pack_d(float *dst, const struct gemm_call *g, const struct block *at)
{
    for (int j = 0; j < at->d; j += NR)
        pack_b_panel(dst + (size_t)j * at->kc, g, g->d, DTYPE_F32, g->ldd, at->k0, at->kc, j,
                     at->d - j < NR ? at->d - j : NR);
}

size_t SIMD(gemm_panels_floats)(int K, int N)
{
    return (size_t)K * (size_t)((N + NR - 1) / NR * NR);
}

size_t SIMD(gemm_panel_at)(int K, int k, int n)
{
    return (size_t)n * (size_t)K + (size_t)k * NR;
}

void SIMD(gemm_pack)(float *panels, const float *b, int trans_b, size_t ldb, int K, int N)
{
    struct gemm_call g = { .trans_b = trans_b };

    for (int j = 0; j < N; j += NR)
        pack_b_panel(panels + (size_t)j * K, &g, b, DTYPE_F32, ldb, 0, K, j,
                     N - j < NR ? N - j : NR);
}

static void tile(const struct gemm_call *g, int mr, const float *a, const float *b, size_t bs,
                 int kc, float beta, float *c, int m, int n)
{
    if (mr == SHORT && bs != NR)
        tile_packed_short_ahead(g, a, b, bs, kc, beta, c, m, n);
    else if (mr == SHORT)
        tile_packed_short(g, a, b, bs, kc, beta, c, m, n);
    else if (n <= VLEN)
        tile_packed_narrow(g, a, b, bs, kc, beta, c, m, n);
    else
        tile_packed(g, a, b, bs, kc, beta, c, m, n);
}

/* What a block adds to m rows of U, packed in pa. */
static void low_rank_input(const struct gemm_call *g, const struct block *at, int row, int m,
                           int mr, const float *pa, const float *pd)
{
    struct gemm_call input = { .alpha = g->gamma, .ldc = g->ldu };

    for (int j = 0; j < at->d; j += NR)
        tile(&input, mr, pa, pd + (size_t)j * at->kc, NR, at->kc, at->k0 == 0 ? 0.0f : 1.0f,
             g->u + (size_t)row * g->ldu + j, m, at->d - j < NR ? at->d - j : NR);
}

/* Panels of the rows of a block; in the last block of K each is followed by its rows of U, complete by then. */
static void pack_rows(const struct gemm_call *g, const struct block *at, float *pa, const float *pd)
{
    size_t row_stride = g->trans_a ? 1 : g->lda;
    size_t k_stride = g->trans_a ? g->lda : 1;

    for (int i = 0, mr; i < at->mc; i += mr) {
        int row = at->i0 + i, m;

        mr = tile_rows(at->mc - i);
        m = at->mc - i < mr ? at->mc - i : mr;
        pack_a(pa, mr, g->a + (size_t)row * row_stride + (size_t)at->k0 * k_stride, row_stride,
               k_stride, m, at->kc);
        low_rank_input(g, at, row, m, mr, pa, pd);
        pa += (size_t)mr * at->kc;
        if (at->r > 0)
            pack_a(pa, mr, g->u + (size_t)row * g->ldu, g->ldu, 1, m, at->r);
        pa += (size_t)mr * at->r;
    }
}

/* One panel of columns against all rows of a block, A packed. */
static void panel_product(const struct gemm_call *g, const struct block *at, const float *pa,
                          const float *b, size_t bs, int j, int n)
{
    int kc = at->kc + at->r;

    for (int i = 0, mr; i < at->mc; i += mr) {
        mr = tile_rows(at->mc - i);
        tile(g, mr, pa, b, bs, kc, at->beta, g->c + (size_t)(at->i0 + i) * g->ldc + (at->j0 + j),
             at->mc - i < mr ? at->mc - i : mr, n);
        pa += (size_t)mr * kc;
    }
}

/* The panel of op(B) that begins at column j of the block, its rows *bs numbers apart. */
static const float *panel_at(const struct gemm_call *g, const struct block *at, const float *pb,
                             int j, int n, size_t *bs)
{
    size_t col = (size_t)(at->j0 + j), k0 = (size_t)at->k0;

    *bs = NR;
    if (g->panels)
        return g->panels + col * g->ldb + k0 * NR;
    if (reads_b_directly(g, n)) {
        *bs = g->ldb;
        return (const float *)g->b + k0 * g->ldb + col;
    }
    return pb + (size_t)j * (at->kc + at->r);
}

static void block_product(const struct gemm_call *g, const struct block *at, const float *pa,
                          const float *pb)
{
    for (int j = 0; j < at->nc; j += NR) {
        int n = at->nc - j < NR ? at->nc - j : NR;
        size_t bs;
        const float *b = panel_at(g, at, pb, j, n, &bs);

        panel_product(g, at, pa, b, bs, j, n);
    }
}

/* A is read as it lies, but for the last rows. Each panel of columns stays in the first cache while they pass by. */
static void direct_product(const struct gemm_call *g, const struct block *at, float *pa,
                           const float *pb)
{
    int tall = g->N <= VLEN && !g->trans_a;
    int mr = tall ? TALL : MR;
    int whole = at->mc / mr * mr;
    size_t rs = g->trans_a ? 1 : g->lda, ks = g->trans_a ? g->lda : 1;
    struct block rest = *at;

    for (int j = 0; j < at->nc; j += NR)
        for (int i = 0; i < whole; i += mr) {
            const float *a = g->a + (size_t)(at->i0 + i) * rs + (size_t)at->k0 * ks;
            float *c = g->c + (size_t)(at->i0 + i) * g->ldc + (at->j0 + j);
            int n = at->nc - j < NR ? at->nc - j : NR;
            size_t bs;
            const float *b = panel_at(g, at, pb, j, n, &bs);

            if (tall)
                tile_direct_tall(g, a, b, bs, at->kc, at->beta, c, n);
            else if (g->trans_a)
                tile_direct_transposed(g, a, b, bs, at->kc, at->beta, c, n);
            else
                tile_direct(g, a, b, bs, at->kc, at->beta, c, n);
        }
    rest.i0 += whole;
    rest.mc -= whole;
    pack_rows(g, &rest, pa, NULL);
    block_product(g, &rest, pa, pb);
}

void SIMD(gemm_block)(const struct gemm_call *g, float *scratch)
{
    int kb = k_block(g->K);
    float *pa = scratch;
    float *pd = pa + (size_t)(MC + MR) * K_SUM;
    float *pb = pd + (size_t)GEMM_LOW_RANK * KC_MAX;
    struct block at;

    for (at.j0 = 0; at.j0 < g->N; at.j0 += NC) {
        at.nc = g->N - at.j0 < NC ? g->N - at.j0 : NC;
        at.d = at.j0 == 0 && g->d ? g->R : 0;
        for (at.k0 = 0; at.k0 < g->K; at.k0 += kb) {
            at.kc = g->K - at.k0 < kb ? g->K - at.k0 : kb;
            at.r = at.k0 + kb >= g->K && g->v ? g->R : 0;
            at.beta = at.k0 == 0 ? g->beta : 1.0f;
            if (!g->panels)
                pack_b(pb, g, &at);
            pack_d(pd, g, &at);
            for (at.i0 = 0; at.i0 < g->M; at.i0 += MC) {
                at.mc = g->M - at.i0 < MC ? g->M - at.i0 : MC;
                if (reads_a_directly(g)) {
                    direct_product(g, &at, pa, pb);
                    continue;
                }
                pack_rows(g, &at, pa, pd);
                block_product(g, &at, pa, pb);
            }
        }
    }
}
