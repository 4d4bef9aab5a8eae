/*
 * train/rate.c: what products alone would reach, the yardstick of the log and of the profile.
 *
 * Taken before the first step and again between steps, since the pace of a machine wanders. Each
 * rank times its own products; steps end together, so that all do it at once.
 */
#include "base/clock.h"
#include "train/train_internal.h"

static const double FIRST_S = 0.2;         // spent before the first step
static const double SHARE = 0.0005;        // of the time afterwards
static const double SHARE_PROFILE = 0.003; // the same with `profile: true`

static int measure(struct job *job, double seconds, struct error *err)
{
    double now = gemm_measure_rate(&job->nn, model_dtype(&job->model), seconds, err);

    job->products.measured_s = clock_s();
    if (now < 0.0)
        return -1;
    job->products.now = now;
    return 0;
}

int rate_first(struct job *job, struct error *err)
{
    return dist_agree(job->dist, measure(job, FIRST_S, err), err);
}

void rate_after_step(struct job *job)
{
    struct job_rate *r = &job->products;
    double start = clock_s(), share = job->nn.profile ? SHARE_PROFILE : SHARE;
    double budget = share * (start - r->measured_s);
    struct error err;

    r->possible += r->now * job->step_s;
    r->steps_s += job->step_s;
    if (budget < 3.0 * job->threads * GEMM_RATE_FLOPS / r->now)
        return;                       // not yet: it would take longer than that
    (void)measure(job, budget, &err); // without memory for it the last rate stands
    r->spent_s += clock_s() - start;
    if (job->nn.profile)
        profile_reset(job->nn.profile);
}

double rate_mean(const struct job *job)
{
    const struct job_rate *r = &job->products;

    return r->steps_s > 0.0 ? r->possible / r->steps_s : r->now;
}
