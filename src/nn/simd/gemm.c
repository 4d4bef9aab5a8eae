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
#include "nn/simd/fetch.h"
#include "nn/simd/simd.h"

#define SHORT      (VLEN == 16 ? 8 : 4)
#define TALL       (2 * MR) // rows of a tile one vector wide
#define REACH      5 // rows that one address serves: 0 to 4 strides on, what instructions can add
#define FETCHES    (VLEN == 16) // a tile of smaller vectors is too short for it
#define FETCH_EACH 16           // steps of k: a cache line of floats

#define FEW_K  64 // a short row of A, a short column of B
#define MC     (MR * 24)
#define KC_MAX (VLEN == 16 ? 576 : 384) // a panel of B may come from the second cache
#define NC     2048                     // a multiple of NR
#define K_SUM  (KC_MAX + GEMM_LOW_RANK)

size_t SIMD(gemm_scratch_floats)(void)
{
    return (size_t)(MC + MR + NC) * K_SUM + (size_t)GEMM_LOW_RANK * KC_MAX;
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

/* A tile of C: m x n of its MR x NR exist. In one struct, so that the loop over k has the registers for itself. */
struct tile {
    const float *a, *b; // rows, packed or as they lie; a panel of columns
    size_t bs;          // from one row of b to the next
    int kc, m, n;
    float beta;
    float *c;
    struct fetch fetch;
};

/*
 * acc[i][j] = sum over k of a[i rs + k ks] b[k bs + j VLEN ..] for mr rows and
 * nv vectors. mr, nv, and one of rs and ks, are constants where this is inlined.
 * With ahead, the next columns of b are fetched: where its rows are read as they
 * lie, each in a page of its own, the CPU does not see by itself what comes next.
 * With fetch, what the tile says is fetched, too.
 */
INLINE void tile_sum(vfloat *acc, int mr, int nv, const struct tile *t, size_t rs, size_t ks,
                     int ahead, int fetch)
{
    struct fetch next = t->fetch;
    const float *base[(TALL + REACH - 1) / REACH], *b = t->b;
    int reach = __builtin_constant_p(rs) ? mr : REACH, bases = (mr + reach - 1) / reach;
    int each = fetch ? FETCH_EACH : t->kc;
    size_t bs = t->bs;

#pragma GCC unroll 32
    for (int i = 0; i < bases; i++)
        base[i] = address_kept(t->a + (size_t)(i * reach) * rs);
#pragma GCC unroll 32
    for (int i = 0; i < mr * nv; i++)
        acc[i] = (vfloat){ 0 };
    for (int left = t->kc; left > 0; left -= each) {
        if (fetch)
            fetch_step(&next);
        for (int k = left < each ? left : each; k > 0; k--) {
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

/* C = beta C + alpha acc, for the corner that exists. */
INLINE void tile_store(const vfloat *acc, int mr, int nv, const struct gemm_call *g,
                       const struct tile *t)
{
    float edge[TALL * NR];
    int width = nv * VLEN, m = t->m, n = t->n;

    if (m == mr && n == width) {
        tile_update(acc, mr, nv, g->alpha, t->beta, t->c, g->ldc);
        return;
    }
    for (int i = 0; t->beta != 0.0f && i < m; i++)
        memcpy(edge + i * width, t->c + (size_t)i * g->ldc, (size_t)n * sizeof(float));
    tile_update(acc, mr, nv, g->alpha, t->beta, edge, (size_t)width);
    for (int i = 0; i < m; i++)
        memcpy(t->c + (size_t)i * g->ldc, edge + i * width, (size_t)n * sizeof(float));
}

/* The sums over a tile, mr rows of op(A) that are rs and ks apart, and nv vectors of columns. */
#define TILE(name, mr, nv, rs, ks, ahead, fetch)                      \
    static void name(const struct gemm_call *g, const struct tile *t) \
    {                                                                 \
        vfloat acc[(mr) * (nv)];                                      \
                                                                      \
        if (fetch)                                                    \
            fetch_sums(t->c, g->ldc, t->m, nv);                       \
        tile_sum(acc, mr, nv, t, rs, ks, ahead, fetch);               \
        tile_store(acc, mr, nv, g, t);                                \
    }

/* Packed rows of two heights, panels of columns of one or two vectors. */
TILE(tile_packed, MR, NV, 1, MR, 0, FETCHES)
TILE(tile_packed_narrow, MR, 1, 1, MR, 0, 0)
TILE(tile_packed_short, SHORT, NV, 1, SHORT, 0, 0)
TILE(tile_packed_short_ahead, SHORT, NV, 1, SHORT, 1, 0)

/* Whole rows of op(A) as they lie: for few columns, packing would cost more. */
TILE(tile_direct, MR, NV, g->lda, 1, 0, 0)
TILE(tile_direct_narrow, MR, 1, g->lda, 1, 0, 0)
TILE(tile_direct_tall, TALL, 1, g->lda, 1, 0, 0)
TILE(tile_direct_transposed, MR, NV, 1, g->lda, 0, 0)

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
    for (int k = 0; n == NR && k < kc; k++)
        widen_row(dst + k * NR, b, dtype, at + (size_t)k * ldb, NR);
    if (n == NR)
        return;
    for (int k = 0; k < kc; k++) {
        widen_row(dst + k * NR, b, dtype, at + (size_t)k * ldb, n);
        for (int j = n; j < NR; j++)
            dst[k * NR + j] = 0.0f;
    }
}

/* VLEN numbers of src from offset on. */
INLINE vfloat widened(const void *src, enum dtype dtype, size_t offset)
{
    vfloat v;

    if (dtype == DTYPE_BF16)
        return (vfloat)(__builtin_convertvector(*(const vhalf_u *)((const uint16_t *)src + offset),
                                                vint)
                        << 16);
    widen_row((float *)&v, src, dtype, offset, VLEN);
    return v;
}

/* The last k of pack_lanes(), less than VLEN of them. */
static void pack_last_lanes(float *dst, int stride, const void *src, enum dtype dtype, size_t at,
                            size_t ld, int m, int kc)
{
    float rows[VLEN][VLEN] = { { 0 } };

    for (int i = 0; i < m; i++)
        widen_row(rows[i], src, dtype, at + (size_t)i * ld, kc);
    for (int k = 0; k < kc; k++)
        for (int i = 0; i < VLEN; i++)
            dst[(size_t)k * (size_t)stride + i] = rows[i][k];
}

/*
 * dst[k stride + i] = row i of src, i < m; lanes from m to VLEN are zero. Each k
 * stores VLEN lanes, so with a stride below VLEN the last ones reach beyond the
 * panel: what follows it is packed later.
 */
INLINE void pack_lanes(float *dst, int stride, const void *src, enum dtype dtype, size_t at,
                       size_t ld, int m, int kc)
{
    int k;

    for (k = 0; k + VLEN <= kc; k += VLEN) {
        vfloat v[VLEN];

#pragma GCC unroll 16
        for (int i = 0; i < VLEN; i++)
            v[i] = i < m ? widened(src, dtype, at + (size_t)i * ld + (size_t)k) : (vfloat){ 0 };
        vtranspose(v);
#pragma GCC unroll 16
        for (int j = 0; j < VLEN; j++)
            vstore(dst + (size_t)(k + j) * (size_t)stride, v[j]);
    }
    if (k < kc)
        pack_last_lanes(dst + (size_t)k * (size_t)stride, stride, src, dtype, at + (size_t)k, ld, m,
                        kc - k);
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
    float *pa, *pd, *pb; // packed: the rows, D, the columns
    size_t pb_stride;    // from one panel of columns to the next
};

static void pack_b_panel(float *dst, const struct gemm_call *g, const void *b, enum dtype dtype,
                         size_t ldb, int k0, int kc, int col, int n)
{
    if (g->trans_b)
        pack_b_transposed(dst, b, dtype, ldb, (size_t)col * ldb + (size_t)k0, kc, n);
    else
        pack_b_plain(dst, b, dtype, ldb, (size_t)k0 * ldb + (size_t)col, kc, n);
}

/* The panel at column j of a block, before the first rows meet it. */
static void pack_b(const struct gemm_call *g, const struct block *at, int j, int n)
{
    float *dst = at->pb + (size_t)(j / NR) * at->pb_stride;
    int col = at->j0 + j;

    if (at->i0 > 0 || g->panels || reads_b_directly(g, n))
        return;
    pack_b_panel(dst, g, g->b, g->b_dtype, g->ldb, at->k0, at->kc, col, n);
    if (at->r > 0)
        pack_b_panel(dst + (size_t)at->kc * NR, g, g->v, DTYPE_F32, g->ldv, 0, at->r, col, n);
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

static void tile(const struct gemm_call *g, const struct tile *t, int mr)
{
    if (mr == SHORT && t->bs != NR)
        tile_packed_short_ahead(g, t);
    else if (mr == SHORT)
        tile_packed_short(g, t);
    else if (t->n <= VLEN)
        tile_packed_narrow(g, t);
    else
        tile_packed(g, t);
}

/* What a block adds to m rows of U, packed in pa. */
static void low_rank_input(const struct gemm_call *g, const struct block *at, int row, int m,
                           int mr, const float *pa)
{
    struct gemm_call input = { .alpha = g->gamma, .ldc = g->ldu };

    for (int j = 0; j < at->d; j += NR)
        tile(&input,
             &(struct tile){ .a = pa,
                             .b = at->pd + (size_t)j * at->kc,
                             .bs = NR,
                             .kc = at->kc,
                             .m = m,
                             .n = at->d - j < NR ? at->d - j : NR,
                             .beta = at->k0 == 0 ? 0.0f : 1.0f,
                             .c = g->u + (size_t)row * g->ldu + j },
             mr);
}

/* A panel of m rows from i on; in the last block of K it is followed by its rows of U, complete by then. */
static void pack_rows(const struct gemm_call *g, const struct block *at, float *pa, int i, int m,
                      int mr)
{
    size_t row_stride = g->trans_a ? 1 : g->lda;
    size_t k_stride = g->trans_a ? g->lda : 1;
    int row = at->i0 + i;

    pack_a(pa, mr, g->a + (size_t)row * row_stride + (size_t)at->k0 * k_stride, row_stride,
           k_stride, m, at->kc);
    low_rank_input(g, at, row, m, mr, pa);
    if (at->r > 0)
        pack_a(pa + (size_t)mr * at->kc, mr, g->u + (size_t)row * g->ldu, g->ldu, 1, m, at->r);
}

/* The panel of op(B) that begins at column j of the block, its rows *bs numbers apart. */
static const float *panel_at(const struct gemm_call *g, const struct block *at, int j, int n,
                             size_t *bs)
{
    size_t col = (size_t)(at->j0 + j), k0 = (size_t)at->k0;

    *bs = NR;
    if (g->panels)
        return g->panels + col * g->ldb + k0 * NR;
    if (reads_b_directly(g, n)) {
        *bs = g->ldb;
        return (const float *)g->b + k0 * g->ldb + col;
    }
    return at->pb + (size_t)(j / NR) * at->pb_stride;
}

/* What is packed or read after the tile at row i of the panel at column j: the rows below, or a part of the next panel. */
static struct fetch fetch_after(const struct gemm_call *g, const struct block *at, int i, int j)
{
    struct fetch_share share = { i / MR, (at->mc + MR - 1) / MR,
                                 (at->kc + FETCH_EACH - 1) / FETCH_EACH };
    int n = at->nc - j - NR, next = i + MR;
    size_t bs, ld = g->lda * sizeof(float);

    if (j == 0 && (g->trans_a || next >= at->mc))
        return (struct fetch){ 0 };
    if (j == 0)
        return fetch_along((uintptr_t)(g->a + at->k0) + (size_t)(at->i0 + next) * ld, ld, MR,
                           (size_t)at->kc * sizeof(float),
                           (struct fetch_share){ 0, 1, share.steps });
    if (n <= 0)
        return (struct fetch){ 0 };
    if (g->panels || at->i0 > 0)
        return fetch_packed(panel_at(g, at, j + NR, n, &bs), (size_t)at->kc * NR * sizeof(float),
                            share);
    return fetch_columns(g, at->k0, at->kc, at->j0 + j + NR, n < NR ? n : NR, share);
}

/* The first tile of C below column j of a block, but for its rows. */
static struct tile tile_at(const struct gemm_call *g, const struct block *at, int j)
{
    struct tile t = { .kc = at->kc + at->r,
                      .n = at->nc - j < NR ? at->nc - j : NR,
                      .beta = at->beta,
                      .c = g->c + (size_t)at->i0 * g->ldc + (at->j0 + j) };

    t.b = panel_at(g, at, j, t.n, &t.bs);
    return t;
}

/* A panel of columns against all rows of a block; the first of them packs the rows. */
static void panel_product(const struct gemm_call *g, const struct block *at, int j)
{
    struct tile t = tile_at(g, at, j);
    float *pa = at->pa;

    pack_b(g, at, j, t.n);
    for (int i = 0, mr; i < at->mc; i += mr) {
        mr = tile_rows(at->mc - i);
        t.m = at->mc - i < mr ? at->mc - i : mr;
        t.a = pa;
        if (FETCHES && mr == MR && at->kc > 2 * FEW_K)
            t.fetch = fetch_after(g, at, i, j);
        if (j == 0)
            pack_rows(g, at, pa, i, t.m, mr);
        tile(g, &t, mr);
        pa += (size_t)mr * t.kc;
        t.c += (size_t)mr * g->ldc;
    }
}

static void block_product(const struct gemm_call *g, const struct block *at)
{
    for (int j = 0; j < at->nc; j += NR)
        panel_product(g, at, j);
}

/* A is read as it lies, but for the last rows. Each panel of columns stays in the first cache while they pass by. */
static void direct_product(const struct gemm_call *g, const struct block *at)
{
    int tall = g->N <= VLEN && !g->trans_a;
    int mr = tall ? TALL : MR;
    int whole = at->mc / mr * mr, rest_rows = at->mc - whole;
    size_t rs = g->trans_a ? 1 : g->lda, ks = g->trans_a ? g->lda : 1;
    struct block rest = *at;

    if (rest_rows > 0 && whole > 0 && tile_rows(mr + rest_rows) == SHORT)
        whole -= mr; // two short tiles are fewer rows than a whole and a short one
    for (int j = 0; j < at->nc; j += NR) {
        struct tile t = tile_at(g, at, j);

        pack_b(g, at, j, t.n);
        t.m = mr;
        for (int i = 0; i < whole; i += mr, t.c += (size_t)mr * g->ldc) {
            t.a = g->a + (size_t)(at->i0 + i) * rs + (size_t)at->k0 * ks;
            if (tall)
                tile_direct_tall(g, &t);
            else if (g->trans_a)
                tile_direct_transposed(g, &t);
            else if (t.n <= VLEN)
                tile_direct_narrow(g, &t);
            else
                tile_direct(g, &t);
        }
    }
    rest.i0 += whole;
    rest.mc -= whole;
    block_product(g, &rest);
}

void SIMD(gemm_block)(const struct gemm_call *g, float *scratch)
{
    int kb = depth_of_block(g, KC_MAX, 8), mb = block_of(g->M, MC, MR);
    int once = g->M <= MC && !reads_a_directly(g); // all rows meet a panel as soon as it is packed
    struct block at = { .pa = scratch };

    at.pd = at.pa + (size_t)(MC + MR) * K_SUM;
    at.pb = at.pd + (size_t)GEMM_LOW_RANK * KC_MAX;
    for (at.j0 = 0; at.j0 < g->N; at.j0 += NC) {
        at.nc = g->N - at.j0 < NC ? g->N - at.j0 : NC;
        at.d = at.j0 == 0 && g->d ? g->R : 0;
        for (at.k0 = 0; at.k0 < g->K; at.k0 += kb) {
            at.kc = g->K - at.k0 < kb ? g->K - at.k0 : kb;
            at.r = at.k0 + kb >= g->K && g->v ? g->R : 0;
            at.beta = at.k0 == 0 ? g->beta : 1.0f;
            at.pb_stride = once ? 0 : (size_t)NR * (at.kc + at.r);
            pack_d(at.pd, g, &at);
            for (at.i0 = 0; at.i0 < g->M; at.i0 += mb) {
                at.mc = g->M - at.i0 < mb ? g->M - at.i0 : mb;
                if (reads_a_directly(g))
                    direct_product(g, &at);
                else
                    block_product(g, &at);
            }
        }
    }
}
