/*
 * tests of optim/lr_schedule.h, against transformers
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "optim/lr_schedule.h"

#define GOLDEN "tests/golden/optim/schedules.txt"

static void check_case(FILE *file)
{
    struct lr_schedule schedule;
    struct error err;
    char kind[64], key[64], value[64];
    double rate, expected;
    long long warmup, total;
    int options;

    assert_int_equal(fscanf(file, "%63s %la %lld %lld %d", kind, &rate, &warmup, &total, &options),
                     5);
    assert_int_equal(lr_schedule_init(&schedule, kind, rate, &err), 0);
    for (int i = 0; i < options; i++) {
        assert_int_equal(fscanf(file, "%63s %63s", key, value), 2);
        assert_int_equal(lr_schedule_option(&schedule, key, value, &err), 0);
    }
    assert_int_equal(lr_schedule_start(&schedule, warmup, total, &err), 0);
    for (long long k = 0; k < total; k++) {
        assert_int_equal(fscanf(file, "%la", &expected), 1);
        if (!(fabs(lr_schedule_rate(&schedule, k) - expected) <= 1e-12 * rate))
            fail_msg("%s warmup %lld total %lld step %lld: %.17g, expected %.17g", kind, warmup,
                     total, k, lr_schedule_rate(&schedule, k), expected);
    }
}

static void every_kind_gives_the_rates_of_transformers(void **state)
{
    FILE *file = fopen(GOLDEN, "r");
    char word[8];
    int cases = 0;

    (void)state;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*[^\n]"), 0);
    while (fscanf(file, "%7s", word) == 1) {
        assert_string_equal(word, "case");
        check_case(file);
        cases++;
    }
    assert_true(cases > 100);
    (void)fclose(file);
}

static void the_first_update_has_rate_zero_with_warmup(void **state)
{
    struct lr_schedule schedule;
    struct error err;

    (void)state;
    assert_int_equal(lr_schedule_init(&schedule, "cosine", 1e-4, &err), 0);
    assert_int_equal(lr_schedule_start(&schedule, 10, 100, &err), 0);
    assert_true(lr_schedule_rate(&schedule, 0) == 0.0);
    assert_true(lr_schedule_rate(&schedule, 10) == 1e-4);
    assert_true(lr_schedule_rate(&schedule, 100) >= 0.0);
}

static void warmup_steps_are_counts_or_shares_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(lr_warmup_steps(0, 0, 100), 0);
    assert_int_equal(lr_warmup_steps(0, 0.1, 15), 2);
    assert_int_equal(lr_warmup_steps(0, 0.1, 30), 3);
    assert_int_equal(lr_warmup_steps(0.25, 0.1, 10), 3);
    assert_int_equal(lr_warmup_steps(7, 0.1, 100), 7);
    assert_int_equal(lr_warmup_steps(0, 0.03, 1), 1);
}

static void wrong_settings_are_refused_by_name(void **state)
{
    struct lr_schedule schedule;
    struct error err;

    (void)state;
    assert_int_equal(lr_schedule_init(&schedule, "cosin", 1e-4, &err), -1);
    assert_non_null(strstr(err.msg, "'cosin'"));
    assert_int_equal(lr_schedule_init(&schedule, "linear", NAN, &err), -1);
    assert_int_equal(lr_schedule_init(&schedule, "linear", 1e-4, &err), 0);
    assert_int_equal(lr_schedule_option(&schedule, "power", "2", &err), -1);
    assert_non_null(strstr(err.msg, "lr_scheduler_kwargs.power"));
    assert_int_equal(lr_schedule_init(&schedule, "polynomial", 1e-8, &err), 0);
    assert_int_equal(lr_schedule_option(&schedule, "power", "2x", &err), -1);
    assert_int_equal(lr_schedule_option(&schedule, "power", "nan", &err), -1);
    assert_int_equal(lr_schedule_option(&schedule, "power", "", &err), -1);
    assert_int_equal(lr_schedule_start(&schedule, 0, 10, &err), -1);
    assert_non_null(strstr(err.msg, "lr_end"));
    assert_int_equal(lr_schedule_init(&schedule, "cosine_with_min_lr", 1e-4, &err), 0);
    assert_int_equal(lr_schedule_option(&schedule, "min_lr", "null", &err), 0);
    assert_int_equal(lr_schedule_start(&schedule, 0, 10, &err), -1);
    assert_non_null(strstr(err.msg, "min_lr_rate"));
    assert_int_equal(lr_schedule_init(&schedule, "warmup_stable_decay", 1e-4, &err), 0);
    assert_int_equal(lr_schedule_option(&schedule, "num_decay_steps", "2.5", &err), -1);
    assert_int_equal(lr_schedule_option(&schedule, "decay_type", "steep", &err), -1);
    assert_int_equal(lr_schedule_start(&schedule, -1, 10, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_gives_the_rates_of_transformers),
        cmocka_unit_test(the_first_update_has_rate_zero_with_warmup),
        cmocka_unit_test(warmup_steps_are_counts_or_shares_rounded_up),
        cmocka_unit_test(wrong_settings_are_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
