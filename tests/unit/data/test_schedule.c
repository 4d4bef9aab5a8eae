/*
 * data/schedule: step arithmetic, lists of rows and their cut into runs.
 */
#include <setjmp.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/order.h"
#include "data/schedule.h"

static struct schedule open_or_fail(size_t rows, int64_t batch, double epochs, int64_t max_steps)
{
    const struct schedule_params params = { .rows = rows,
                                            .global_batch = batch,
                                            .num_train_epochs = epochs,
                                            .max_steps = max_steps,
                                            .seed = 42,
                                            .shuffle = 1 };
    struct schedule schedule;
    struct error err = { { 0 } };

    if (schedule_open(&schedule, &params, &err) < 0)
        fail_msg("%s", err.msg);
    return schedule;
}

static void steps_are_counted_as_in_the_examples(void **state)
{
    static const struct {
        size_t rows;
        int64_t batch;
        double epochs;
        int64_t max_steps, per_epoch, total;
    } cases[] = {
        { 1090, 8, 3, -1, 137, 411 },  { 1090, 16, 3, -1, 69, 207 },
        { 1090, 64, 3, -1, 18, 54 },   { 300, 8, 3, -1, 38, 114 },
        { 1090, 8, 0.5, -1, 137, 69 }, { 1090, 8, 1.01, -1, 137, 139 },
        { 5, 8, 2, -1, 1, 2 },         { 1090, 8, 3, 20, 137, 20 },
        { 16, 8, 0.01, -1, 2, 1 },
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct schedule s =
            open_or_fail(cases[i].rows, cases[i].batch, cases[i].epochs, cases[i].max_steps);

        assert_int_equal(s.steps_per_epoch, cases[i].per_epoch);
        assert_int_equal(s.total_steps, cases[i].total);
        schedule_close(&s);
    }
}

static void each_epoch_uses_every_row_once_in_the_torch_order(void **state)
{
    struct schedule s = open_or_fail(21, 8, 2, -1);
    int64_t order[21], step;
    size_t at = 0;

    (void)state;
    for (step = 0; step < s.total_steps; step++) {
        const int64_t *rows;
        size_t count, i;
        int64_t epoch;

        schedule_step(&s, step, &rows, &count, &epoch);
        assert_int_equal(epoch, step / 3);
        assert_int_equal(count, step % 3 == 2 ? 5 : 8);
        if (step % 3 == 0) {
            order_torch_permutation(order, 21, 42 + (uint64_t)epoch);
            at = 0;
        }
        for (i = 0; i < count; i++)
            assert_int_equal(rows[i], order[at++]);
    }
    assert_true(schedule_epoch_after(&s, 2) == 1.0);
    schedule_close(&s);
}

static void a_step_does_not_depend_on_the_steps_before(void **state)
{
    struct schedule a = open_or_fail(33, 4, 4, -1), b = open_or_fail(33, 4, 4, -1);
    const int64_t *x, *y;
    size_t n, m;
    int64_t step;

    (void)state;
    for (step = 0; step < 20; step++)
        schedule_step(&a, step, &x, &n, NULL);
    schedule_step(&b, 19, &y, &m, NULL);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n * sizeof(*x));
    schedule_close(&a);
    schedule_close(&b);
}

static void nothing_to_train_is_refused(void **state)
{
    struct schedule_params params = { .rows = 0, .global_batch = 1, .num_train_epochs = 1 };
    struct schedule s;
    struct error err = { { 0 } };

    (void)state;
    assert_int_equal(schedule_open(&s, &params, &err), -1);
    params.rows = 3;
    params.global_batch = 0;
    assert_int_equal(schedule_open(&s, &params, &err), -1);
    params.global_batch = 1;
    params.num_train_epochs = 0;
    assert_int_equal(schedule_open(&s, &params, &err), -1);
    assert_non_null(strstr(err.msg, "'num_train_epochs'"));
}

/* The least possible maximum, by trying all cuts. */
static double best(const double *cost, size_t count, int size)
{
    double sum = 0, least = INFINITY;
    size_t i;

    if (size == 1) {
        for (i = 0; i < count; i++)
            sum += cost[i];
        return sum;
    }
    for (i = 0; i <= count; i++) {
        double rest = best(cost + i, count - i, size - 1);
        double most = sum > rest ? sum : rest;

        if (most < least)
            least = most;
        if (i < count)
            sum += cost[i];
    }
    return least;
}

static void the_dearest_run_is_as_cheap_as_can_be(void **state)
{
    uint32_t x = 5;
    int round, size;
    size_t i;

    (void)state;
    for (round = 0; round < 60; round++) {
        double cost[9];
        size_t bounds[6], count = (size_t)(round % 10);

        for (i = 0; i < count; i++) {
            x = x * 1664525u + 1013904223u;
            cost[i] = (double)(x >> 20) * 0.37;
        }
        for (size = 1; size <= 5; size++) {
            double most = 0;
            int r;

            schedule_cut(bounds, size, cost, count);
            assert_int_equal(bounds[0], 0);
            assert_int_equal(bounds[size], count);
            for (r = 0; r < size; r++) {
                double sum = 0;

                assert_true(bounds[r] <= bounds[r + 1]);
                for (i = bounds[r]; i < bounds[r + 1]; i++)
                    sum += cost[i];
                most = sum > most ? sum : most;
            }
            assert_true(most <= best(cost, count, size) * (1 + 1e-12));
        }
    }
}

static void more_ranks_than_rows_leaves_some_without(void **state)
{
    const double cost[2] = { 1, 1 };
    size_t bounds[6];

    (void)state;
    schedule_cut(bounds, 5, cost, 2);
    assert_int_equal(bounds[1], 1);
    assert_int_equal(bounds[2], 2);
    assert_int_equal(bounds[5], 2);
    schedule_cut(bounds, 3, NULL, 0);
    assert_int_equal(bounds[3], 0);
}

static void equal_rows_are_cut_evenly(void **state)
{
    double cost[8];
    size_t bounds[5], i;

    (void)state;
    for (i = 0; i < 8; i++)
        cost[i] = 0.1;
    schedule_cut(bounds, 4, cost, 8);
    for (i = 0; i <= 4; i++)
        assert_int_equal(bounds[i], 2 * i);
}

/* Dealing with a plain search for the lightest rank. */
static double deal_plainly(int *owner, int size, const double *cost, size_t count)
{
    double load[64] = { 0 }, most = 0;
    int taken[512] = { 0 };

    for (size_t k = 0; k < count; k++) {
        size_t dearest = count;
        int least = 0;

        for (size_t i = 0; i < count; i++)
            if (!taken[i] && (dearest == count || cost[i] > cost[dearest]))
                dearest = i;
        for (int r = 1; r < size; r++)
            least = load[r] < load[least] ? r : least;
        taken[dearest] = 1;
        owner[dearest] = least;
        load[least] += cost[dearest];
        most = load[least] > most ? load[least] : most;
    }
    return most;
}

static uint32_t next(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return *x >> 8;
}

/* The largest share by owner; each share must be what is said of it. */
static double largest_share(const int *owner, int size, const double *cost, size_t count,
                            const struct schedule_share *shares)
{
    double most = 0;

    for (int r = 0; r < size; r++) {
        double load = 0;

        for (size_t i = 0; i < count; i++)
            load += owner[i] == r ? cost[i] : 0.0;
        assert_int_equal(shares[r].rank, r);
        assert_true(fabs(shares[r].load - load) <= 1e-9 * load);
        most = load > most ? load : most;
    }
    return most;
}

static void dealing_is_never_worse_than_the_dearest_row_to_the_lightest_rank(void **state)
{
    static struct schedule_item items[512];
    static struct schedule_share shares[64];
    static int owner[512], plain[512];
    uint32_t x = 7;
    int better = 0;

    (void)state;
    for (int round = 0; round < 200; round++) {
        int size = 1 + (int)(next(&x) % 64);
        size_t count = next(&x) % 257;
        double cost[512], got, plainly;

        for (size_t i = 0; i < count; i++) // many are equal
            cost[i] = (double)(next(&x) % (round % 2 ? 5 : 100000));
        plainly = deal_plainly(plain, size, cost, count);
        got = schedule_deal(owner, size, cost, count, items, shares);
        for (size_t i = 0; i < count; i++)
            assert_true(owner[i] >= 0 && owner[i] < size);
        assert_true(fabs(got - largest_share(owner, size, cost, count, shares)) <= 1e-9 * got);
        assert_true(got <= plainly * (1 + 1e-12));
        assert_true(got >= schedule_least_share(size, cost, count) * (1 - 1e-12));
        better += got < plainly;
    }
    assert_true(better > 20);
}

static void swaps_find_what_dealing_alone_does_not(void **state)
{
    const double cost[7] = { 5, 5, 4, 4, 3, 3, 3 }; // dealt: 5 3 3, 5 3, 4 4
    struct schedule_item items[7];
    struct schedule_share shares[3];
    int owner[7];

    (void)state;
    assert_true(deal_plainly(owner, 3, cost, 7) == 11);
    assert_true(schedule_deal(owner, 3, cost, 7, items, shares) == 9);
}

/* The larger of two shares of count items, all ways tried. */
static double best_of_two(const double *cost, size_t count)
{
    double best = INFINITY;

    for (unsigned parts = 0; parts < 1u << count; parts++) {
        double load[2] = { 0, 0 };

        for (size_t i = 0; i < count; i++)
            load[parts >> i & 1] += cost[i];
        best = fmin(best, fmax(load[0], load[1]));
    }
    return best;
}

static void few_rows_on_two_ranks_are_dealt_as_well_as_can_be(void **state)
{
    struct schedule_item items[12];
    struct schedule_share shares[2];
    int owner[12], plain[12], better = 0;
    uint32_t x = 3;

    (void)state;
    for (int round = 0; round < 100; round++) {
        size_t count = 2 + next(&x) % 11;
        double cost[12], least, got;

        for (size_t i = 0; i < count; i++)
            cost[i] = 1000 + next(&x) % 9000;
        least = fmax(best_of_two(cost, count), 1.002 * schedule_least_share(2, cost, count));
        got = schedule_deal(owner, 2, cost, count, items, shares);
        assert_true(got <= least * (1 + 1e-12));
        assert_true(fabs(got - largest_share(owner, 2, cost, count, shares)) <= 1e-9 * got);
        better += got < 0.99 * deal_plainly(plain, 2, cost, count);
    }
    assert_true(better > 20);
}

/* Rows of 20 to 200 tokens and a few of 2,000: the cost of a row of a 135 M model. */
static double skewed_cost(uint32_t *x, unsigned one_in)
{
    double T = next(x) % one_in == 0 ? 2000 : 20 + next(x) % 181;

    return 4.3e8 * T + 7e4 * T * T;
}

/* 8 ranks, steps of `rows`: at most 5 % above the mean, or above the one row that is more. */
static void skewed_steps(size_t rows, unsigned one_in, int *by_one_row)
{
    static struct schedule_item items[512];
    struct schedule_share shares[8];
    int owner[512];
    uint32_t x = (uint32_t)rows;

    *by_one_row = 0;
    for (int step = 0; step < 100; step++) {
        double cost[512], sum = 0, least, most;

        for (size_t i = 0; i < rows; i++) {
            cost[i] = skewed_cost(&x, one_in);
            sum += cost[i];
        }
        least = schedule_least_share(8, cost, rows);
        most = schedule_deal(owner, 8, cost, rows, items, shares);
        assert_true(most <= 1.05 * least);
        *by_one_row += least > 1.05 * sum / 8;
    }
}

static void
on_skewed_rows_the_slowest_of_8_ranks_is_5_percent_above_the_least_possible(void **state)
{
    int by_one_row;

    (void)state;
    skewed_steps(512, 100, &by_one_row);
    assert_int_equal(by_one_row, 0); // so within 5 % of the mean, every step
    skewed_steps(256, 60, &by_one_row);
    assert_true(by_one_row < 50);
    skewed_steps(64, 30, &by_one_row);
    assert_true(by_one_row > 50); // one row of 2,000 tokens is more than an eighth of the step
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_counted_as_in_the_examples),
        cmocka_unit_test(each_epoch_uses_every_row_once_in_the_torch_order),
        cmocka_unit_test(a_step_does_not_depend_on_the_steps_before),
        cmocka_unit_test(nothing_to_train_is_refused),
        cmocka_unit_test(the_dearest_run_is_as_cheap_as_can_be),
        cmocka_unit_test(more_ranks_than_rows_leaves_some_without),
        cmocka_unit_test(equal_rows_are_cut_evenly),
        cmocka_unit_test(dealing_is_never_worse_than_the_dearest_row_to_the_lightest_rank),
        cmocka_unit_test(swaps_find_what_dealing_alone_does_not),
        cmocka_unit_test(few_rows_on_two_ranks_are_dealt_as_well_as_can_be),
        cmocka_unit_test(
            on_skewed_rows_the_slowest_of_8_ranks_is_5_percent_above_the_least_possible),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
