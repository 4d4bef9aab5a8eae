/*
 * One training pass on random tokens, the best of three: tokens per second, and
 * the share of the matrix rate that the mathematics of the pass makes use of; the
 * rate is measured before each pass, and the best counts.
 *
 *     pass MODEL_FOLDER [LEAVES [TOKENS_OF_A_LEAF [THREADS [BACKEND]]]]
 *
 * Half of each leaf is labelled.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "model/model.h"
#include "nn/gemm.h"
#include "optim/exact_sum.h"

static void die(const struct error *err)
{
    (void)fprintf(stderr, "error: %s\n", err->msg);
    exit(1);
}

static int64_t *sums;

static void add(void *context, size_t offset, const float *g, int rows, size_t n, size_t ld)
{
    for (size_t r = 0; r < (size_t)rows; r++)
        (void)exact_sum_add(context, sums + offset + r * ld, g + r * ld, n, EXACT_SUM_BITS, 1024);
}

int main(int argc, char **argv)
{
    int leaves = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 8;
    int T = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 200;
    int threads = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 1;
    int backend = gemm_backend_from_name(argc > 5 ? argv[5] : "auto");
    const char *all[] = { "all" };
    struct lora_params params = { .lora_rank = 8, .targets = all, .target_count = 1 };
    int N = leaves * T, n;
    struct model_shape shape = { N, leaves, T, N, 1 << 20 };
    struct lora_linear *linears;
    struct model_work work;
    struct model model;
    struct adapter adapter;
    struct arena arena = { 0 };
    struct error err;
    struct nn nn;
    int *bounds = malloc(((size_t)leaves + 1) * sizeof(int)),
        *pos = malloc((size_t)N * sizeof(int));
    int32_t *ids = malloc((size_t)N * 4), *targets = malloc((size_t)N * 4);
    uint32_t *tags = calloc((size_t)leaves, 4);
    double *loss = malloc((size_t)leaves * sizeof(double)), rate = 0.0, best = 1e9, flops,
           labelled = 0.0;
    struct model_sink sink = { .context = &nn, .add = add };

    if (argc < 2 || backend < 0) {
        (void)fprintf(stderr, "usage: pass MODEL [LEAVES [TOKENS [THREADS [BACKEND]]]]\n");
        return 2;
    }
    if (model_open(&model, argv[1], &err) < 0 ||
        nn_open(&nn, (enum gemm_backend)backend, threads, &err) < 0 ||
        model_linears(&model, &linears, &n, &err) < 0 ||
        adapter_open(&adapter, &params, linears, n, &err) < 0)
        die(&err);
    model_attach(&model, &adapter);
    sums = calloc(adapter.param_count, sizeof(*sums));
    model_work_place(&work, &arena, &model, &nn, &shape);
    if (arena_open(&arena, arena.peak, &err) < 0)
        die(&err);
    model_work_place(&work, &arena, &model, &nn, &shape);
    for (int i = 0; i <= leaves; i++)
        bounds[i] = i * T;
    for (int i = 0; i < N; i++) {
        pos[i] = i % T;
        ids[i] = (i * 7919 + 13) % model.config.V;
        targets[i] = i % T >= T / 2 && i % T < T - 1 ? (i * 104729 + 1) % model.config.V : -1;
        labelled += targets[i] >= 0;
    }
    flops = model_flops(&model, N, labelled, (double)leaves * T * T, 1);
    for (int r = 0; r < 3; r++) {
        struct model_pass pass = { .N = N,
                                   .n_leaves = leaves,
                                   .n_blocks = leaves,
                                   .leaves = bounds,
                                   .blocks = bounds,
                                   .ids = ids,
                                   .targets = targets,
                                   .positions = pos,
                                   .leaf_tag = tags,
                                   .train = 1 };
        double now = gemm_measure_rate(&nn, model_dtype(&model), 0.2, &err), start = clock_s(), s;

        model_run(&model, &nn, &work, &pass, loss, &sink);
        s = clock_s() - start;
        rate = now > rate ? now : rate;
        best = s < best ? s : best;
    }
    (void)printf("%.2f s, %.1f tokens/s, %.1f GFLOP/s of %.1f: %.1f %%\n", best, N / best,
                 flops / best * 1e-9, rate * 1e-9, 100.0 * flops / best / rate);
    return 0;
}
