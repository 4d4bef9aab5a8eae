/*
 * data/order: every permutation equals the library's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/order.h"
#include "format/json.h"

#define GOLDEN "tests/golden/data/order.json"

static json_t *golden;

static int load(void **state)
{
    struct error err = { { 0 } };

    (void)state;
    golden = json_parse_file(GOLDEN, &err);
    if (!golden)
        (void)fprintf(stderr, "%s\n", err.msg);
    return golden ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static uint64_t number(const json_t *entry, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(entry, key));
}

static void equals(const json_t *entry, const int64_t *got)
{
    const json_t *values = json_object_get(entry, "values");
    size_t i, count = (size_t)number(entry, "count");
    uint64_t h = 0;
    char text[17];

    for (i = 0; i < json_array_size(values); i++)
        assert_int_equal(got[i], json_integer_value(json_array_get(values, i)));
    for (i = 0; i < count; i++)
        h = h * 1099511628211u + (uint64_t)got[i];
    (void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)h);
    assert_string_equal(text, json_string_value(json_object_get(entry, "hash")));
}

static void compare_all(const char *key, void (*fill)(int64_t *, size_t, uint64_t))
{
    const json_t *list = json_object_get(golden, key);
    size_t i;

    assert_true(json_array_size(list) > 0);
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        size_t n = (size_t)number(entry, "n");
        int64_t *out = calloc(n, sizeof(*out));

        fill(out, n, number(entry, "seed"));
        equals(entry, out);
        free(out);
    }
}

static void training_order_equals_torch(void **state)
{
    (void)state;
    compare_all("torch", order_torch_permutation);
}

static void split_permutation_equals_numpy(void **state)
{
    (void)state;
    compare_all("numpy", order_numpy_permutation);
}

static void num_samples_equals_numpy_drawn_set_after_set(void **state)
{
    const json_t *list = json_object_get(golden, "legacy");
    struct order_legacy rng;
    size_t i;

    (void)state;
    order_legacy_seed(&rng, 42);
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        size_t n = (size_t)number(entry, "n"), want = (size_t)number(entry, "count");
        int64_t *perm = calloc(n, sizeof(*perm));
        int64_t *out = calloc(want, sizeof(*out));

        order_num_samples(&rng, out, want, perm, n);
        equals(entry, out);
        free(perm);
        free(out);
    }
}

static void split_equals_train_test_split(void **state)
{
    const json_t *list = json_object_get(golden, "split");
    size_t i;

    (void)state;
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const json_t *eval = json_object_get(entry, "eval");
        const json_t *train = json_object_get(entry, "train");
        size_t n = (size_t)number(eval, "n"), eval_count = 0;
        int64_t *perm = calloc(n, sizeof(*perm));
        struct error err = { { 0 } };

        assert_int_equal(order_split(perm, n, json_number_value(json_object_get(entry, "val_size")),
                                     number(eval, "seed"), &eval_count, &err),
                         0);
        assert_int_equal(eval_count, number(eval, "count"));
        equals(eval, perm);
        equals(train, perm + eval_count);
        free(perm);
    }
}

static void a_split_that_leaves_a_set_empty_is_refused(void **state)
{
    int64_t perm[8];
    size_t eval_count = 0;
    struct error err = { { 0 } };

    (void)state;
    assert_int_equal(order_split(perm, 8, 8, 1, &eval_count, &err), -1);
    assert_int_equal(order_split(perm, 8, 1, 1, &eval_count, &err), -1);
    assert_int_equal(order_split(perm, 1, 0.5, 1, &eval_count, &err), -1);
    assert_non_null(strstr(err.msg, "'val_size'"));
    assert_int_equal(order_split(perm, 8, 0.99, 1, &eval_count, &err), -1);
    assert_int_equal(order_split(perm, 8, -2, 1, &eval_count, &err), -1);
}

static void rows_stay_in_place_without_shuffling(void **state)
{
    int64_t out[5];
    int i;

    (void)state;
    order_epoch(out, 5, 42, 3, 0);
    for (i = 0; i < 5; i++)
        assert_int_equal(out[i], i);
}

/* Two epochs of the trainer itself, with seed, with data_seed, and without shuffling. */
static void epochs_equal_the_trainer(void **state)
{
    struct error err = { { 0 } };
    json_t *whole = json_parse_file("tests/golden/data/order_runs.json", &err);
    const json_t *runs = json_object_get(whole, "runs");
    const size_t n = (size_t)number(whole, "rows");
    int64_t *out = calloc(n + 1, sizeof(*out));
    size_t r, i;
    int64_t epoch;

    (void)state;
    assert_int_equal(json_array_size(runs), 3);
    for (r = 0; r < 3; r++) {
        const json_t *run = json_array_get(runs, r);
        const json_t *order = json_object_get(run, "order");
        const char *seed = json_object_get(run, "data_seed") ? "data_seed" : "seed";

        assert_int_equal(json_array_size(order), 2 * n);
        for (epoch = 0; epoch < 2; epoch++) {
            order_epoch(out, n, number(run, seed), epoch,
                        !json_object_get(run, "disable_shuffling"));
            for (i = 0; i < n; i++)
                assert_int_equal(out[i],
                                 json_integer_value(json_array_get(order, (size_t)epoch * n + i)));
        }
    }
    free(out);
    json_decref(whole);
}

static void an_epoch_adds_to_the_seed(void **state)
{
    int64_t a[9], b[9];

    (void)state;
    order_epoch(a, 9, 42, 3, 1);
    order_torch_permutation(b, 9, 45);
    assert_memory_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_order_equals_torch),
        cmocka_unit_test(split_permutation_equals_numpy),
        cmocka_unit_test(num_samples_equals_numpy_drawn_set_after_set),
        cmocka_unit_test(split_equals_train_test_split),
        cmocka_unit_test(a_split_that_leaves_a_set_empty_is_refused),
        cmocka_unit_test(rows_stay_in_place_without_shuffling),
        cmocka_unit_test(epochs_equal_the_trainer),
        cmocka_unit_test(an_epoch_adds_to_the_seed),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
