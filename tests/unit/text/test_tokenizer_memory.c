/*
 * text/tokenizer: when memory runs out there is one message and no crash.
 *
 * Each try is a process of its own, in which one allocation fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "text/tokenizer.h"

enum { WENT_WELL = 0, SAID_SO = 10, SAID_NOTHING = 11 };

static int encode(const char *folder)
{
    static const char text[] = "Hello w\xC3\xB6rld, it's 2025\n\n <s>e\xCC\x81 \xE4\xB8\x80";
    struct tokenizer *tok = NULL;
    struct token_list out = { 0 };
    struct error err = { "" };
    int rc = tokenizer_open(&tok, folder, &err);

    if (rc == 0)
        rc = tokenizer_encode(tok, text, sizeof(text) - 1, 0, &out, &err);
    token_list_release(&out);
    tokenizer_close(tok);
    if (rc == 0)
        return WENT_WELL;
    return strstr(err.msg, "out of memory") ? SAID_SO : SAID_NOTHING;
}

static int try_failing(const char *folder, int n)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%d", n);
        (void)setenv("LOWRANK_FAIL_ALLOC", text, 1);
        exit(encode(folder)); // with what a leak check does at exit
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void each_allocation_that_fails_is_an_error(void **state)
{
    static const char *const families[] = { "llama2", "qwen3" };

    (void)state;
    for (size_t f = 0; f < 2; f++) {
        char folder[64];
        int n = 1;
        int got;

        (void)snprintf(folder, sizeof(folder), "tests/golden/tokenizers/%s", families[f]);
        while ((got = try_failing(folder, n)) == SAID_SO)
            n++;
        if (got != WENT_WELL)
            fail_msg("%s: allocation %d: exit %d", folder, n, got);
        assert_true(n > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_that_fails_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
