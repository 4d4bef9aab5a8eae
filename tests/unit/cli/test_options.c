/*
 * The command line. options.c is compiled in: the library holds no cli code.
 */
#include "cli/options.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void good(struct options *options, int argc, const char *const argv[])
{
    struct error err;
    char *args[8];
    int i;

    for (i = 0; i < argc; i++)
        args[i] = (char *)(uintptr_t)argv[i];
    args[argc] = NULL;
    if (options_parse(options, argc, args, &err) < 0)
        fail_msg("%s", err.msg);
}

static void bad(const char *one, const char *two, const char *three, const char *message)
{
    const char *argv[] = { "lowrank", one, two, three };
    struct options options;
    struct error err;
    char *args[5] = { NULL };
    int i, argc = 1 + !!one + !!two + !!three;

    for (i = 0; i < argc; i++)
        args[i] = (char *)(uintptr_t)argv[i];
    assert_int_equal(options_parse(&options, argc, args, &err), -1);
    assert_string_equal(err.msg, message);
}

static void a_command_takes_a_file_and_pairs(void **state)
{
    static const char *const argv[] = { "lowrank", "train", "a.yaml", "x=1", "y=" };
    struct options options;

    (void)state;
    good(&options, 5, argv);
    assert_int_equal(options.command, COMMAND_TRAIN);
    assert_string_equal(options.file, "a.yaml");
    assert_int_equal(options.override_count, 2);
}

static void help_version_info_and_keys_are_found(void **state)
{
    static const char *const help[] = { "lowrank", "train", "-h" };
    static const char *const version[] = { "lowrank", "--version" };
    static const char *const keys[] = { "lowrank", "keys", "--markdown" };
    static const char *const info[] = { "lowrank", "info" };
    struct options options;

    (void)state;
    good(&options, 3, help);
    assert_int_equal(options.command, COMMAND_HELP);
    good(&options, 2, version);
    assert_int_equal(options.command, COMMAND_VERSION);
    good(&options, 3, keys);
    assert_int_equal(options.command, COMMAND_KEYS);
    assert_int_equal(options.markdown, 1);
    good(&options, 2, info);
    assert_int_equal(options.command, COMMAND_INFO);
}

static void mistakes_are_named_with_what_to_do(void **state)
{
    (void)state;
    bad(NULL, NULL, NULL,
        "no command; there are train, check, info and keys, see 'lowrank --help'");
    bad("trian", NULL, NULL, "unknown command 'trian'; there are train, check, info and keys");
    bad("run.yaml", NULL, NULL, "no command before 'run.yaml'; write 'lowrank train FILE.yaml'");
    bad("train", NULL, NULL, "no configuration file; write 'lowrank train FILE.yaml'");
    bad("train", "a.yaml", "lora_rank",
        "'lora_rank' is not of the form key=value; see 'lowrank --help'");
    bad("train", "a.yaml", "--lora_rank",
        "'--lora_rank' is no option; keys are given as lora_rank=value, see 'lowrank --help'");
    bad("train", "--lora_rank=8", NULL,
        "'--lora_rank=8' is no option; keys are given as lora_rank=value, see 'lowrank --help'");
    bad("info", "x", NULL, "'info' takes no 'x'; see 'lowrank --help'");
    bad("--", NULL, NULL, "'--' is no option; see 'lowrank --help'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_takes_a_file_and_pairs),
        cmocka_unit_test(help_version_info_and_keys_are_found),
        cmocka_unit_test(mistakes_are_named_with_what_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
