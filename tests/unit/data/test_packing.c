/*
 * data/packing: rows equal LLaMA-Factory's, and the plan stays cheap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/packing.h"
#include "format/json.h"

#define GOLDEN "tests/golden/data/packing.json"

static int integer(const json_t *object, const char *key)
{
    return (int)json_integer_value(json_object_get(object, key));
}

static void check_case(const json_t *entry)
{
    const json_t *lengths = json_object_get(entry, "lengths");
    const json_t *rows = json_object_get(entry, "rows");
    size_t i, k, n = json_array_size(lengths);
    int32_t *length = calloc(n, sizeof(*length));
    struct packing packing = { 0 };
    struct error err = { { 0 } };

    for (i = 0; i < n; i++)
        length[i] = (int32_t)json_integer_value(json_array_get(lengths, i));
    assert_int_equal(packing_plan(&packing, length, NULL, n, integer(entry, "cutoff_len") - 1,
                                  integer(entry, "workers"), integer(entry, "window"), &err),
                     0);
    assert_int_equal(packing.rows, json_array_size(rows));
    for (i = 0; i < packing.rows; i++) {
        const json_t *row = json_array_get(rows, i);
        const size_t first = packing.first[i];

        assert_int_equal(packing.first[i + 1] - first, json_array_size(row));
        for (k = 0; k < json_array_size(row); k++)
            assert_int_equal(packing.member[first + k], json_integer_value(json_array_get(row, k)));
    }
    packing_release(&packing);
    free(length);
}

static void rows_equal_the_reference(void **state)
{
    struct error err = { { 0 } };
    json_t *golden = json_parse_file(GOLDEN, &err);
    const json_t *cases = json_object_get(golden, "cases");
    size_t i;

    (void)state;
    assert_true(json_array_size(cases) > 5);
    for (i = 0; i < json_array_size(cases); i++)
        check_case(json_array_get(cases, i));
    json_decref(golden);
}

static void packing_never_splits_or_loses_a_sample(void **state)
{
    enum { N = 5000 };
    static int32_t length[N];
    static int seen[N];
    struct packing packing = { 0 };
    struct error err = { { 0 } };
    uint32_t x = 1;
    size_t i, k;

    (void)state;
    for (i = 0; i < N; i++) {
        x = x * 1664525u + 1013904223u;
        length[i] = (int32_t)(x >> 24) * 9 - 1;
    }
    assert_int_equal(packing_plan(&packing, length, NULL, N, 2047, 3, 0, &err), 0);
    for (i = 0; i < packing.rows; i++) {
        int64_t sum = 0;

        assert_true(packing.first[i + 1] > packing.first[i]);
        for (k = packing.first[i]; k < packing.first[i + 1]; k++) {
            sum += length[packing.member[k]];
            seen[packing.member[k]]++;
        }
        assert_true(sum <= 2047);
    }
    for (i = 0; i < N; i++)
        assert_int_equal(seen[i], length[i] >= 0 && length[i] <= 2047);
    packing_release(&packing);
}

static void samples_may_have_names_of_their_own(void **state)
{
    const int32_t length[3] = { 4, -1, 4 };
    const int64_t sample[3] = { 70, 80, 90 };
    struct packing packing = { 0 };
    struct error err = { { 0 } };

    (void)state;
    assert_int_equal(packing_plan(&packing, length, sample, 3, 8, 1, 10, &err), 0);
    assert_int_equal(packing.rows, 1);
    assert_int_equal(packing.member[0], 90);
    assert_int_equal(packing.member[1], 70);
    packing_release(&packing);
    assert_int_equal(packing_none(&packing, length, sample, 3, &err), 0);
    assert_int_equal(packing.rows, 2);
    assert_int_equal(packing.member[1], 90);
    assert_int_equal(packing.first[2], 2);
    packing_release(&packing);
}

static void a_set_without_valid_rows_packs_to_nothing(void **state)
{
    const int32_t length[2] = { -1, 9 };
    struct packing packing = { 0 };
    struct error err = { { 0 } };

    (void)state;
    assert_int_equal(packing_plan(&packing, length, NULL, 2, 8, 4, 1, &err), 0);
    assert_int_equal(packing.rows, 0);
    assert_int_equal(packing.dropped, 1);
    packing_release(&packing);
    assert_int_equal(packing_plan(&packing, NULL, NULL, 0, 8, 4, 1, &err), 0);
    assert_int_equal(packing.rows, 0);
    packing_release(&packing);
}

static void a_million_rows_in_one_window_take_no_square_time(void **state)
{
    enum { N = 1000000 };
    int32_t *length = calloc(N, sizeof(*length));
    struct packing packing = { 0 };
    struct error err = { { 0 } };
    uint32_t x = 1;
    size_t i;

    (void)state;
    for (i = 0; i < N; i++) {
        x = x * 1664525u + 1013904223u;
        length[i] = 1 + (int32_t)(x >> 22);
    }
    assert_int_equal(packing_plan(&packing, length, NULL, N, 4095, 1, N, &err), 0);
    assert_int_equal(packing.member_count, N);
    packing_release(&packing);
    free(length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_equal_the_reference),
        cmocka_unit_test(packing_never_splits_or_loses_a_sample),
        cmocka_unit_test(samples_may_have_names_of_their_own),
        cmocka_unit_test(a_set_without_valid_rows_packs_to_nothing),
        cmocka_unit_test(a_million_rows_in_one_window_take_no_square_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
