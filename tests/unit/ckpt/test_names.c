/*
 * test_names.c: which names are ours and which states are worth keeping.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "ckpt/ckpt_internal.h"

static void only_whole_numbers_between_prefix_and_suffix_are_steps(void **state)
{
    (void)state;
    assert_int_equal(ckpt_step_of("checkpoint-500", "checkpoint-", ""), 500);
    assert_int_equal(ckpt_step_of("step-0.h5", "step-", ".h5"), 0);
    assert_int_equal(ckpt_step_of("step-007.h5", "step-", ".h5"), 7);
    assert_int_equal(ckpt_step_of("checkpoint-", "checkpoint-", ""), -1);
    assert_int_equal(ckpt_step_of("checkpoint-5x", "checkpoint-", ""), -1);
    assert_int_equal(ckpt_step_of("checkpoint--5", "checkpoint-", ""), -1);
    assert_int_equal(ckpt_step_of("checkpoint-+5", "checkpoint-", ""), -1);
    assert_int_equal(ckpt_step_of("old-checkpoint-5", "checkpoint-", ""), -1);
    assert_int_equal(ckpt_step_of("step-5.h5.h5tmp-1-2", "step-", ".h5"), -1);
    assert_int_equal(ckpt_step_of("checkpoint-9999999999999999999999", "checkpoint-", ""), -1);
}

static void a_path_names_folder_and_step(void **state)
{
    struct error err;
    char *path = ckpt_path("out", "checkpoint-", 12, "", &err);

    (void)state;
    assert_string_equal(path, "out/checkpoint-12");
    free(path);
    path = ckpt_path("out/", "step-", 1234567890123, ".h5", &err);
    assert_string_equal(path, "out/step-1234567890123.h5");
    free(path);
}

static void steps_up_to_now_come_first_and_later_ones_last(void **state)
{
    static const char *const names[] = { "checkpoint-9",  "checkpoint-10", "checkpoint-100",
                                         "checkpoint-50", "checkpoint-x",  "notes" };
    static const int64_t expected[] = { 50, 10, 9, 100 };
    char folder[] = "/tmp/lowrank-names-XXXXXX";
    char path[96];
    struct error err;
    int64_t *steps;
    int count;

    (void)state;
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        assert_int_equal(folder_make(path, &err), 0);
    }
    assert_int_equal(ckpt_steps(folder, "checkpoint-", "", 50, &steps, &count, &err), 0);
    assert_int_equal(count, 4);
    assert_memory_equal(steps, expected, sizeof(expected));
    free(steps);
    assert_int_equal(ckpt_steps("/nowhere", "checkpoint-", "", 50, &steps, &count, &err), 0);
    assert_int_equal(count, 0);
    assert_int_equal(folder_remove(folder, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_whole_numbers_between_prefix_and_suffix_are_steps),
        cmocka_unit_test(a_path_names_folder_and_step),
        cmocka_unit_test(steps_up_to_now_come_first_and_later_ones_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
