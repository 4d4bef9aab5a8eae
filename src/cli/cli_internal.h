/*
 * cli_internal.h: the command line, taken apart.
 */
#ifndef CLI_INTERNAL_H
#define CLI_INTERNAL_H

#include "base/error.h"
#include "base/strbuf.h"

enum command {
    COMMAND_HELP,
    COMMAND_VERSION,
    COMMAND_TRAIN,
    COMMAND_CHECK,
    COMMAND_INFO,
    COMMAND_KEYS
};

struct options {
    enum command command;
    const char *file;       // train, check: the configuration file
    char *const *overrides; // train, check: pairs "key=value"
    int override_count;
    int markdown; // keys: as docs/keys.md
};

/*
 * Strings stay argv's. On failure the message is one line that ends with what
 * to do; the caller prints it and exits with 2. Local.
 */
int options_parse(struct options *options, int argc, char **argv, struct error *err);

/* What --help prints. */
void options_help_print(struct strbuf *out);

/* What `lowrank info` prints: build, CPU, matrix backends with their measured rates. */
void info_print(struct strbuf *out);

#endif
