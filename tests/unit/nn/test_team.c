/*
 * Products with helpers: their bits are those of one thread alone, and the
 * helpers did take part.
 */
#include "nn_test.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "nn/team.h"

enum { MEMBERS = 4, ROUNDS = 8, SIDE = 320 };

/* M, N, K, rank of the low-rank term, trans_b: cut by rows, by columns, too small to be cut. */
static const int shapes[][5] = {
    { 300, 96, 200, 0, 1 }, { 100, 310, 200, 0, 0 }, { 100, 310, 200, 8, 1 },
    { 310, 150, 96, 8, 0 }, { 9, 7, 5, 0, 1 },
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static float *numbers(size_t n, uint32_t seed)
{
    float *x = malloc(n * sizeof(*x));

    for (size_t i = 0; i < n; i++)
        x[i] = (float)(((i + seed) * 2654435761u >> 8) & 0xFFFF) * 0x1p-16f - 0.5f;
    return x;
}

/* The operands of all shapes. */
struct operands {
    float *a, *b, *d, *v;
};

static void product(const struct nn *nn, const struct operands *x, int s, float *c, float *u)
{
    const int *shape = shapes[s];
    int K = shape[2], R = shape[3], N = shape[1];

    gemm(nn, &(struct gemm_call){ .trans_b = shape[4],
                                  .M = shape[0],
                                  .N = N,
                                  .K = K,
                                  .alpha = 1.0f,
                                  .a = x->a,
                                  .b = x->b,
                                  .c = c,
                                  .lda = (size_t)K,
                                  .ldb = (size_t)(shape[4] ? K : N),
                                  .ldc = (size_t)N,
                                  .R = R,
                                  .gamma = 0.5f,
                                  .d = R ? x->d : NULL,
                                  .u = R ? u : NULL,
                                  .v = R ? x->v : NULL,
                                  .ldd = (size_t)(shape[4] ? K : R),
                                  .ldu = (size_t)R,
                                  .ldv = (size_t)(shape[4] ? R : N) });
}

/* Thread 0 computes when all others are idle; they help until it leaves. Returns how many products differ. */
static int compute_with_helpers(const struct nn *all, struct team *team, struct profile *watch,
                                const struct operands *x, float *const *wanted)
{
    float *c = malloc((size_t)SIDE * SIDE * sizeof(*c)), *u = malloc((size_t)SIDE * 8 * sizeof(*u));
    int differ = 0;

    team_start(team, MEMBERS);
#pragma omp parallel num_threads(MEMBERS)
    {
        int m = omp_get_thread_num();
        struct nn nn = *all;

        nn.threads = 1;
        nn.team = team;
        nn.scratch += (size_t)m * nn.scratch_stride;
        nn.profile = &watch[m];
        profile_reset(nn.profile);
        while (m == 0 && team_idle(team) < omp_get_num_threads() - 1)
            ;
        for (int r = 0; m == 0 && r < ROUNDS * SHAPES; r++) {
            const int *shape = shapes[r % SHAPES];

            product(&nn, x, r % SHAPES, c, u);
            differ += memcmp(c, wanted[r % SHAPES],
                             (size_t)shape[0] * (size_t)shape[1] * sizeof(*c)) != 0;
        }
        team_leave(team);
        team_help(team, m, &nn);
    }
    free(c);
    free(u);
    return differ;
}

static void helpers_change_no_bit(void **state)
{
    size_t n = (size_t)SIDE * SIDE;
    struct operands x = { numbers(n, 1), numbers(n, 2), numbers(n, 3), numbers(n, 4) };
    float *wanted[SHAPES], *u = numbers(n, 5);
    struct profile watch[MEMBERS] = { 0 };
    struct team team;
    struct error err;
    struct nn nn;

    (void)state;
    assert_int_equal(nn_open(&nn, GEMM_NATIVE, MEMBERS, &err), 0);
    nn.threads = 1;
    for (int s = 0; s < SHAPES; s++) {
        wanted[s] = numbers(n, 6);
        product(&nn, &x, s, wanted[s], u);
    }
    assert_int_equal(compute_with_helpers(&nn, &team, watch, &x, wanted), 0);
    for (int m = 1; m < MEMBERS; m++) // a lap before and after each part
        assert_true(watch[m].laps >= 2 * ROUNDS);
    for (int s = 0; s < SHAPES; s++)
        free(wanted[s]);
    free(x.a);
    free(x.b);
    free(x.d);
    free(x.v);
    free(u);
    nn_close(&nn);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(helpers_change_no_bit) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
