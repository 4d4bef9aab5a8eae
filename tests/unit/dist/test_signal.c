/*
 * test_signal.c: the flag that stop signals set. Ranks: tests/mpi/test_agree.c.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dist/signal.h"

static void the_first_stop_signal_is_remembered(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(signal_stop_requested(), 0);
    assert_int_equal(signal_install(&err), 0);
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(signal_stop_requested(), SIGTERM);
    assert_int_equal(raise(SIGTERM), 0); // nothing special
    assert_int_equal(raise(SIGUSR1), 0);
    signal_request_stop(SIGALRM);
    assert_int_equal(signal_stop_requested(), SIGTERM);
}

static void signals_have_names(void **state)
{
    (void)state;
    assert_string_equal(signal_name(SIGTERM), "SIGTERM");
    assert_string_equal(signal_name(SIGINT), "SIGINT");
    assert_string_equal(signal_name(SIGUSR1), "SIGUSR1");
    assert_string_equal(signal_name(SIGALRM), "time limit");
    assert_string_equal(signal_name(0), "signal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_stop_signal_is_remembered),
        cmocka_unit_test(signals_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
