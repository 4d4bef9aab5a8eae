/*
 * cli/main.c: subcommands and exit statuses.
 *
 * 0 done, 1 error, 2 usage, 75 interrupted and resumable (EX_TEMPFAIL). Only
 * here is anything printed about a failure, once, by rank 0.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/cli_internal.h"
#include "config/config.h"
#include "dist/dist.h"
#include "dist/signal.h"
#include "nn/nn.h"
#include "train/train.h"

enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_AGAIN = 75 };

/* OpenBLAS reads OPENBLAS_CORETYPE when it is loaded: start again with the right one. */
static void restart_with_better_kernel(char **argv)
{
    const char *better = gemm_better_coretype();

    if (!better || setenv("OPENBLAS_CORETYPE", better, 1) < 0)
        return;
    (void)execv("/proc/self/exe", argv); // on failure go on with the slow kernel
}

/* The rank that the launcher gave this process, before MPI is started; 0 without a launcher. */
static long launcher_rank(void)
{
    static const char *const names[] = { "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                         "SLURM_PROCID" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (getenv(names[i]))
            return strtol(getenv(names[i]), NULL, 10);
    return 0;
}

static int print_text(void (*print)(struct strbuf *))
{
    struct strbuf text = { 0 };
    struct error err;
    int rc;

    print(&text);
    rc = strbuf_check(&text, &err);
    if (rc == 0 && (fputs(strbuf_text(&text), stdout) < 0 || fflush(stdout) != 0))
        rc = error_set(&err, "cannot write to standard output: %s", strerror(errno));
    if (rc < 0)
        (void)fprintf(stderr, "error: %s\n", err.msg);
    strbuf_release(&text);
    return rc < 0 ? EXIT_ERROR : EXIT_OK;
}

static int pack_file(const struct options *options, struct strbuf *pack, struct error *err)
{
    char *yaml = NULL;
    size_t len = 0;
    int rc = -1;

    if (file_read(options->file, &yaml, &len, err) == 0)
        rc = config_pack(pack, options->file, yaml, len, options->overrides,
                         options->override_count, err);
    free(yaml);
    return rc;
}

/* Rank 0 reads; everyone gets the same bytes and unpacks them alike. */
static int read_config(struct config *cfg, const struct options *options, struct dist *dist,
                       struct error *err)
{
    struct strbuf pack = { 0 };
    char *bytes = NULL;
    size_t len = 0;
    int rc = dist->rank == 0 ? pack_file(options, &pack, err) : 0;

    rc = dist_agree(dist, rc, err);
    if (rc == 0) {
        bytes = dist->rank == 0 ? pack.text : NULL;
        len = pack.len;
        rc = dist_bcast_text(dist, &bytes, &len, 0, err);
    }
    if (rc == 0)
        rc = dist_agree(dist, config_unpack(cfg, bytes, len, err), err);
    if (dist->rank != 0)
        free(bytes);
    strbuf_release(&pack);
    return rc;
}

static int run_command(const struct options *options, struct dist *dist, struct error *err)
{
    struct config cfg = { 0 };
    int rc = read_config(&cfg, options, dist, err);

    if (rc == 0) {
        config_log_notes(&cfg);
        rc = options->command == COMMAND_TRAIN ? train_run(dist, &cfg, err)
                                               : train_check(dist, &cfg, err);
    }
    config_release(&cfg);
    return rc;
}

static int run_with_ranks(const struct options *options)
{
    struct dist dist = { 0 };
    struct error err = { "" };
    int rc;

    // Before MPI starts, which can take long: until then a preemption would just end the process.
    if ((options->command == COMMAND_TRAIN && signal_install(&err) < 0) ||
        dist_open(&dist, &err) < 0) {
        (void)fprintf(stderr, "error: %s\n", err.msg);
        return EXIT_ERROR;
    }
    log_enable(dist.rank == 0);
    rc = run_command(options, &dist, &err);
    if (rc < 0 && dist.rank == 0)
        (void)fprintf(stderr, "error: %s\n", err.msg);
    dist_close(&dist);
    return rc < 0 ? EXIT_ERROR : rc == TRAIN_INTERRUPTED ? EXIT_AGAIN : EXIT_OK;
}

int main(int argc, char **argv)
{
    struct options options;
    struct error err;

    if (options_parse(&options, argc, argv, &err) < 0) {
        if (launcher_rank() != 0)
            return EXIT_OK; // rank 0 speaks for all; a failure here would end it before it could
        (void)fprintf(stderr, "error: %s\n", err.msg);
        return EXIT_USAGE;
    }
    switch (options.command) {
    case COMMAND_HELP:
        return print_text(options_help_print);
    case COMMAND_VERSION:
        (void)puts("lowrank " LOWRANK_VERSION);
        return EXIT_OK;
    case COMMAND_KEYS:
        return print_text(options.markdown ? config_keys_markdown : config_keys_print);
    case COMMAND_INFO:
        restart_with_better_kernel(argv);
        return print_text(info_print);
    default:
        restart_with_better_kernel(argv);
        return run_with_ranks(&options);
    }
}
