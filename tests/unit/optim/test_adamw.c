/*
 * tests of optim/adamw.h and optim/clip.h, against torch
 */
#include <float.h>

#include "optim/adamw.h"
#include "optim/clip.h"
#include "optim/every_kernel.h"

#define GOLDEN "tests/golden/optim/adamw.txt"
#define N_MAX  64

/* torch fuses a multiplication and an addition here and there: a few last bits of the terms. */
#define FEW_BITS (4 * (double)FLT_EPSILON)

static void read_floats(FILE *file, float *x, int n)
{
    for (int i = 0; i < n; i++) {
        double value;

        assert_int_equal(fscanf(file, "%la", &value), 1);
        x[i] = (float)value;
    }
}

/* step, for the message: the number of the update and the array */
static void assert_close(const float *x, const float *y, int n, long step, const char *array)
{
    double largest = 0;

    for (int i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)y[i]));
    for (int i = 0; i < n; i++) {
        double off = fabs((double)x[i] - (double)y[i]);

        if (!(off <= FEW_BITS * fmax(fabs((double)y[i]), largest / 4)))
            fail_msg("step %ld %s[%d]: %a, expected %a", step, array, i, (double)x[i],
                     (double)y[i]);
    }
}

struct run {
    struct adamw adamw;
    double max_norm;
    int n, steps;
    float p[N_MAX], m[N_MAX], v[N_MAX];
};

/* A step with every instruction set; all must agree. */
static void take_step(struct run *run, const float *g, double rate, int64_t t)
{
    struct run start = *run;

    for (int c = 0; c < n_cases; c++) {
        struct run next = start;

        adamw_step(&cases[c].nn, &next.adamw, next.p, next.m, next.v, g, (size_t)next.n, rate, t);
        if (c > 0 && memcmp(&next, run, sizeof(next)) != 0)
            fail_msg("%s steps otherwise than %s", cases[c].name, cases[0].name);
        *run = next;
    }
}

static void step_as_torch(struct run *run, FILE *file, int64_t t)
{
    float g[N_MAX], expected[N_MAX], norm, factor;
    double rate;

    assert_int_equal(fscanf(file, "%la", &rate), 1);
    read_floats(file, g, run->n);
    read_floats(file, &norm, 1);
    assert_true(fabs(clip_norm(g, (size_t)run->n) / (double)norm - 1) < FEW_BITS);
    factor = clip_factor(clip_norm(g, (size_t)run->n), run->max_norm);
    clip_scale(g, (size_t)run->n, factor);
    read_floats(file, expected, run->n);
    assert_close(g, expected, run->n, (long)t, "g");
    take_step(run, expected, rate, t);
    read_floats(file, expected, run->n);
    assert_close(run->p, expected, run->n, (long)t, "p");
    read_floats(file, expected, run->n);
    assert_close(run->m, expected, run->n, (long)t, "m");
    read_floats(file, expected, run->n);
    assert_close(run->v, expected, run->n, (long)t, "v");
}

static void ten_steps_with_clipping_follow_torch(void **state)
{
    FILE *file = fopen(GOLDEN, "r");
    struct run run = { 0 };
    int count = 0;

    (void)state;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*[^\n]"), 0);
    while (fscanf(file, " case %d %d %la %la %la %la %la", &run.n, &run.steps, &run.adamw.beta1,
                  &run.adamw.beta2, &run.adamw.epsilon, &run.adamw.weight_decay,
                  &run.max_norm) == 7) {
        assert_in_range(run.n, 1, N_MAX);
        memset(run.m, 0, sizeof(run.m));
        memset(run.v, 0, sizeof(run.v));
        read_floats(file, run.p, run.n);
        for (int64_t t = 1; t <= run.steps; t++)
            step_as_torch(&run, file, t);
        count++;
    }
    assert_int_equal(count, 3);
    (void)fclose(file);
}

static void a_rate_of_zero_moves_moments_but_not_parameters(void **state)
{
    struct run run = { .adamw = { 0.9, 0.999, 1e-8, 0.1 }, .n = 1, .p = { 1.5F } };
    const float g = 2.0F;

    (void)state;
    take_step(&run, &g, 0.0, 1);
    assert_true(run.p[0] == 1.5F);
    assert_true(run.m[0] > 0.199F && run.m[0] < 0.201F);
    assert_true(run.v[0] > 0.00399F && run.v[0] < 0.00401F);
}

static void the_norm_of_a_large_array_is_that_of_a_plain_loop(void **state)
{
    const size_t n = ((size_t)1 << 18) + 77;
    float *g = malloc(n * sizeof(*g));
    double sum = 0;

    (void)state;
    assert_non_null(g);
    for (size_t i = 0; i < n; i++) {
        g[i] = (float)((double)(i * 2654435761U % 1000003) / 1e6 - 0.5);
        sum += (double)g[i] * (double)g[i];
    }
    assert_true(fabs(clip_norm(g, n) / sqrt(sum) - 1) < 1e-13);
    for (size_t k = 0; k < 200; k++) { // every remainder of parts and lanes
        sum = 0;
        for (size_t i = 0; i < k; i++)
            sum += (double)g[i] * (double)g[i];
        assert_true(fabs(clip_norm(g, k) - sqrt(sum)) <= 1e-14 * sqrt(sum));
    }
    free(g);
}

static void clipping_is_off_at_zero_and_never_enlarges(void **state)
{
    (void)state;
    assert_true(clip_factor(1e9, 0) == 1.0F);
    assert_true(clip_factor(0.5, 1) == 1.0F);
    assert_true(clip_factor(0, 1) == 1.0F);
    assert_true(clip_factor(4, 1) == (float)(1 / (4 + 1e-6)));
    assert_true(clip_factor(INFINITY, 1) == 0.0F);
    assert_true(isnan(clip_factor(NAN, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_with_clipping_follow_torch),
        cmocka_unit_test(a_rate_of_zero_moves_moments_but_not_parameters),
        cmocka_unit_test(the_norm_of_a_large_array_is_that_of_a_plain_loop),
        cmocka_unit_test(clipping_is_off_at_zero_and_never_enlarges),
    };

    return cmocka_run_group_tests(tests, open_cases, close_cases);
}
