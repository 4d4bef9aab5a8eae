/*
 * train/profile_report.c: profile: true, output_dir/profile.json and a table at the end.
 *
 *     {"ranks": 2, "threads": 1, "backend": "native avx2", "gemm_rate": 8.2e+10, "watching": 5e-3,
 *      "steps": [{"step": 1, "seconds": 5.1, "gemm_rate": 8.3e+10, "attention": [0.31, 2.4e+09], ...}, ...],
 *      "products": [{"N": 576, "K": 1536, "seconds": 1.9, "flops": 1.1e+11}, ...]}
 *
 * Seconds are the mean over the ranks, operations the sum over them; of a
 * step, [seconds, operations] by class of work, zeros left out. gemm_rate is
 * that of all ranks together as they last measured it before the step (rate.c),
 * above all the mean over the steps after the first; watching is the share of
 * the time that measuring itself took. Products are rank 0's, over the whole run.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/number.h"
#include "train/train_internal.h"

void profile_report_start(struct job *job)
{
    if (!job->cfg->profile)
        return;
    job->nn.profile = &job->profile.watch;
    profile_reset(job->nn.profile);
}

enum { RATE = 2 * PROFILE_CLASSES, SUMS };

/* Sums over the ranks: nanoseconds, then operations, then the rate of products. */
static void gather(struct job *job, int64_t *sum)
{
    const struct profile *watch = &job->profile.watch;

    for (int c = 0; c < PROFILE_CLASSES; c++) {
        sum[c] = watch->ns[c];
        sum[PROFILE_CLASSES + c] = llrint(watch->flops[c]);
    }
    sum[RATE] = llrint(job->products.now);
    dist_sum_i64(job->dist, sum, SUMS);
}

static void add_step(struct job *job, const int64_t *sum)
{
    struct strbuf *text = &job->profile.steps;
    double total = 0.0;

    for (int c = 0; c < PROFILE_CLASSES; c++)
        total += (double)sum[c] * 1e-9 / job->dist->size;
    strbuf_printf(text, "%s\n  {\"step\": %lld, \"seconds\": %.6f, \"gemm_rate\": %.6g",
                  text->len ? "," : "", (long long)job->step, total, (double)sum[RATE]);
    for (int c = 0; c < PROFILE_CLASSES; c++)
        if (sum[c] > 0)
            strbuf_printf(text, ", \"%s\": [%.6f, %.6g]", profile_class_name(c),
                          (double)sum[c] * 1e-9 / job->dist->size,
                          (double)sum[PROFILE_CLASSES + c]);
    strbuf_putc(text, '}');
}

void profile_report_step(struct job *job)
{
    struct job_profile *p = &job->profile;
    int64_t sum[SUMS];

    if (!job->nn.profile)
        return;
    profile_lap(job->nn.profile, PROFILE_OTHER, 0.0);
    gather(job, sum);
    profile_reset(job->nn.profile);
    if (job->dist->rank != 0)
        return;
    add_step(job, sum);
    p->count++;
    for (int c = 0; c < PROFILE_CLASSES && p->count > 1; c++) { // the first step warms up
        double seconds = (double)sum[c] * 1e-9 / job->dist->size;

        p->seconds[c] += seconds;
        p->possible += seconds * (double)sum[RATE];
        p->flops[c] += (double)sum[PROFILE_CLASSES + c];
    }
}

static double total_s(const struct job_profile *p)
{
    double sum = 0.0;

    for (int c = 0; c < PROFILE_CLASSES; c++)
        sum += p->seconds[c];
    return sum;
}

/* The share of the time that the laps of this rank and its rates of products took, of the steps after the first. */
static double watching(const struct job *job)
{
    const struct job_profile *p = &job->profile;
    double laps = (double)p->watch.laps * (double)(p->count - 1) / (double)p->count;

    return p->count < 2 ? 0.0 : (laps * profile_lap_cost_s() + job->products.spent_s) / total_s(p);
}

/* Operations per second of products alone, all ranks together. */
static double rate_of_products(const struct job *job)
{
    const struct job_profile *p = &job->profile;

    return p->count < 2 ? job->products.now * job->dist->size : p->possible / total_s(p);
}

/* The table, of the steps after the first. */
static void print_table(const struct job *job)
{
    const struct job_profile *p = &job->profile;
    double total = total_s(p), steps = (double)(p->count - 1), rate = rate_of_products(job);
    double flops = 0.0;

    if (p->count < 2)
        return;
    for (int c = 0; c < PROFILE_CLASSES; c++)
        flops += p->flops[c];
    log_info("profile of %lld steps      s/step   share   GFLOP/s  of gemm",
             (long long)p->count - 1);
    for (int c = 0; c < PROFILE_CLASSES; c++) {
        if (p->seconds[c] <= 0.0)
            continue;
        if (p->flops[c] > 0.0)
            log_info("  %-20s %9.4f  %5.1f %%  %8.1f  %6.1f %%", profile_class_name(c),
                     p->seconds[c] / steps, 100.0 * p->seconds[c] / total,
                     p->flops[c] / p->seconds[c] * 1e-9,
                     100.0 * p->flops[c] / p->seconds[c] / rate);
        else
            log_info("  %-20s %9.4f  %5.1f %%", profile_class_name(c), p->seconds[c] / steps,
                     100.0 * p->seconds[c] / total);
    }
    log_info("  %-20s %9.4f  %5.1f %%  %8.1f  %6.1f %%", "all", total / steps, 100.0,
             flops / total * 1e-9, 100.0 * flops / total / rate);
    log_info("  %-20s %9s  %7.4f %%", "measuring it", "", 100.0 * watching(job));
}

static void add_products(const struct profile *watch, struct strbuf *text)
{
    for (int i = 0; i < watch->shapes; i++)
        strbuf_printf(text, "%s\n  {\"N\": %d, \"K\": %d, \"seconds\": %.6f, \"flops\": %.6g}",
                      i ? "," : "", watch->shape[i].N, watch->shape[i].K,
                      (double)watch->shape[i].ns * 1e-9, watch->shape[i].flops);
}

int profile_report_write(struct job *job, struct error *err)
{
    struct strbuf text = { 0 };
    char backend[128], *path;
    int rc = -1;

    if (!job->nn.profile || job->dist->rank != 0)
        return 0;
    path = path_join(job->cfg->output_dir, "profile.json", err);
    gemm_describe(&job->nn, backend, sizeof(backend));
    strbuf_printf(&text,
                  "{\"ranks\": %d, \"threads\": %d, \"backend\": \"%s\", \"gemm_rate\": %.6g, "
                  "\"watching\": %.3g,\n"
                  "\"steps\": [",
                  job->dist->size, job->threads, backend, rate_of_products(job), watching(job));
    strbuf_puts(&text, strbuf_text(&job->profile.steps));
    strbuf_puts(&text, "],\n\"products\": [");
    add_products(&job->profile.watch, &text);
    strbuf_puts(&text, "]}\n");
    if (path && strbuf_check(&job->profile.steps, err) == 0 && strbuf_check(&text, err) == 0)
        rc = file_write(path, text.text, text.len, err);
    if (rc == 0) {
        print_table(job);
        log_info("profile: written to '%s'", path);
    }
    strbuf_release(&text);
    free(path);
    return rc;
}
