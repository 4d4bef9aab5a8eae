/*
 * test_flush.c: a flush in the background says at its end what became of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/flush.h"

static void a_file_is_flushed_and_the_handle_is_free_again(void **state)
{
    struct flush *flush = NULL;
    struct error err = { "" };
    char path[64];

    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/lowrank-flush-%ld", (long)getpid());
    assert_int_equal(file_write(path, "x", 1, &err), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(flush_start(&flush, path, &err), 0);
        assert_non_null(flush);
        assert_int_equal(flush_wait(&flush, &err), 0);
        assert_null(flush);
    }
    assert_int_equal(flush_wait(&flush, &err), 0); // nothing was begun
    (void)unlink(path);
}

static void a_file_that_is_not_there_is_an_error_at_the_end(void **state)
{
    struct flush *flush = NULL;
    struct error err = { "" };

    (void)state;
    assert_int_equal(flush_start(&flush, "/nowhere/at/all", &err), 0);
    assert_int_equal(flush_wait(&flush, &err), -1);
    assert_string_equal(err.msg, "cannot flush '/nowhere/at/all': No such file or directory");
    assert_null(flush);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_flushed_and_the_handle_is_free_again),
        cmocka_unit_test(a_file_that_is_not_there_is_an_error_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
