/*
 * tests of optim/exact_sum.h
 */
#include <float.h>

#include "base/rng.h"
#include "optim/every_kernel.h"
#include "optim/exact_sum.h"

#define N      1009 // a prime
#define LEAVES 13

/* Adds with every instruction set; all must agree. */
static int add(int64_t *sum, const float *g, size_t n, int64_t leaves, int bits)
{
    int64_t *first = malloc(n * sizeof(*first)), *other = malloc(n * sizeof(*other));
    int bad = 0;

    assert_true(first && other);
    for (int c = 0; c < n_cases; c++) {
        int64_t *to = c == 0 ? first : other;
        int flag;

        memcpy(to, sum, n * sizeof(*to));
        flag = exact_sum_add(&cases[c].nn, to, g, n, bits, leaves);
        bad = c == 0 ? flag : bad;
        assert_int_equal(flag, bad);
        if (!bad && memcmp(to, first, n * sizeof(*to)) != 0)
            fail_msg("%s adds otherwise than %s", cases[c].name, cases[0].name);
    }
    memcpy(sum, first, n * sizeof(*sum));
    free(first);
    free(other);
    return bad;
}

/* The mean by every instruction set; all must agree. */
static void take_mean(float *mean, const int64_t *sum, size_t n, double divide_by)
{
    float *other = malloc(n * sizeof(*other));

    assert_non_null(other);
    for (int c = 0; c < n_cases; c++) {
        float *to = c == 0 ? mean : other;

        exact_sum_to_float(&cases[c].nn, to, sum, n, EXACT_SUM_BITS, divide_by);
        if (memcmp(to, mean, n * sizeof(*to)) != 0)
            fail_msg("%s divides otherwise than %s", cases[c].name, cases[0].name);
    }
    free(other);
}

static float sample(uint32_t leaf, uint32_t i)
{
    const uint32_t counter[4] = { leaf, i, 0, 0 };
    uint32_t word[4];

    rng_philox(word, 42, counter);
    return ldexpf(rng_unit(word[0]) - 0.5F, (int)(word[1] % 40) - 30);
}

static void fill(float *g, uint32_t leaf)
{
    for (uint32_t i = 0; i < N; i++)
        g[i] = sample(leaf, i);
}

/* Adds leaves order[0, n) into sum. */
static int add_leaves(int64_t *sum, const int *order, int n)
{
    float g[N];
    int bad = 0;

    for (int k = 0; k < n; k++) {
        fill(g, (uint32_t)order[k]);
        bad |= add(sum, g, N, LEAVES, EXACT_SUM_BITS);
    }
    return bad;
}

static void any_order_and_any_split_gives_the_same_bits(void **state)
{
    int64_t whole[N] = { 0 };
    int order[LEAVES];

    (void)state;
    for (int k = 0; k < LEAVES; k++)
        order[k] = k;
    assert_int_equal(add_leaves(whole, order, LEAVES), 0);
    srandom(3);
    for (int trial = 0; trial < 20; trial++) {
        int64_t part[4][N] = { { 0 } };
        int ranks = 1 + trial % 4, begin = 0;

        for (int k = LEAVES - 1; k > 0; k--) {
            int j = (int)(random() % (k + 1)), kept = order[k];

            order[k] = order[j];
            order[j] = kept;
        }
        for (int r = 0; r < ranks; r++) {
            int end = r == ranks - 1 ? LEAVES : begin + (int)(random() % (LEAVES - begin + 1));

            assert_int_equal(add_leaves(part[r], order + begin, end - begin), 0);
            begin = end;
        }
        for (int i = 0; i < N; i++) {
            int64_t sum = 0;

            for (int r = ranks - 1; r >= 0; r--)
                sum += part[r][i];
            assert_int_equal(sum, whole[i]);
        }
    }
}

static void the_sum_is_within_half_a_unit_per_leaf_of_the_true_one(void **state)
{
    int64_t sum[N] = { 0 };
    int order[LEAVES];
    float mean[N];

    (void)state;
    for (int k = 0; k < LEAVES; k++)
        order[k] = k;
    assert_int_equal(add_leaves(sum, order, LEAVES), 0);
    take_mean(mean, sum, N, 7.0);
    for (uint32_t i = 0; i < N; i++) {
        double truth = 0; // at most 13 numbers of 24 bits within 40 powers of two: long enough

        for (uint32_t k = 0; k < LEAVES; k++)
            truth += (double)sample(k, i);
        assert_true(fabs(exact_sum_to_double(sum[i], EXACT_SUM_BITS) - truth) <=
                    LEAVES * ldexp(0.5, -EXACT_SUM_BITS) + 1e-15 * fabs(truth));
        assert_true(fabs((double)mean[i] - truth / 7.0) <=
                    LEAVES * ldexp(0.5, -EXACT_SUM_BITS) + fabs(truth) * FLT_EPSILON);
    }
}

static void rounding_is_to_the_nearest_and_ties_to_even(void **state)
{
    static const struct {
        float g;
        int64_t sum;
    } ties[] = {
        { 0.5F, 0 },
        { 1.5F, 2 },
        { 2.5F, 2 },
        { -0.5F, 0 },
        { -1.5F, -2 },
        { -2.5F, -2 },
        { 0.75F, 1 },
        { -0.25F, 0 },
        { 3.0F, 3 },
        { 0x1p-149F, 0 },
        { 8388607.5F, 8388608 },
        { 8388606.5F, 8388606 },
        { 524288.5F, 524288 },
        { 524289.5F, 524290 },
        { 0x1p50F, (int64_t)1 << 50 },
        { -0x1.fffffep60F, -(int64_t)0x1fffffe000000000 },
        { 0x1p62F, (int64_t)1 << 62 },
        { -0x1p62F, -((int64_t)1 << 62) },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ties) / sizeof(ties[0]); i++) {
        int64_t sum = 0, sum_double = 5;

        assert_int_equal(add(&sum, &ties[i].g, 1, 1, 0), 0);
        assert_int_equal(sum, ties[i].sum);
        assert_int_equal(exact_sum_add_double(&sum_double, (double)ties[i].g, 0, 1), 0);
        assert_int_equal(sum_double, ties[i].sum + 5);
    }
}

static void every_float_is_rounded_as_by_llrint(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 200000; i++) {
        const uint32_t counter[4] = { i, 1, 0, 0 };
        uint32_t word[4];
        int64_t sum = 0;
        float g;

        rng_philox(word, 1, counter);
        memcpy(&g, &word[0], sizeof(g));
        if (!(fabs((double)g) <= exact_sum_limit(EXACT_SUM_BITS, 1)))
            continue;
        assert_int_equal(add(&sum, &g, 1, 1, EXACT_SUM_BITS), 0);
        assert_int_equal(sum, llrint(ldexp((double)g, EXACT_SUM_BITS)));
    }
}

static void what_is_not_finite_or_too_large_is_flagged(void **state)
{
    const double limit = exact_sum_limit(EXACT_SUM_BITS, 8);
    const float bad[] = { NAN, INFINITY, -INFINITY, FLT_MAX, (float)limit * 1.001F };
    float g[5] = { 1, -2, 0, 4, 5 };
    int64_t sum[5] = { 0 };

    (void)state;
    assert_true(limit == 0x1p23);
    assert_int_equal(add(sum, g, 5, 8, EXACT_SUM_BITS), 0);
    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
        for (int at = 0; at < 5; at++) {
            float kept = g[at];

            g[at] = bad[k];
            assert_int_equal(add(sum, g, 5, 8, EXACT_SUM_BITS), 1);
            g[at] = kept;
        }
        assert_int_equal(exact_sum_add_double(sum, (double)bad[k], EXACT_SUM_BITS, 8), 1);
    }
    g[0] = -(float)limit;
    assert_int_equal(add(sum, g, 5, 8, EXACT_SUM_BITS), 0);
}

static void as_many_of_the_largest_leaves_as_announced_do_not_overflow(void **state)
{
    (void)state;
    for (int64_t leaves = 1; leaves <= 1000; leaves += 37) {
        float largest = (float)exact_sum_limit(EXACT_SUM_BITS, leaves);
        int64_t sum = 0;

        if ((double)largest > exact_sum_limit(EXACT_SUM_BITS, leaves))
            largest = nextafterf(largest, 0);
        for (int64_t k = 0; k < leaves; k++)
            assert_int_equal(add(&sum, &largest, 1, leaves, EXACT_SUM_BITS), 0);
        assert_true(exact_sum_to_double(sum, EXACT_SUM_BITS) == (double)largest * (double)leaves);
    }
}

static void a_large_array_summed_by_threads_equals_one_summed_alone(void **state)
{
    const size_t n = ((size_t)1 << 18) + 3;
    float *g = malloc(n * sizeof(*g)), *mean = malloc(n * sizeof(*mean));
    int64_t *sum = calloc(n, sizeof(*sum));

    (void)state;
    assert_true(g && mean && sum);
    for (size_t i = 0; i < n; i++)
        g[i] = sample((uint32_t)(i >> 16), (uint32_t)i);
    assert_int_equal(add(sum, g, n, 1, EXACT_SUM_BITS), 0);
    take_mean(mean, sum, n, 1.0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(sum[i], llrint(ldexp((double)g[i], EXACT_SUM_BITS)));
        if (fabsf(g[i]) >= 0x1p-12F)
            assert_true(mean[i] == g[i]);
    }
    free(g);
    free(mean);
    free(sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_and_any_split_gives_the_same_bits),
        cmocka_unit_test(the_sum_is_within_half_a_unit_per_leaf_of_the_true_one),
        cmocka_unit_test(rounding_is_to_the_nearest_and_ties_to_even),
        cmocka_unit_test(every_float_is_rounded_as_by_llrint),
        cmocka_unit_test(what_is_not_finite_or_too_large_is_flagged),
        cmocka_unit_test(as_many_of_the_largest_leaves_as_announced_do_not_overflow),
        cmocka_unit_test(a_large_array_summed_by_threads_equals_one_summed_alone),
    };

    return cmocka_run_group_tests(tests, open_cases, close_cases);
}
