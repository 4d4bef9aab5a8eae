/*
 * Normalisation, rotation, SwiGLU, dropout and loss: forward against double
 * formulas, backward against finite differences taken in double.
 */
#include "nn_test.h"

#include "nn/cross_entropy.h"
#include "nn/elementwise.h"
#include "nn/rmsnorm.h"
#include "nn/rope.h"

static const int widths[] = { 1, 7, 64, 577 };
enum { WIDTHS = 4, ROWS = 5 };
static const double STEP = 1e-5; // of finite differences

typedef double (*scalar_function)(const double *x, int n, const void *context);

/* d f / d x[i] in double. */
static double slope(scalar_function f, double *x, int n, int i, const void *context)
{
    double keep = x[i], up, down;

    x[i] = keep + STEP;
    up = f(x, n, context);
    x[i] = keep - STEP;
    down = f(x, n, context);
    x[i] = keep;
    return (up - down) / (2.0 * STEP);
}

struct norm_context {
    const float *w, *dy;
};

/* sum of dy . rmsnorm(x) */
static double norm_objective(const double *x, int C, const void *context)
{
    const struct norm_context *k = context;
    double sum = 0.0, r, out = 0.0;

    for (int c = 0; c < C; c++)
        sum += x[c] * x[c];
    r = 1.0 / sqrt(sum / C + 1e-6);
    for (int c = 0; c < C; c++)
        out += (double)k->dy[c] * x[c] * r * (double)k->w[c];
    return out;
}

static void check_norm(const struct nn *nn, int C)
{
    size_t n = (size_t)ROWS * C;
    float *x = nn_random(n, 1), *w = nn_random((size_t)C, 2), *dy = nn_random(n, 3);
    float *y = nn_random(n, 4), *dx = calloc(n, sizeof(*dx)), rstd[ROWS];
    double *xd = malloc((size_t)C * sizeof(*xd));

    rmsnorm_forward(nn, y, rstd, x, w, 1e-6f, ROWS, C);
    rmsnorm_backward(nn, dx, dy, x, w, rstd, ROWS, C);
    for (int i = 0; i < ROWS; i++) {
        struct norm_context k = { w, dy + (size_t)i * C };
        double sum = 0.0;

        for (int c = 0; c < C; c++) {
            xd[c] = (double)x[(size_t)i * C + c];
            sum += xd[c] * xd[c];
        }
        for (int c = 0; c < C; c++) {
            double want = xd[c] / sqrt(sum / C + 1e-6) * (double)w[c];

            nn_expect("rmsnorm y", (double)y[(size_t)i * C + c], want, 2.0);
            nn_expect("rmsnorm dx", (double)dx[(size_t)i * C + c],
                      slope(norm_objective, xd, C, c, &k), 4.0 / sqrt(sum / C));
        }
    }
    free(x), free(w), free(dy), free(y), free(dx), free(xd);
}

static void rmsnorm_equals_its_formula_and_slope(void **state)
{
    struct nn_case cases[NN_CASES_MAX];
    int n = nn_cases(cases);

    (void)state;
    for (int c = 0; c < n; c++)
        for (int w = 0; w < WIDTHS; w++)
            check_norm(&cases[c].nn, widths[w]);
    nn_cases_close(cases, n);
}

static void check_swiglu(const struct nn *nn, size_t n)
{
    float *g = nn_random(n, 1), *u = nn_random(n, 2), *dy = nn_random(n, 3), *y = nn_random(n, 4);
    float *dg = nn_random(n, 5), *again = nn_random(n, 6), *first = malloc(n * sizeof(*first) + 1);

    for (size_t i = 0; i < n; i++)
        g[i] *= 12.0f;
    swiglu_forward(nn, y, g, u, n);
    for (size_t i = 0; i < n; i++) {
        double s = 1.0 / (1.0 + exp(-(double)g[i]));

        nn_expect("swiglu y", (double)y[i], (double)g[i] * s * (double)u[i], 12.0);
    }
    memcpy(first, y, n * sizeof(*y));
    memcpy(y, dy, n * sizeof(*y));
    swiglu_backward(nn, dg, y, again, y, g, u, n); // dup may be dy
    assert_memory_equal(again, first, n * sizeof(*y));
    for (size_t i = 0; i < n; i++) {
        double x = (double)g[i], s = 1.0 / (1.0 + exp(-x));

        nn_expect("swiglu dup", (double)y[i], (double)dy[i] * x * s, 12.0);
        nn_expect("swiglu dgate", (double)dg[i],
                  (double)dy[i] * (double)u[i] * s * (1.0 + x * (1.0 - s)), 12.0);
    }
    free(g), free(u), free(dy), free(y), free(dg), free(again), free(first);
}

static void swiglu_equals_its_formula_and_derivative(void **state)
{
    static const size_t sizes[] = { 1, 31, 4096, 9001 };
    struct nn_case cases[NN_CASES_MAX];
    int n = nn_cases(cases);

    (void)state;
    for (int c = 0; c < n; c++)
        for (int s = 0; s < 4; s++)
            check_swiglu(&cases[c].nn, sizes[s]);
    nn_cases_close(cases, n);
}

static void rotation_turns_pairs_and_backward_turns_them_back(void **state)
{
    enum { N = 7, H = 3, D = 10 };
    struct nn_case cases[NN_CASES_MAX];
    int n = nn_cases(cases);

    (void)state;
    for (int c = 0; c < n; c++) {
        struct rope_params params = { .theta = 10000.0, .factor = 1.0 };
        float freq[D / 2], cosine[N * D / 2], sine[N * D / 2];
        float *x = nn_random(N * H * D, 1), *y = nn_random(N * H * D, 1);
        int positions[N] = { 0, 1, 2, 3, 100, 4095, 131071 };

        rope_frequencies(freq, &params, D);
        rope_table(&cases[c].nn, cosine, sine, positions, freq, N, D);
        rope_forward(&cases[c].nn, y, cosine, sine, N, H, D);
        for (int i = 0; i < N * H * D; i++) {
            int d = i % D, row = i / (H * D);
            double angle = (double)((float)positions[row] * freq[d % (D / 2)]);
            double other = (double)x[d < D / 2 ? i + D / 2 : i - D / 2];
            double want = (double)x[i] * cos(angle) + (d < D / 2 ? -other : other) * sin(angle);

            nn_expect("rope", (double)y[i], want, 2.0);
        }
        rope_backward(&cases[c].nn, y, cosine, sine, N, H, D);
        for (int i = 0; i < N * H * D; i++)
            nn_expect("rope back", (double)y[i], (double)x[i], 2.0);
        free(x), free(y);
    }
    nn_cases_close(cases, n);
}

static void check_loss(const struct nn *nn, int M, int C, int V)
{
    float *h = nn_random((size_t)M * C, 1), *w = nn_random((size_t)V * C, 2);
    float *dh = nn_random((size_t)M * C, 3);
    float *scratch = malloc(cross_entropy_scratch_floats(M, V) * sizeof(float));
    double *loss = malloc((size_t)M * sizeof(*loss)), *z = malloc((size_t)V * sizeof(*z));
    int32_t *target = malloc((size_t)M * sizeof(*target));

    for (int i = 0; i < M; i++)
        target[i] = (i * 31 + 5) % V;
    cross_entropy(nn, loss, dh, h, w, DTYPE_F32, target, M, C, V, scratch);
    for (int i = 0; i < M; i++) {
        double sum = 0.0;

        for (int v = 0; v < V; v++) {
            z[v] = 0.0;
            for (int c = 0; c < C; c++)
                z[v] += (double)h[(size_t)i * C + c] * (double)w[(size_t)v * C + c];
            sum += exp(z[v]);
        }
        nn_expect("loss", loss[i], log(sum) - z[target[i]], 4.0);
        for (int c = 0; c < C; c++) {
            double want = -(double)w[(size_t)target[i] * C + c];

            for (int v = 0; v < V; v++)
                want += exp(z[v]) / sum * (double)w[(size_t)v * C + c];
            nn_expect("dh", (double)dh[(size_t)i * C + c], want, 4.0);
        }
    }
    free(h), free(w), free(dh), free(scratch), free(loss), free(z), free(target);
}

static void loss_and_its_gradient_equal_the_softmax_formula(void **state)
{
    struct nn_case cases[NN_CASES_MAX];
    int n = nn_cases(cases);

    (void)state;
    for (int c = 0; c < n; c++) {
        check_loss(&cases[c].nn, 1, 1, 1);
        check_loss(&cases[c].nn, 3, 7, 1031);
        check_loss(&cases[c].nn, 601, 5, 67); // more than the rows of one chunk
    }
    nn_cases_close(cases, n);
}

static void dropout_drops_its_share_and_is_a_function_of_its_key(void **state)
{
    enum { N = 100003 };
    struct nn_case cases[NN_CASES_MAX];
    int n = nn_cases(cases);
    float *x = malloc(N * sizeof(*x)), *y = malloc(N * sizeof(*y)), *first = malloc(N * sizeof(*y));
    struct dropout_key key = { 42, 3, 1, 5 }, other = { 42, 3, 2, 5 };

    (void)state;
    for (int i = 0; i < N; i++)
        x[i] = 1.0f;
    for (int c = 0; c < n; c++) {
        double dropped = 0.0, sum = 0.0;
        int differ = 0;

        dropout_apply(&cases[c].nn, y, x, 0.1f, &key, 0, N);
        for (int i = 0; i < N; i++) {
            dropped += y[i] == 0.0f;
            sum += (double)y[i];
        }
        assert_true(fabs(dropped / N - 0.1) < 0.005);
        assert_true(fabs(sum / N - 1.0) < 0.006);
        if (c == 0)
            memcpy(first, y, N * sizeof(*y));
        assert_memory_equal(first, y, N * sizeof(*y));
        dropout_apply(&cases[c].nn, y, x, 0.1f, &key, 1, N);
        for (int i = 0; i < N; i++)
            assert_true(y[i] == 2.0f * first[i]);
        dropout_apply(&cases[c].nn, y, x, 0.1f, &other, 0, N);
        for (int i = 0; i < N; i++)
            differ += y[i] != first[i];
        assert_true(differ > N / 10);
    }
    free(x), free(y), free(first);
    nn_cases_close(cases, n);
}

static void exponentials_are_right_to_an_ulp(void **state)
{
    enum { N = 4096 };
    float *x = nn_random(N, 1), *y = malloc(N * sizeof(*y)), max, sum;
    struct score_rows at = { .rows = 1, .n = N, .ld = N, .seen = { { 0, N } } };
    struct nn_case cases[NN_CASES_MAX];
    int n = nn_cases(cases);

    (void)state;
    for (int i = 0; i < N; i++)
        x[i] = 43.5f * x[i] - 43.5f;
    x[17] = 0.0f;
    x[N - 1] = -INFINITY;
    for (int c = 0; c < n; c++) {
        double want = 0.0;

        memcpy(y, x, N * sizeof(*y));
        cases[c].nn.kernels->exp_rows(&at, y, &max, &sum);
        assert_true(max == 0.0f);
        for (int i = 0; i < N; i++) {
            double e = exp((double)x[i]);
            double ulp = (double)(nextafterf((float)e, INFINITY) - (float)e);

            want += e;
            if (i < N - 1 && fabs((double)y[i] - e) > ulp)
                fail_msg("%s: e^%.9g is %.9g", cases[c].name, (double)x[i], (double)y[i]);
        }
        assert_true(y[N - 1] == 0.0f);
        nn_expect("sum of e^x", (double)sum, want, want);
        y[40] = NAN;
        cases[c].nn.kernels->exp_rows(&at, y, &max, &sum);
        assert_true(isnan(y[40]) && isnan(sum));
    }
    free(x), free(y);
    nn_cases_close(cases, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rmsnorm_equals_its_formula_and_slope),
        cmocka_unit_test(swiglu_equals_its_formula_and_derivative),
        cmocka_unit_test(rotation_turns_pairs_and_backward_turns_them_back),
        cmocka_unit_test(loss_and_its_gradient_equal_the_softmax_formula),
        cmocka_unit_test(exponentials_are_right_to_an_ulp),
        cmocka_unit_test(dropout_drops_its_share_and_is_a_function_of_its_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
