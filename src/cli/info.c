/*
 * cli/info.c: what this build is and what it makes of this machine.
 */
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli_internal.h"
#include "nn/gemm.h"

static void add_cpu(struct strbuf *out)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256], *colon = NULL;

    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "model name", 10) == 0 && (colon = strchr(line, ':')) != NULL)
            break;
    strbuf_printf(out, "cpu       %s%s", colon ? colon + 2 : "unknown", colon ? "" : "\n");
    strbuf_printf(out, "cores     %d\n", omp_get_num_procs());
    if (file)
        (void)fclose(file);
}

/* One line a backend: its name, kernel, and rate on one core. */
static void add_backend(struct strbuf *out, enum gemm_backend backend, int threads)
{
    struct error err;
    struct nn nn;
    char text[128];
    double rate, bf16;

    if (nn_open(&nn, backend, threads, &err) < 0) {
        strbuf_printf(out, "backend   %s: %s\n", gemm_backend_name(backend), err.msg);
        return;
    }
    gemm_describe(&nn, text, sizeof(text));
    rate = gemm_measure_rate(&nn, DTYPE_F32, 0.2, &err);
    bf16 = gemm_measure_rate(&nn, DTYPE_BF16, 0.2, &err);
    strbuf_printf(out, "backend   %s: %.1f GFLOP/s, with bfloat16 weights %.1f", text, rate * 1e-9,
                  bf16 * 1e-9);
    nn_use_bf16(&nn);
    if (nn_rounds_to_bf16(&nn))
        strbuf_printf(out, ", with bf16: true %.1f",
                      gemm_measure_rate(&nn, DTYPE_BF16, 0.2, &err) * 1e-9);
    strbuf_printf(out, ", on %d thread%s%s\n", threads, threads > 1 ? "s" : "",
                  backend == GEMM_AUTO ? " (auto)" : "");
    nn_close(&nn);
}

void info_print(struct strbuf *out)
{
    strbuf_puts(out, "lowrank   " LOWRANK_VERSION "\n");
    strbuf_printf(out, "compiler  %s\n", __VERSION__);
    strbuf_printf(out, "libraries %s\n", LOWRANK_LIBRARIES);
    add_cpu(out);
    add_backend(out, GEMM_AUTO, 1);
    add_backend(out, GEMM_AUTO, omp_get_num_procs());
    for (int b = GEMM_AUTO + 1; b < GEMM_BACKEND_COUNT; b++)
        if (gemm_backend_from_name(gemm_backend_name((enum gemm_backend)b)) >= 0)
            add_backend(out, (enum gemm_backend)b, 1);
}
