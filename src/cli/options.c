/*
 * options.c: argv to a struct.
 *
 * There are no options beside --help, --version and --markdown: everything
 * else that a run can be told is a key of the configuration, and key=value
 * pairs after the file set keys from the command line.
 */
#include <string.h>

#include "cli_internal.h"

static const struct {
    const char *name;
    enum command command;
} commands[] = {
    { "train", COMMAND_TRAIN }, { "check", COMMAND_CHECK },     { "info", COMMAND_INFO },
    { "keys", COMMAND_KEYS },   { "help", COMMAND_HELP },       { "--help", COMMAND_HELP },
    { "-h", COMMAND_HELP },     { "version", COMMAND_VERSION }, { "--version", COMMAND_VERSION },
};

void options_help_print(struct strbuf *out)
{
    strbuf_puts(
        out,
        "lowrank: LoRA fine-tuning on CPU clusters\n"
        "\n"
        "  mpirun -n 4 lowrank train FILE.yaml [key=value ...]   train, resume if interrupted\n"
        "  lowrank check FILE.yaml [key=value ...]   validate all inputs, print the plan;\n"
        "                                            ranks=N: for N ranks, with a forecast\n"
        "  lowrank info                              build, CPU, matrix backend and rate\n"
        "  lowrank keys [--markdown]                 every key, its default and meaning\n"
        "  lowrank --help, --version\n"
        "\n"
        "FILE.yaml is a LLaMA-Factory configuration; pairs override its keys.\n"
        "\n"
        "exit status: 0 done, 1 error, 2 usage, 75 interrupted and resumable\n");
}

/* "--lora_rank" and the like: what LLaMA-Factory's users may try. */
static int flag_error(const char *arg, struct error *err)
{
    const char *name = arg + strspn(arg, "-");
    size_t len = strcspn(name, "=");

    if (len == 0)
        return error_set(err, "'%.100s' is no option; see 'lowrank --help'", arg);
    return error_set(err,
                     "'%.100s' is no option; keys are given as %.*s=value, see 'lowrank --help'",
                     arg, len > 60 ? 60 : (int)len, name);
}

static int pairs_check(char *const *args, int n, struct error *err)
{
    int i;

    for (i = 0; i < n; i++) {
        if (args[i][0] == '-')
            return flag_error(args[i], err);
        if (!strchr(args[i], '=') || args[i][0] == '=')
            return error_set(err, "'%.100s' is not of the form key=value; see 'lowrank --help'",
                             args[i]);
    }
    return 0;
}

static int file_command(struct options *options, int argc, char **argv, struct error *err)
{
    int i;

    for (i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            options->command = COMMAND_HELP;
            return 0;
        }
    }
    if (argc < 3)
        return error_set(err, "no configuration file; write 'lowrank %s FILE.yaml'", argv[1]);
    if (argv[2][0] == '-')
        return flag_error(argv[2], err);
    options->file = argv[2];
    options->overrides = argv + 3;
    options->override_count = argc - 3;
    return pairs_check(options->overrides, options->override_count, err);
}

static int plain_command(struct options *options, int argc, char **argv, struct error *err)
{
    int i;

    for (i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            options->command = COMMAND_HELP;
        else if (options->command == COMMAND_KEYS && strcmp(argv[i], "--markdown") == 0)
            options->markdown = 1;
        else
            return error_set(err, "'%s' takes no '%.100s'; see 'lowrank --help'", argv[1], argv[i]);
    }
    return 0;
}

static int command_unknown(const char *word, struct error *err)
{
    size_t len = strlen(word);

    if (strchr(word, '=') || (len > 5 && strcmp(word + len - 5, ".yaml") == 0) ||
        (len > 4 && strcmp(word + len - 4, ".yml") == 0))
        return error_set(err, "no command before '%.100s'; write 'lowrank train FILE.yaml'", word);
    return error_set(err, "unknown command '%.100s'; there are train, check, info and keys", word);
}

int options_parse(struct options *options, int argc, char **argv, struct error *err)
{
    size_t i;

    memset(options, 0, sizeof(*options));
    if (argc < 2)
        return error_set(err, "no command; there are train, check, info and keys, see "
                              "'lowrank --help'");
    for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, argv[1]) == 0)
            break;
    if (i == sizeof(commands) / sizeof(commands[0]))
        return argv[1][0] == '-' ? flag_error(argv[1], err) : command_unknown(argv[1], err);
    options->command = commands[i].command;
    if (options->command == COMMAND_TRAIN || options->command == COMMAND_CHECK)
        return file_command(options, argc, argv, err);
    return plain_command(options, argc, argv, err);
}
