/*
 * The n-th allocation fails, for every n: one message, nothing leaked.
 * Each n has a process of its own, because the count is the process's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"

enum { CHILD_DONE = 0, CHILD_FAILED_WELL = 10, CHILD_FAILED_BADLY = 11 };

static int child(int n)
{
    static const char yaml[] = "model_name_or_path: m\ndo_train: true\ndataset: [a, b]\n"
                               "lr_scheduler_kwargs: '{\"power\": 2}'\nbf16: true\n"
                               "output_dir: ~/${oc.env:HOME,x}/${seed}\nseed: 3\nddp_timeout: 9\n"
                               "default_system: 'x\\${y}'\n";
    char pair[] = "lr_scheduler_kwargs.lr_end=1e-9", number[20];
    char *pairs[] = { pair };
    struct strbuf dump = { 0 };
    struct config cfg;
    struct error err = { "" };
    int rc;

    snprintf(number, sizeof(number), "%d", n);
    setenv("LOWRANK_FAIL_ALLOC", number, 1);
    rc = config_parse(&cfg, yaml, sizeof(yaml) - 1, "run.yaml", pairs, 1, &err);
    if (rc == 0) {
        config_dump(&cfg, &dump);
        config_release(&cfg);
        rc = strbuf_check(&dump, &err);
    }
    strbuf_release(&dump);
    if (rc == 0)
        return CHILD_DONE;
    return strstr(err.msg, "out of memory") ? CHILD_FAILED_WELL : CHILD_FAILED_BADLY;
}

static void every_failed_allocation_ends_in_one_message(void **state)
{
    int n, status, failures = 0;
    pid_t pid;

    (void)state;
    for (n = 1; n < 5000; n++) {
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            exit(child(n));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == CHILD_DONE)
            break;
        if (WEXITSTATUS(status) != CHILD_FAILED_WELL)
            fail_msg("allocation %d ends with status %d", n, WEXITSTATUS(status));
        failures++;
    }
    assert_true(failures > 100 && n < 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_ends_in_one_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
