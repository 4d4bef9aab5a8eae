/*
 * nn/gemm.c: one call, three backends, divided over the threads.
 *
 * Threads are ours, those of a call or idle ones of a team: each takes a run of
 * columns or rows and calls a backend that uses one core. A library's own threads
 * would fight with those of the kernels.
 */
#include "nn/gemm.h"

#ifdef HAVE_MKL
#include <mkl_cblas.h>
#else
#include <cblas.h>
#endif
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_ONEDNN
#include <dnnl.h>
#endif

#include "base/clock.h"
#include "base/mem.h"
#include "nn/nn_internal.h"
#include "nn/team.h"

enum { LIBRARY_STEP = 48 }; // columns of a library's product go to threads in multiples of this
enum { SKINNY = 64 };       // a side up to this: an adapter's product
static const double SERIAL = 2.5e5; // multiply-adds below which threads cost more than they save

void gemm_backend_prepare(void)
{
#ifdef HAVE_OPENBLAS
    openblas_set_num_threads(1);
#endif
    omp_set_num_threads(1); // what oneDNN takes; our own regions say how many
}

void gemm_describe(const struct nn *nn, char *text, size_t size)
{
    switch (nn->backend) {
    case GEMM_AMX:
        (void)snprintf(text, size, "amx%s", nn_rounds_to_bf16(nn) ? " bf16" : "");
        break;
    case GEMM_NATIVE:
        (void)snprintf(text, size, "native %s%s", nn->kernels->isa,
                       nn_rounds_to_bf16(nn) ? " bf16" : "");
        break;
#ifdef HAVE_ONEDNN
    case GEMM_ONEDNN: {
        const dnnl_version_t *v = dnnl_version();

        (void)snprintf(text, size, "onednn %d.%d.%d", v->major, v->minor, v->patch);
        break;
    }
#endif
    default:
#ifdef HAVE_OPENBLAS
        (void)snprintf(text, size, "openblas %s", openblas_get_corename());
#else
        (void)snprintf(text, size, "cblas");
#endif
        break;
    }
}

const char *gemm_better_coretype(void)
{
#if defined(HAVE_OPENBLAS) && defined(__x86_64__)
    static const char *const slow[] = { "Prescott", "Core2",       "Penryn",    "Dunnington",
                                        "Nehalem",  "Sandybridge", "Barcelona", "Bobcat",
                                        "Katmai",   "Northwood",   "Banias",    "Athlon",
                                        "Opteron",  "Atom",        "Nano" };
    const char *core = openblas_get_corename();
    int avx512;

    __builtin_cpu_init();
    avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (getenv("OPENBLAS_CORETYPE") || !__builtin_cpu_supports("avx2"))
        return NULL;
    for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++)
        if (strcmp(core, slow[i]) == 0)
            return avx512 ? "SkylakeX" : "Haswell";
    if (avx512 && strcmp(core, "Haswell") == 0)
        return "SkylakeX";
#endif
    return NULL;
}

/* BLAS multiplies float by float: columns of a narrower weight are widened in blocks of scratch. */
static void cblas_block(const struct gemm_call *g)
{
    cblas_sgemm(CblasRowMajor, g->trans_a ? CblasTrans : CblasNoTrans,
                g->trans_b ? CblasTrans : CblasNoTrans, g->M, g->N, g->K, g->alpha, g->a,
                (int)g->lda, g->b, (int)g->ldb, g->beta, g->c, (int)g->ldc);
}

static void library_block(const struct nn *nn, const struct gemm_call *g)
{
#ifdef HAVE_ONEDNN
    if (nn->backend == GEMM_ONEDNN) {
        if (dnnl_sgemm(g->trans_a ? 'T' : 'N', g->trans_b ? 'T' : 'N', g->M, g->N, g->K, g->alpha,
                       g->a, (dnnl_dim_t)g->lda, g->b, (dnnl_dim_t)g->ldb, g->beta, g->c,
                       (dnnl_dim_t)g->ldc) != dnnl_success)
            BUG("dnnl_sgemm refused %d x %d x %d", g->M, g->N, g->K);
        return;
    }
#endif
    (void)nn;
    cblas_block(g);
}

/* The part of a narrow weight that scratch can hold: whole rows of W, in either orientation. */
static void widened_product(const struct nn *nn, const struct gemm_call *g, float *scratch)
{
    int rows = g->trans_b ? g->N : g->K; // rows of b as it is stored
    int cols = g->trans_b ? g->K : g->N;
    size_t fit = nn->scratch_stride / (size_t)cols;
    int step = fit > (size_t)rows ? rows : (int)fit;
    const char *b = g->b;

    if (step < 1)
        BUG("a weight row of %d numbers does not fit the scratch memory", cols);
    for (int r = 0; r < rows; r += step) {
        struct gemm_call part = *g;
        int n = rows - r < step ? rows - r : step;

        for (int i = 0; i < n; i++)
            dtype_widen(scratch + (size_t)i * cols,
                        b + ((size_t)(r + i) * g->ldb) * dtype_size(g->b_dtype), g->b_dtype,
                        (size_t)cols);
        part.b = scratch;
        part.b_dtype = DTYPE_F32;
        part.ldb = (size_t)cols;
        if (g->trans_b) {
            part.N = n;
            part.c = g->c + r;
        } else {
            part.K = n;
            part.a = g->a + (g->trans_a ? (size_t)r * g->lda : (size_t)r);
            part.beta = r == 0 ? g->beta : 1.0f;
        }
        library_block(nn, &part);
    }
}

/* Skinny products are ours with every backend: libraries are slow there and mix rows. */
static int is_native(const struct nn *nn, const struct gemm_call *g)
{
    return gemm_rows_apart(nn->backend) || g->M <= SKINNY || g->N <= SKINNY || g->K <= SKINNY;
}

static void native_block(const struct nn *nn, const struct gemm_call *g, float *scratch)
{
#ifdef HAVE_BF16
    if (nn->products != &nn->kernels->gemm && !bf16_takes(g)) {
        nn->kernels->gemm.block(g, scratch);
        return;
    }
#endif
    nn->products->block(g, scratch);
}

/* U = gamma op(A) op(D), by itself. */
static struct gemm_call low_rank_input(const struct gemm_call *g)
{
    struct gemm_call first = *g;

    first.N = g->R;
    first.alpha = g->gamma;
    first.beta = 0.0f;
    first.b = g->d;
    first.b_dtype = DTYPE_F32;
    first.ldb = g->ldd;
    first.c = g->u;
    first.ldc = g->ldu;
    first.R = 0;
    first.d = NULL;
    return first;
}

/* C += alpha U op(V), by itself. */
static struct gemm_call low_rank_output(const struct gemm_call *g)
{
    struct gemm_call last = *g;

    last.trans_a = 0;
    last.K = g->R;
    last.a = g->u;
    last.lda = g->ldu;
    last.b = g->v;
    last.b_dtype = DTYPE_F32;
    last.ldb = g->ldv;
    last.beta = 1.0f;
    last.R = 0;
    last.d = NULL;
    return last;
}

/* The terms one after the other. */
static void separate_products(const struct nn *nn, const struct gemm_call *g, int thread)
{
    struct gemm_call input = low_rank_input(g), main_term = *g, output = low_rank_output(g);

    main_term.R = 0;
    main_term.d = NULL;
    if (g->d)
        gemm_serial(nn, &input, thread);
    gemm_serial(nn, &main_term, thread);
    if (g->v)
        gemm_serial(nn, &output, thread);
}

void gemm_serial(const struct nn *nn, const struct gemm_call *g, int thread)
{
    float *scratch = nn->scratch + (size_t)thread * nn->scratch_stride;

    if (g->M <= 0 || g->N <= 0)
        return;
    if (g->R > 0 && (!is_native(nn, g) || g->R > GEMM_LOW_RANK)) {
        separate_products(nn, g, thread);
        return;
    }
    if (is_native(nn, g))
        native_block(nn, g, scratch);
    else if (g->b_dtype == DTYPE_F32)
        library_block(nn, g);
    else
        widened_product(nn, g, scratch);
}

/* Columns [from, to), or rows where by_rows is set. */
static struct gemm_call part_of(const struct gemm_call *g, int by_rows, int from, int to)
{
    struct gemm_call part = *g;

    if (by_rows) {
        part.M = to - from;
        part.a = g->a + (size_t)from * (g->trans_a ? 1 : g->lda);
        part.u = g->R > 0 ? g->u + (size_t)from * g->ldu : NULL;
        part.c = g->c + (size_t)from * g->ldc;
    } else {
        part.N = to - from;
        part.b =
            (const char *)g->b + (size_t)from * (g->trans_b ? g->ldb : 1) * dtype_size(g->b_dtype);
        part.v = g->v ? g->v + (size_t)from * (g->trans_b ? g->ldv : 1) : NULL;
        part.c = g->c + from;
    }
    return part;
}

/* How a product is cut: into runs of rows or of columns, each of some whole steps. */
struct cut {
    int by_rows, step, steps, parts;
};

/* A part of the rows packs all of B, one of the columns all of A. A library's rows may depend on each other. */
static struct cut cut_of(const struct nn *nn, const struct gemm_call *g)
{
    struct cut cut = { .step = LIBRARY_STEP };

    if (is_native(nn, g)) {
        cut.by_rows = g->M > g->N;
        cut.step = cut.by_rows ? nn->products->tile_rows : nn->products->panel_width;
    }
    cut.steps = ((cut.by_rows ? g->M : g->N) + cut.step - 1) / cut.step;
    cut.parts = nn->team ? 1 + team_idle(nn->team) : nn->threads;
    cut.parts = cut.steps < cut.parts ? cut.steps : cut.parts;
    return cut;
}

static struct gemm_call part_number(const struct gemm_call *g, const struct cut *cut, int t)
{
    int length = cut->by_rows ? g->M : g->N;
    int from = (int)((long)cut->steps * t / cut->parts) * cut->step;
    int to = (int)((long)cut->steps * (t + 1) / cut->parts) * cut->step;

    return part_of(g, cut->by_rows, from, to < length ? to : length);
}

/* The parts of a product, one here and the others with members of the team that have nothing else to do. */
static void divide_in_team(const struct nn *nn, const struct gemm_call *g, struct cut cut)
{
    int who[TEAM_MOST], most = cut.parts - 1 < TEAM_MOST ? cut.parts - 1 : TEAM_MOST;
    struct gemm_call part[TEAM_MOST + 1];
    struct team_task task[TEAM_MOST];
    int helpers = team_claim(nn->team, who, most);
    atomic_int left = helpers;

    cut.parts = 1 + helpers;
    for (int t = 0; t < cut.parts; t++)
        part[t] = part_number(g, &cut, t);
    for (int t = 0; t < helpers; t++) {
        task[t] = (struct team_task){ &part[t + 1], &left };
        team_ask(nn->team, who[t], &task[t]);
    }
    gemm_serial(nn, &part[0], 0);
    team_wait(&left);
}

/* The parts of a product, in threads. */
static void divide(const struct nn *nn, const struct gemm_call *g, const struct cut *cut)
{
    if (nn->team) {
        divide_in_team(nn, g, *cut);
        return;
    }
#pragma omp parallel for num_threads(cut->parts) schedule(static, 1)
    for (int t = 0; t < cut->parts; t++) {
        struct gemm_call part = part_number(g, cut, t);

        gemm_serial(nn, &part, omp_get_thread_num());
    }
}

static void product(const struct nn *nn, const struct gemm_call *g)
{
    struct gemm_call input = low_rank_input(g);
    struct cut cut = cut_of(nn, g);

    if (g->N == 0 && g->d) {
        product(nn, &input);
    } else if (cut.parts <= 1 || (double)g->M * g->N * g->K < SERIAL) {
        gemm_serial(nn, g, 0);
    } else if (g->d && !cut.by_rows) { // all columns need all of U
        struct gemm_call rest = *g;

        product(nn, &input);
        rest.d = NULL;
        rest.R = g->v ? g->R : 0;
        divide(nn, &rest, &cut);
    } else {
        divide(nn, g, &cut);
    }
}

void gemm(const struct nn *nn, const struct gemm_call *g)
{
    product(nn, g);
    profile_lap_gemm(nn->profile, g->N, g->K,
                     2.0 * g->M * g->N * ((double)g->K + (g->v ? g->R : 0)) +
                         (g->d ? 2.0 * g->M * g->K * g->R : 0.0));
}

enum { PROBE_ROWS = 200 };

static float probe_number(size_t i)
{
    return (float)((i * 2654435761u) >> 8 & 0xFFFFu) * 0x1p-16f - 0.5f;
}

/* Computes rows [from, from + rows) alone and compares them with the whole product. */
static int rows_keep_bits(const struct nn *nn, const struct gemm_call *whole, float *part, int from,
                          int rows)
{
    struct gemm_call call = *whole;

    call.M = rows;
    call.a = whole->a + (size_t)from * whole->lda;
    call.c = part;
    gemm(nn, &call);
    return memcmp(part, whole->c + (size_t)from * whole->ldc,
                  (size_t)rows * whole->ldc * sizeof(float)) == 0;
}

int gemm_rows_independent(const struct nn *nn, int N, int K, struct error *err)
{
    static const int probes[][2] = { { 0, 1 }, { 7, 16 }, { 129, 64 }, { 61, 139 } };
    size_t na = (size_t)PROBE_ROWS * K, nb = (size_t)N * K, nc = (size_t)PROBE_ROWS * N;
    float *buf = mem_alloc(size_add(size_add(na, nb), 2 * nc), sizeof(*buf), err);
    int same = 1;

    if (!buf)
        return -1;
    for (size_t i = 0; i < na + nb; i++)
        buf[i] = probe_number(i);
    for (int trans_b = 0; trans_b < 2; trans_b++) {
        struct gemm_call call = { .trans_b = trans_b,
                                  .M = PROBE_ROWS,
                                  .N = N,
                                  .K = K,
                                  .alpha = 1.0f,
                                  .a = buf,
                                  .b = buf + na,
                                  .c = buf + na + nb,
                                  .lda = (size_t)K,
                                  .ldb = (size_t)(trans_b ? K : N),
                                  .ldc = (size_t)N };

        gemm(nn, &call);
        for (size_t p = 0; p < sizeof(probes) / sizeof(probes[0]); p++)
            same =
                same && rows_keep_bits(nn, &call, buf + na + nb + nc, probes[p][0], probes[p][1]);
    }
    free(buf);
    return same;
}

/* Operations a second of the same product on each thread, again and again for so long, at the pace of its fastest. */
static double rate_of_products(const struct nn *nn, const struct gemm_call *call, double seconds)
{
    enum { MOST = 40 };
    double rate = 0.0, start_s = clock_s();

#pragma omp parallel for num_threads(nn->threads) schedule(static, 1) reduction(+ : rate) if (nn->threads > 1)
    for (int t = 0; t < nn->threads; t++) {
        struct gemm_call mine = *call;
        double from_s = clock_s(), best_s = INFINITY;

        mine.c += (size_t)t * GEMM_RATE_SIDE * GEMM_RATE_SIDE;
        for (int r = 0; r < MOST && (r == 0 || from_s < start_s + seconds); r++) {
            double to_s;

            gemm_serial(nn, &mine, t);
            to_s = clock_s();
            best_s = to_s - from_s < best_s ? to_s - from_s : best_s;
            from_s = to_s;
        }
        rate += GEMM_RATE_FLOPS / best_s;
    }
    return rate;
}

double gemm_measure_rate(const struct nn *nn, enum dtype weights, double seconds, struct error *err)
{
    enum { SIDE = GEMM_RATE_SIDE };
    size_t n = (size_t)SIDE * SIDE;
    float *buf = mem_alloc(size_mul((size_t)nn->threads + 2, n), sizeof(*buf), err);
    struct gemm_call call = { .trans_b = 1,
                              .M = SIDE,
                              .N = SIDE,
                              .K = SIDE,
                              .alpha = 1.0f,
                              .b_dtype = weights,
                              .lda = SIDE,
                              .ldb = SIDE,
                              .ldc = SIDE };
    uint16_t *half;
    double rate;

    if (!buf)
        return -1.0;
    half = (void *)(buf + n);
    call.a = buf;
    call.b = buf + n;
    call.c = buf + 2 * n;
    for (size_t i = 0; i < (weights == DTYPE_F32 ? 2 * n : n); i++)
        buf[i] = probe_number(i);
    for (size_t i = 0; weights != DTYPE_F32 && i < n; i++)
        half[i] =
            weights == DTYPE_BF16 ? float_to_bf16(probe_number(i)) : float_to_f16(probe_number(i));
    rate = rate_of_products(nn, &call, seconds);
    free(buf);
    return rate;
}
