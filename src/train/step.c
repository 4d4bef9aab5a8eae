/*
 * train/step.c: one optimizer step.
 *
 * Each worker of a rank (worker.c) computes rows of its own; they share one sum.
 *
 * No call in here can leave one rank behind: a failed read or a stop request
 * sets a meter, the meters ride in the reduction, and all ranks act on the
 * sums. Every rank ends with the same bits.
 *
 * In the last passes of a step the gradients of a layer are final as soon as all
 * workers have done its backward pass: their sum over the ranks then goes on
 * beside the layers below. What a step that has to be computed again has summed by then is
 * dropped with the rest.
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/log.h"
#include "dist/signal.h"
#include "optim/clip.h"
#include "train/train_internal.h"

enum { BITS_STEP = 12 }; // taken off the scale when gradients were too large for it

/* Adds a leaf's gradients exactly; see model/model.h. Workers add to the same parameters: one at a time. */
static void accumulate(void *context, size_t offset, const float *g, int rows, size_t n, size_t ld)
{
    struct worker *worker = context;
    struct job *job = worker->job;
    struct share *share = &worker->share;
    omp_lock_t *lock = job->plan.workers > 1 ? &job->sum_lock[offset / 64 % STEP_LOCKS] : NULL;
    int bad = 0;

    if (lock)
        omp_set_lock(lock);
    for (size_t r = 0; r < (size_t)rows; r++)
        bad |= exact_sum_add(&worker->nn, job->sum + METER_COUNT + offset + r * ld, g + r * ld, n,
                             share->bits, share->leaves);
    if (lock)
        omp_unset_lock(lock);
#pragma omp atomic
    share->bad |= bad;
    if (omp_get_thread_num() != 0)
        return; // the stopwatch is that of the worker's first thread
    profile_lap(worker->nn.profile, PROFILE_LEAF_SUMS, 0.0);
    if (!omp_test_lock(&job->outside))
        return; // another does it, or reads
    dist_sum_poke(&job->reduction);
    omp_unset_lock(&job->outside);
    profile_lap(worker->nn.profile, PROFILE_REDUCTION, 0.0);
}

/* Where the gradients begin that no worker of this rank adds to any more. */
static size_t final_from(const struct job *job)
{
    size_t from = 0;

    for (int w = 0; w < job->plan.workers; w++) {
        size_t its = atomic_load(&job->worker[w].share.final_from);

        from = its > from ? its : from;
    }
    return from;
}

static void let_go(void *context, size_t offset)
{
    struct worker *worker = context;
    struct job *job = worker->job;

    if (worker->share.last)
        atomic_store(&worker->share.final_from, offset);
    omp_set_lock(&job->outside);
    dist_sum_ready(&job->reduction, METER_COUNT + final_from(job));
    omp_unset_lock(&job->outside);
    profile_lap(worker->nn.profile, PROFILE_REDUCTION, 0.0);
}

/* Computes the pass in hand and adds its leaves. */
static void run_pass(struct worker *worker)
{
    struct job *job = worker->job;
    struct share *share = &worker->share;
    struct batch *batch = &worker->batch;
    struct model_sink sink = { worker, accumulate, let_go };

    if (batch->pass.N == 0)
        return;
    batch->pass.n_blocks = batch->pass.n_blocks ? batch->pass.n_blocks : 1;
    batch->pass.step = (uint32_t)job->step;
    batch->pass.seed = (uint64_t)job->cfg->seed;
    batch->pass.train = 1;
    model_run(&job->model, &worker->nn, &worker->work, &batch->pass, batch->loss, &sink);
    for (int i = 0; i < batch->pass.n_leaves; i++)
        share->bad |= exact_sum_add_double(&share->meter[METER_LOSS], batch->loss[i], share->bits,
                                           share->leaves);
    share->meter[METER_LABELLED] += batch->labelled;
    share->meter[METER_TOKENS] += batch->tokens;
    batch_reset(batch);
}

struct step_rows {
    const int64_t *rows;
    size_t count;
};

/* A worker's part of the step's rows. */
static int run_rows(struct worker *worker, void *context, struct error *err)
{
    const struct step_rows *step = context;
    struct job *job = worker->job;

    batch_reset(&worker->batch);
    for (size_t i = 0; i < step->count; i++) {
        size_t row = (size_t)step->rows[i];

        if (job->deal.owner[i] != worker_place(worker))
            continue;
        if (!batch_has_room(&worker->batch, &job->plan, job->train->length[row]))
            run_pass(worker);
        if (worker_add_row(worker, job->train, row, (uint32_t)i, err) < 0)
            return -1;
        profile_lap(worker->nn.profile, PROFILE_INPUT, 0.0);
    }
    worker->share.last = 1;
    run_pass(worker);
    atomic_store(&worker->share.final_from, 0);
    return 0;
}

static void add_meters(struct job *job)
{
    int64_t *meter = job->sum;

    for (int w = 0; w < job->plan.workers; w++) {
        const struct share *share = &job->worker[w].share;

        for (int m = 0; m < METER_COUNT; m++)
            meter[m] = (int64_t)((uint64_t)meter[m] + (uint64_t)share->meter[m]);
        meter[METER_BAD] += share->bad;
    }
}

/* Gradients of the step summed over all leaves, with this scale. -1: reading failed (agreed). */
static int gradients(struct job *job, const int64_t *rows, size_t count, int bits,
                     struct error *err)
{
    size_t P = job->adapter.param_count;
    struct step_rows step = { rows, count };
    int64_t *meter = job->sum;
    int rc;

    memset(job->sum, 0, (METER_COUNT + P) * sizeof(*job->sum));
    for (int w = 0; w < job->plan.workers; w++)
        job->worker[w].share =
            (struct share){ .bits = bits, .leaves = (int64_t)count, .final_from = P };
    dist_sum_begin(&job->reduction, job->sum);
    profile_lap(job->nn.profile, PROFILE_OTHER, 0.0);
    rc = workers_run(job, run_rows, &step, err);
    add_meters(job);
    meter[METER_FAILED] = rc < 0;
    meter[METER_STOP] = signal_stop_requested() != 0;
    profile_lap(job->nn.profile, PROFILE_OTHER, 0.0);
    dist_sum_ready(&job->reduction, 0);
    if (job->nn.profile)
        dist_sum_meet(&job->reduction);
    profile_lap(job->nn.profile, PROFILE_WAITING, 0.0);
    dist_sum_wait(&job->reduction);
    profile_lap(job->nn.profile, PROFILE_REDUCTION, 0.0);
    return meter[METER_FAILED] ? dist_agree(job->dist, rc, err) : 0;
}

static void apply(struct job *job, int bits, double labelled)
{
    size_t P = job->adapter.param_count;
    const struct config *cfg = job->cfg;
    struct adamw adamw = { cfg->adam_beta1, cfg->adam_beta2, cfg->adam_epsilon, cfg->weight_decay };

    omp_set_num_threads(job->threads); // for the loops of optim; a library of products has one
    exact_sum_to_float(&job->nn, job->grad, job->sum + METER_COUNT, P, bits, labelled);
    job->norm = clip_norm(job->grad, P);
    clip_scale(job->grad, P, clip_factor(job->norm, cfg->max_grad_norm));
    job->rate = lr_schedule_rate(&job->lr, job->step);
    adamw_step(&job->nn, &adamw, job->adapter.params, job->exp_avg, job->exp_avg_sq, job->grad, P,
               job->rate, job->step + 1);
    omp_set_num_threads(1);
    profile_lap(job->nn.profile, PROFILE_OPTIMIZER, 0.0);
}

int step_run(struct job *job, int *stop, struct error *err)
{
    const int64_t *meter = job->sum;
    struct step_size size;
    const int64_t *rows;
    size_t count;
    double labelled;
    int bits = EXACT_SUM_BITS;

    schedule_step(&job->schedule, job->step, &rows, &count, NULL);
    deal_rows(&job->deal, &size, job, rows, count);
    for (;; bits -= BITS_STEP) {
        if (gradients(job, rows, count, bits, err) < 0)
            return -1;
        if (!meter[METER_BAD])
            break;
        if (bits < BITS_STEP)
            return error_set(err,
                             "step %lld: the loss or a gradient is not finite; a lower "
                             "learning_rate or max_grad_norm may help",
                             (long long)job->step + 1);
        log_warn("step %lld: gradients are beyond the range of the exact sum; computing it again "
                 "with a coarser one",
                 (long long)job->step + 1);
    }
    *stop = meter[METER_STOP] != 0;
    labelled = meter[METER_LABELLED] > 0 ? (double)meter[METER_LABELLED] : 1.0;
    apply(job, bits, labelled);
    job->last_loss = exact_sum_to_double(meter[METER_LOSS], bits) / labelled;
    job->meters.loss_since_log += job->last_loss;
    job->meters.loss_total += job->last_loss;
    job->meters.steps_since_log++;
    job->meters.tokens += meter[METER_TOKENS];
    job->meters.flops += size.cost;
    job->step++;
    return 0;
}
