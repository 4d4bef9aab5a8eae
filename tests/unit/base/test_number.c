/*
 * tests of base/number.h, against Python
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/number.h"

static void assert_number(struct strbuf *sb, double x, const char *expected)
{
    strbuf_reset(sb);
    number_add(sb, x);
    assert_string_equal(strbuf_text(sb), expected);
}

static void numbers_are_written_and_rounded_as_by_python(void **state)
{
    FILE *file = fopen("tests/golden/report/numbers.txt", "r");
    struct strbuf sb = { 0 };
    char whole[400], two[400], four[400];
    double x;
    int count = 0;

    (void)state;
    assert_non_null(file);
    while (fscanf(file, "%la %399s %399s %399s", &x, whole, two, four) == 4) {
        assert_number(&sb, x, whole);
        assert_number(&sb, number_round(x, 2), two);
        assert_number(&sb, number_round(x, 4), four);
        count++;
    }
    assert_true(count > 400);
    (void)fclose(file);
    strbuf_release(&sb);
}

static void what_is_not_finite_is_written_as_by_json_dumps(void **state)
{
    struct strbuf sb = { 0 };

    (void)state;
    assert_number(&sb, (double)NAN, "NaN");
    assert_number(&sb, (double)INFINITY, "Infinity");
    assert_number(&sb, -(double)INFINITY, "-Infinity");
    assert_true(isnan(number_round((double)NAN, 4)));
    assert_true(isinf(number_round((double)INFINITY, 4)));
    strbuf_release(&sb);
}

static void durations_are_those_of_timedelta(void **state)
{
    FILE *file = fopen("tests/golden/report/durations.txt", "r");
    struct strbuf sb = { 0 };
    char expected[64];
    double seconds;

    (void)state;
    assert_non_null(file);
    while (fscanf(file, "%lf %63[^\n]", &seconds, expected) == 2) {
        strbuf_reset(&sb);
        number_add_duration(&sb, seconds);
        assert_string_equal(strbuf_text(&sb), expected);
    }
    assert_true(feof(file));
    (void)fclose(file);
    strbuf_reset(&sb);
    number_add_duration(&sb, (double)NAN);
    assert_string_equal(strbuf_text(&sb), "0:00:00");
    strbuf_release(&sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_and_rounded_as_by_python),
        cmocka_unit_test(what_is_not_finite_is_written_as_by_json_dumps),
        cmocka_unit_test(durations_are_those_of_timedelta),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
