/*
 * Matrix products against a plain loop in double, at odd sizes, with every
 * backend; and the promise about bits that the exact sums stand on.
 */
#include "nn_test.h"

static const int sizes[][3] = { { 1, 1, 1 },       { 1, 33, 7 },    { 7, 1, 65 },
                                { 5, 3, 400 },     { 13, 17, 19 },  { 6, 16, 384 },
                                { 37, 67, 385 },   { 145, 70, 31 }, { 8, 200, 97 },
                                { 97, 8, 1153 },   { 65, 2049, 9 }, { 33, 2100, 70 },
                                { 70, 100, 1601 }, { 600, 40, 590 } };
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* All there are, those that round factors, too. */
static int all_cases(struct nn_case *cases)
{
    int n = nn_cases(cases);

    return n + nn_bf16_cases(cases + n);
}

static void round_to_bf16(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = bf16_to_float(float_to_bf16(x[i]));
}

static void narrow(uint16_t *dst, float *src, size_t n, enum dtype dtype)
{
    for (size_t i = 0; i < n; i++) {
        dst[i] = dtype == DTYPE_BF16 ? float_to_bf16(src[i]) : float_to_f16(src[i]);
        src[i] = dtype == DTYPE_BF16 ? bf16_to_float(dst[i]) : f16_to_float(dst[i]);
    }
}

/* The low-rank input of row i, gamma op(A) op(D); size as in plain(). */
static double plain_input(const struct gemm_call *g, int i, int r, double *size)
{
    double sum = 0.0;

    *size = 0.0;
    for (int k = 0; k < g->K; k++) {
        size_t ia = g->trans_a ? (size_t)k * g->lda + (size_t)i : (size_t)i * g->lda + (size_t)k;
        size_t id = g->trans_b ? (size_t)r * g->ldd + (size_t)k : (size_t)k * g->ldd + (size_t)r;
        double p = (double)g->gamma * (double)g->a[ia] * (double)g->d[id];

        sum += p;
        *size += fabs(p);
    }
    return sum;
}

static double plain(const struct gemm_call *g, const float *b, int i, int j, double *size)
{
    double sum = 0.0;

    *size = 0.0;
    for (int k = 0; k < g->K; k++) {
        size_t ia = g->trans_a ? (size_t)k * g->lda + (size_t)i : (size_t)i * g->lda + (size_t)k;
        size_t ib = g->trans_b ? (size_t)j * g->ldb + (size_t)k : (size_t)k * g->ldb + (size_t)j;
        double p = (double)g->a[ia] * (double)b[ib];

        sum += p;
        *size += fabs(p);
    }
    for (int r = 0; g->v && r < g->R; r++) {
        size_t iv = g->trans_b ? (size_t)j * g->ldv + (size_t)r : (size_t)r * g->ldv + (size_t)j;
        double p = (double)g->u[(size_t)i * g->ldu + (size_t)r] * (double)g->v[iv];

        sum += p;
        *size += fabs(p);
    }
    return sum;
}

enum low_rank { U_GIVEN, U_MADE, U_MADE_ALONE };

static void check(const struct nn_case *c, const int *size, int trans_a, int trans_b,
                  enum dtype dtype, float beta, int R, enum low_rank low_rank)
{
    int M = size[0], N = size[1], K = size[2], pad = 3;
    size_t lda = (size_t)(trans_a ? M : K) + (size_t)pad, ldc = (size_t)N + (size_t)pad;
    size_t ldb = (size_t)(trans_b ? K : N) + (dtype == DTYPE_F32 ? (size_t)pad : 0);
    size_t nb = (size_t)(trans_b ? N : K) * ldb, nc = (size_t)M * ldc;
    float *a = nn_random((size_t)(trans_a ? K : M) * lda, 1), *b = nn_random(nb, 2);
    size_t ldu = (size_t)R + (size_t)pad, ldv = (size_t)(trans_b ? R : N) + (size_t)pad;
    float *got = nn_random(nc, 3), *before = nn_random(nc, 3);
    float *u = nn_random((size_t)M * ldu, 8),
          *v = nn_random((size_t)(trans_b ? N : R) * ldv + 1, 9);
    size_t ldd = (size_t)(trans_b ? K : R) + (size_t)pad;
    float *d = nn_random((size_t)(trans_b ? R : K) * ldd + 1, 13);
    uint16_t *half = malloc(nb * sizeof(*half));
    struct gemm_call g = { .trans_a = trans_a,
                           .trans_b = trans_b,
                           .M = M,
                           .N = N,
                           .K = K,
                           .alpha = 0.75f,
                           .beta = beta,
                           .a = a,
                           .b = b,
                           .b_dtype = dtype,
                           .c = got,
                           .lda = lda,
                           .ldb = ldb,
                           .ldc = ldc,
                           .R = R,
                           .gamma = 0.6f,
                           .d = low_rank == U_GIVEN ? NULL : d,
                           .u = u,
                           .v = low_rank == U_MADE_ALONE ? NULL : v,
                           .ldd = ldd,
                           .ldu = ldu,
                           .ldv = ldv };

    if (nn_rounds_to_bf16(&c->nn)) { // leave nothing to be rounded; U and V stay floats
        round_to_bf16(a, (size_t)(trans_a ? K : M) * lda);
        round_to_bf16(b, nb);
        round_to_bf16(d, (size_t)(trans_b ? R : K) * ldd);
    }
    if (dtype != DTYPE_F32) {
        narrow(half, b, nb, dtype);
        g.b = half;
    }
    if (beta == 0.0f)
        got[0] = NAN; // must not be read
    if (g.d)
        u[0] = NAN;
    gemm(&c->nn, &g);
    for (int i = 0; g.d && i < M; i++)
        for (int r = 0; r < R; r++) {
            double scale, want = plain_input(&g, i, r, &scale);

            nn_expect(c->name, (double)u[(size_t)i * ldu + (size_t)r], want, scale);
        }
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N + pad; j++) {
            size_t at = (size_t)i * ldc + (size_t)j;
            double scale = 0.0, want = (double)before[at];

            if (j < N)
                want = 0.75 * plain(&g, b, i, j, &scale) +
                       (beta != 0.0f ? (double)beta * (double)before[at] : 0.0);
            nn_expect(c->name, (double)got[at], want, scale);
        }
    free(a);
    free(b);
    free(got);
    free(before);
    free(half);
    free(u);
    free(v);
    free(d);
}

static void products_equal_a_plain_loop(void **state)
{
    struct nn_case cases[NN_CASES_MAX];
    int n = all_cases(cases);

    (void)state;
    for (int c = 0; c < n; c++)
        for (int s = 0; s < SIZES; s++)
            for (int t = 0; t < 4; t++)
                check(&cases[c], sizes[s], t & 1, t >> 1, DTYPE_F32, t & 1 ? 0.5f : 0.0f, 0,
                      U_GIVEN);
    nn_cases_close(cases, n);
}

static void a_low_rank_term_is_added(void **state)
{
    static const int ranks[] = { 1, 8, GEMM_LOW_RANK, GEMM_LOW_RANK + 9 };
    struct nn_case cases[NN_CASES_MAX];
    int n = all_cases(cases);

    (void)state;
    for (int c = 0; c < n; c++)
        for (int s = 0; s < SIZES; s++)
            for (int t = 0; t < 12; t++) {
                int R = ranks[(s + t) % 4];

                // Beyond it U V is a large product of its own, of rounded factors.
                if (R > GEMM_LOW_RANK && nn_rounds_to_bf16(&cases[c].nn))
                    R = GEMM_LOW_RANK - 9;
                check(&cases[c], sizes[s], t & 1, t >> 1 & 1, t & 1 ? DTYPE_F32 : DTYPE_BF16,
                      t & 2 ? 0.5f : 0.0f, R, (enum low_rank)(t >> 2));
            }
    nn_cases_close(cases, n);
}

static void narrow_weights_are_widened_exactly(void **state)
{
    struct nn_case cases[NN_CASES_MAX];
    int n = all_cases(cases);

    (void)state;
    for (int c = 0; c < n; c++)
        for (int s = 0; s < SIZES; s++) {
            check(&cases[c], sizes[s], 0, 1, DTYPE_BF16, 0.0f, 0, U_GIVEN);
            check(&cases[c], sizes[s], 0, 0, DTYPE_BF16, 1.0f, 0, U_GIVEN);
            check(&cases[c], sizes[s], 0, 1, DTYPE_F16, 0.0f, 0, U_GIVEN);
        }
    nn_cases_close(cases, n);
}

/*
 * Rows [from, from + m) alone have the bits that they have among all rows. alpha and beta are no
 * powers of two, so that a tile that rounds the update in another order shows.
 */
static void check_rows(const struct nn_case *c, int N, int K, int trans_b, int R)
{
    enum { M = 211 };
    static const int runs[][2] = { { 0, 1 }, { 5, 3 }, { 17, 16 }, { 100, 64 }, { 11, 200 } };
    float *a = nn_random((size_t)M * K, 4), *b = nn_random((size_t)N * K, 5);
    float *u = nn_random((size_t)M * 8, 10), *v = nn_random((size_t)N * 8, 11);
    float *all = nn_random((size_t)M * N, 12), *some = malloc((size_t)M * N * sizeof(float));
    float *before = nn_random((size_t)M * N, 12), *d = nn_random((size_t)8 * K, 14);
    float *some_u = malloc((size_t)M * 8 * sizeof(float));
    struct gemm_call g = { .trans_b = trans_b,
                           .M = M,
                           .N = N,
                           .K = K,
                           .alpha = 0.7f,
                           .beta = 0.3f,
                           .a = a,
                           .b = b,
                           .c = all,
                           .lda = (size_t)K,
                           .ldb = (size_t)(trans_b ? K : N),
                           .ldc = (size_t)N,
                           .R = R,
                           .gamma = 0.9f,
                           .d = R > 0 ? d : NULL,
                           .u = u,
                           .v = R > 0 ? v : NULL,
                           .ldd = trans_b ? (size_t)K : 8,
                           .ldu = 8,
                           .ldv = trans_b ? 8 : (size_t)N };

    gemm(&c->nn, &g);
    for (size_t r = 0; r < sizeof(runs) / sizeof(runs[0]); r++) {
        size_t from = (size_t)runs[r][0], n = (size_t)runs[r][1] * N;
        struct gemm_call part = g;

        part.M = runs[r][1];
        part.a = a + from * K;
        part.u = some_u;
        part.c = some;
        memcpy(some, before + from * N, n * sizeof(float));
        gemm(&c->nn, &part);
        assert_memory_equal(some, all + from * N, n * sizeof(float));
        for (size_t i = 0; R > 0 && i < (size_t)runs[r][1]; i++)
            assert_memory_equal(some_u + i * 8, u + (from + i) * 8, (size_t)R * sizeof(float));
    }
    free(a);
    free(d);
    free(some_u);
    free(b);
    free(u);
    free(v);
    free(all);
    free(some);
    free(before);
}

static void native_rows_do_not_depend_on_other_rows(void **state)
{
    static const int shapes[][2] = { { 8, 576 },  { 8, 40 },     { 16, 576 }, { 64, 64 },
                                     { 300, 70 }, { 513, 1153 }, { 2100, 40 } };
    struct nn_case cases[NN_CASES_MAX];
    int n = all_cases(cases);

    (void)state;
    for (int c = 0; c < n; c++)
        for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
            for (int t = 0; t < 4 && gemm_rows_apart(cases[c].nn.backend); t++)
                check_rows(&cases[c], shapes[s][0], shapes[s][1], t & 1, t > 1 ? 8 : 0);
    nn_cases_close(cases, n);
}

static void bits_do_not_depend_on_threads(enum gemm_backend backend, int bf16)
{
    enum { M = 130, N = 700, K = 500 };
    float *a = nn_random((size_t)M * K, 6), *b = nn_random((size_t)N * K, 7);
    float *c[4];

    for (int t = 1; t <= 3; t++) {
        struct nn_case one;

        nn_add_case(&one, NULL, backend, t);
        if (bf16)
            nn_use_bf16(&one.nn);
        c[t] = malloc((size_t)M * N * sizeof(float));
        gemm(&one.nn, &(struct gemm_call){ .trans_b = 1,
                                           .M = M,
                                           .N = N,
                                           .K = K,
                                           .alpha = 1.0f,
                                           .a = a,
                                           .b = b,
                                           .c = c[t],
                                           .lda = K,
                                           .ldb = K,
                                           .ldc = N });
        if (t > 1)
            assert_memory_equal(c[t], c[1], (size_t)M * N * sizeof(float));
        nn_close(&one.nn);
    }
    for (int t = 1; t <= 3; t++)
        free(c[t]);
    free(a);
    free(b);
}

static void native_bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        bits_do_not_depend_on_threads(GEMM_NATIVE, bf16);
        bits_do_not_depend_on_threads(GEMM_AUTO, bf16); // AMX where there is one
    }
}

/* With bf16 a product is the one of rounded factors, to the bit; where the CPU has nothing for it nothing changes. */
static void bf16_rounds_the_factors(void **state)
{
    enum { M = 37, N = 70, K = 200 };
    float *a = nn_random((size_t)M * K, 6), *b = nn_random((size_t)N * K, 7);
    float *got = malloc((size_t)M * N * sizeof(float)),
          *want = malloc((size_t)M * N * sizeof(float));
    struct gemm_call g = { .trans_b = 1,
                           .M = M,
                           .N = N,
                           .K = K,
                           .alpha = 1.0f,
                           .a = a,
                           .b = b,
                           .c = got,
                           .lda = K,
                           .ldb = K,
                           .ldc = N };
    struct nn_case one;

    (void)state;
    nn_add_case(&one, NULL, GEMM_AUTO, 1);
    nn_use_bf16(&one.nn);
    gemm(&one.nn, &g);
    if (nn_rounds_to_bf16(&one.nn)) {
        round_to_bf16(a, (size_t)M * K);
        round_to_bf16(b, (size_t)N * K);
    }
    g.c = want;
    gemm(&one.nn, &g);
    assert_memory_equal(got, want, (size_t)M * N * sizeof(float));
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double scale, plain_sum = plain(&g, b, i, j, &scale);

            nn_expect(one.name, (double)got[(size_t)i * N + (size_t)j], plain_sum, scale);
        }
    nn_close(&one.nn);
    free(a);
    free(b);
    free(got);
    free(want);
}

static void the_probe_tells_the_truth(void **state)
{
    struct nn_case cases[NN_CASES_MAX];
    int n = nn_cases(cases);
    struct error err;

    (void)state;
    for (int c = 0; c < n; c++)
        if (gemm_rows_apart(cases[c].nn.backend))
            assert_int_equal(gemm_rows_independent(&cases[c].nn, 96, 130, &err), 1);
    for (int d = 0; d < DTYPE_COUNT; d++)
        assert_true(gemm_measure_rate(&cases[0].nn, (enum dtype)d, 0.0, &err) > 0.0);
    nn_cases_close(cases, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_a_plain_loop),
        cmocka_unit_test(a_low_rank_term_is_added),
        cmocka_unit_test(narrow_weights_are_widened_exactly),
        cmocka_unit_test(native_rows_do_not_depend_on_other_rows),
        cmocka_unit_test(native_bits_do_not_depend_on_threads),
        cmocka_unit_test(bf16_rounds_the_factors),
        cmocka_unit_test(the_probe_tells_the_truth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
