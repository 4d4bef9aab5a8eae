/*
 * saving.c: what a rolling state costs, saved after every step.
 *
 *   mpirun -n 2 build/tests/bench/saving FOLDER PARAMETERS [SAVES [PAUSE_MS]]
 *
 * Saves states of PARAMETERS adapter parameters (and AdamW's two moments of as
 * many) to FOLDER/state as training does between steps. Before each save every
 * element is changed, as the optimizer does; then the ranks sleep PAUSE_MS, in
 * which the system may write to the disk as it does during a step. Prints one
 * JSON object: of SAVES saves the least, median and largest seconds of the
 * slowest rank, and the median seconds of CPU of all ranks together, without
 * what the flushing threads take during the pauses. FOLDER should be on the
 * file system that runs use, not on a memory disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ckpt/checkpoint.h"

#define WARM 3 // saves before those that count

static double cpu_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fill(float *const arrays[3], size_t n, int64_t step)
{
    for (int a = 0; a < 3; a++)
        for (size_t i = 0; i < n; i++)
            arrays[a][i] = (float)((i * 7919 + (size_t)step * 104729) % 1000003) * 1e-6f;
}

/* One save; seconds[0] of the slowest rank, [1] of CPU on all. Collective. */
static int save_once(const struct dist *dist, const char *folder, const struct ckpt_state *state,
                     struct flush **flush, double *seconds, struct error *err)
{
    double start, cpu;
    int64_t used;
    int rc;

    dist_barrier(dist);
    start = clock_s();
    cpu = cpu_s();
    rc = ckpt_save_rolling_soon(dist, folder, state, flush, err);
    seconds[0] = clock_s() - start;
    used = (int64_t)((cpu_s() - cpu) * 1e9);
    dist_max_f64(dist, seconds, 1);
    dist_sum_i64(dist, &used, 1);
    seconds[1] = (double)used * 1e-9;
    return rc;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print(const struct dist *dist, size_t n, double *wall, double *cpu, int saves)
{
    qsort(wall, (size_t)saves, sizeof(*wall), ascending);
    qsort(cpu, (size_t)saves, sizeof(*cpu), ascending);
    if (dist->rank == 0)
        (void)printf("{\"ranks\": %d, \"parameters\": %zu, \"bytes\": %zu, \"saves\": %d, "
                     "\"seconds_min\": %.6f, \"seconds_median\": %.6f, \"seconds_max\": %.6f, "
                     "\"cpu_seconds_median\": %.6f}\n",
                     dist->size, n, 3 * n * sizeof(float), saves, wall[0], wall[saves / 2],
                     wall[saves - 1], cpu[saves / 2]);
}

static int run(const struct dist *dist, const char *folder, size_t n, int saves, int pause_ms,
               struct error *err)
{
    float *block = mem_alloc(3 * n, sizeof(*block), err);
    double *wall = block ? mem_alloc(2 * (size_t)saves, sizeof(*wall), err) : NULL;
    struct flush *flush = NULL;
    struct error late;
    int rc = dist_agree(dist, wall ? 0 : -1, err);

    for (int64_t step = 1; rc == 0 && step <= WARM + saves; step++) {
        float *const arrays[3] = { block, block + n, block + 2 * n };
        struct timespec pause = { pause_ms / 1000, pause_ms % 1000 * 1000000L };
        struct ckpt_tensor tensor = { "weight", 1, (int)n, 0 };
        struct ckpt_state state = { .step = step,
                                    .texts = { "config", "versions", "compute", "log", "meters" },
                                    .tensors = &tensor,
                                    .tensor_count = 1,
                                    .params = arrays[0],
                                    .exp_avg = arrays[1],
                                    .exp_avg_sq = arrays[2],
                                    .param_count = n };
        double seconds[2];

        fill(arrays, n, step);
        (void)nanosleep(&pause, NULL);
        rc = save_once(dist, folder, &state, &flush, seconds, err);
        if (step > WARM) {
            wall[step - WARM - 1] = seconds[0];
            wall[saves + step - WARM - 1] = seconds[1];
        }
    }
    if (flush_wait(&flush, rc == 0 ? err : &late) < 0)
        rc = -1;
    if (rc == 0)
        print(dist, n, wall, wall + saves, saves);
    free(wall);
    free(block);
    return rc;
}

int main(int argc, char **argv)
{
    struct dist dist = { 0 };
    struct error err = { "" };
    long long n = argc > 2 ? strtoll(argv[2], NULL, 10) : 0;
    long saves = argc > 3 ? strtol(argv[3], NULL, 10) : 20;
    long pause_ms = argc > 4 ? strtol(argv[4], NULL, 10) : 300;
    int rc;

    if (n < 1 || n > INT32_MAX || saves < 1 || saves > 100000 || pause_ms < 0) {
        (void)fprintf(stderr, "usage: saving FOLDER PARAMETERS [SAVES [PAUSE_MS]]\n");
        return 2;
    }
    if (dist_open(&dist, &err) < 0)
        return 1;
    rc = run(&dist, argv[1], (size_t)n, (int)saves, (int)pause_ms, &err);
    if (rc < 0 && dist.rank == 0)
        (void)fprintf(stderr, "error: %s\n", err.msg);
    dist_close(&dist);
    return rc < 0;
}
