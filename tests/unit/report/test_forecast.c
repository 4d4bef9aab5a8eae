/*
 * test_forecast.c: the formula of the step time, term by term.
 */
#include "report/forecast.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CHUNKS = 20, P = CHUNKS << 17 };

/* Bandwidths and latency that cost nothing. */
static const struct forecast_machine plain = { 1e9, 0.0, 1e30, 1e30, 0.0 };

static struct forecast_step step_of(int ranks, int ranks_per_node, double operations)
{
    return (struct forecast_step){ .ranks = ranks,
                                   .ranks_per_node = ranks_per_node,
                                   .parameters = P,
                                   .operations = operations,
                                   .largest = operations / ranks,
                                   .passes = 1.0 };
}

static void near(double got, double want)
{
    assert_true(fabs(got - want) <= 1e-9 * (fabs(want) + 1e-12));
}

static void one_rank_alone_reduces_nothing(void **state)
{
    struct forecast_machine m = { 1e9, 0.25, 1e6, 1e6, 1.0 };
    struct forecast_step step = step_of(1, 4, 3e9);

    (void)state;
    near(forecast_reduction_s(&m, &step), 0.0);
    near(forecast_step_s(&m, &step), 3.25);
    near(forecast_efficiency(&m, &step), 1.0);
}

static void each_term_of_the_reduction_is_there(void **state)
{
    struct forecast_machine link = plain, node = plain, late = plain;
    struct forecast_step step = step_of(12, 3, 0.0);

    (void)state;
    link.link = 1e9;
    near(forecast_reduction_s(&link, &step), 16.0 * P * 3 / 4 / 1e9); // 4 nodes
    node.node = 1e9;
    near(forecast_reduction_s(&node, &step), 16.0 * P * 2 / 1e9); // 3 ranks on each
    late.latency_s = 1e-3;
    near(forecast_reduction_s(&late, &step), 2 * (1 + 1 + 2) * 5 * 1e-3); // 12 = 2 x 2 x 3, 20 / 4
    step = step_of(7, 100, 0.0);
    near(forecast_reduction_s(&link, &step), 0.0); // one node
    near(forecast_reduction_s(&node, &step), 16.0 * P * 6 / 1e9);
    step = step_of(7, 2, 0.0);
    near(forecast_reduction_s(&link, &step), 16.0 * P * 3 / 4 / 1e9); // the fourth node has one
}

static void the_backward_pass_hides_the_reduction_but_for_a_tenth(void **state)
{
    struct forecast_machine m = plain;
    struct forecast_step step = step_of(2, 1, 20e9); // 10 s a rank, 5 of them backward

    (void)state;
    m.link = 16.0 * P / 2 / 4.0; // 4 s
    near(forecast_reduction_s(&m, &step), 4.0);
    near(forecast_step_s(&m, &step), 10.4);
    step.passes = 5.0; // 1 s behind the last
    near(forecast_step_s(&m, &step), 13.0);
    step.passes = 1.0;
    step.parameters = 1000; // one chunk: all of it is final at the end
    m.link = 16.0 * 1000 / 2 / 4.0;
    near(forecast_step_s(&m, &step), 14.0);
}

static void imbalance_and_overhead_cost_efficiency(void **state)
{
    struct forecast_machine m = plain;
    struct forecast_step step = step_of(4, 4, 8e9);

    (void)state;
    near(forecast_efficiency(&m, &step), 1.0);
    step.largest *= 1.25;
    near(forecast_efficiency(&m, &step), 0.8);
    step.largest = 2e9;
    m.overhead_s = 2.0;
    near(forecast_efficiency(&m, &step), 10.0 / (4 * 4.0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank_alone_reduces_nothing),
        cmocka_unit_test(each_term_of_the_reduction_is_there),
        cmocka_unit_test(the_backward_pass_hides_the_reduction_but_for_a_tenth),
        cmocka_unit_test(imbalance_and_overhead_cost_efficiency),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
