/*
 * train/step.c: one optimizer step.
 *
 * No call in here can leave one rank behind: a failed read or a stop request
 * sets a meter, the meters ride in the reduction, and all ranks act on the
 * sums. Every rank ends with the same bits.
 *
 * In the last pass of a step the gradients of a layer are final as soon as its
 * backward pass is done: their sum over the ranks then goes on beside the
 * layers below. What a step that has to be computed again has summed by then is
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

/* Adds leaf gradients exactly; see model/model.h. */
struct accumulator {
    int64_t *sum; // of the gradients
    int bits, bad;
    int64_t leaves;
    struct profile *profile;
    struct dist_sum *reduction;
    int last; // pass of this rank in the step
};

static void accumulate(void *context, size_t offset, const float *g, int rows, size_t n, size_t ld)
{
    struct accumulator *acc = context;
    int bad = 0;

    for (size_t r = 0; r < (size_t)rows; r++)
        bad |= exact_sum_add(acc->sum + offset + r * ld, g + r * ld, n, acc->bits, acc->leaves);
#pragma omp atomic
    acc->bad |= bad;
    if (omp_get_thread_num() != 0)
        return; // stopwatch and messages are the main thread's
    profile_lap(acc->profile, PROFILE_LEAF_SUMS, 0.0);
    dist_sum_poke(acc->reduction);
    profile_lap(acc->profile, PROFILE_REDUCTION, 0.0);
}

static void let_go(void *context, size_t offset)
{
    struct accumulator *acc = context;

    if (acc->last)
        dist_sum_ready(acc->reduction, METER_COUNT + offset);
    profile_lap(acc->profile, PROFILE_REDUCTION, 0.0);
}

/* Computes the pass in hand and adds its leaves. */
static void run_pass(struct job *job, struct accumulator *acc, int64_t *meter)
{
    struct batch *batch = job->batch;
    struct model_sink sink = { acc, accumulate, let_go };

    if (batch->pass.N == 0)
        return;
    batch->pass.n_blocks = batch->pass.n_blocks ? batch->pass.n_blocks : 1;
    batch->pass.step = (uint32_t)job->step;
    batch->pass.seed = (uint64_t)job->cfg->seed;
    batch->pass.train = 1;
    model_run(&job->model, &job->nn, &job->work, &batch->pass, batch->loss, &sink);
    for (int i = 0; i < batch->pass.n_leaves; i++)
        acc->bad |=
            exact_sum_add_double(&meter[METER_LOSS], batch->loss[i], acc->bits, acc->leaves);
    meter[METER_LABELLED] += batch->labelled;
    meter[METER_TOKENS] += batch->pass.N;
    batch_reset(batch);
}

/* My part of the step's rows. */
static int run_rows(struct job *job, const int64_t *rows, size_t count, struct accumulator *acc,
                    int64_t *meter, struct error *err)
{
    batch_reset(job->batch);
    for (size_t i = 0; i < count; i++) {
        size_t row = (size_t)rows[i];

        if (job->deal.owner[i] != job->dist->rank)
            continue;
        if (!batch_has_room(job->batch, &job->plan, job->train->length[row]))
            run_pass(job, acc, meter);
        if (batch_add(job->batch, &job->store, job->train, row, (uint32_t)i, err) < 0)
            return -1;
        profile_lap(job->nn.profile, PROFILE_INPUT, 0.0);
    }
    acc->last = 1;
    run_pass(job, acc, meter);
    return 0;
}

/* Gradients of the step summed over all leaves, with this scale. -1: reading failed (agreed). */
static int gradients(struct job *job, const int64_t *rows, size_t count, int bits,
                     struct error *err)
{
    size_t P = job->adapter.param_count;
    struct accumulator acc = { .sum = job->sum + METER_COUNT,
                               .bits = bits,
                               .leaves = (int64_t)count,
                               .profile = job->nn.profile,
                               .reduction = &job->reduction };
    int64_t *meter = job->sum;
    int rc;

    memset(job->sum, 0, (METER_COUNT + P) * sizeof(*job->sum));
    dist_sum_begin(&job->reduction, job->sum);
    rc = run_rows(job, rows, count, &acc, meter, err);
    meter[METER_BAD] = acc.bad;
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
    exact_sum_to_float(job->grad, job->sum + METER_COUNT, P, bits, labelled);
    job->norm = clip_norm(job->grad, P);
    clip_scale(job->grad, P, clip_factor(job->norm, cfg->max_grad_norm));
    job->rate = lr_schedule_rate(&job->lr, job->step);
    adamw_step(&adamw, job->adapter.params, job->exp_avg, job->exp_avg_sq, job->grad, P, job->rate,
               job->step + 1);
    omp_set_num_threads(1);
    profile_lap(job->nn.profile, PROFILE_OPTIMIZER, 0.0);
}

int step_run(struct job *job, int *stop, struct error *err)
{
    const int64_t *meter = job->sum;
    struct step_size size;
    const int64_t *rows;
    size_t count;
    double flops, labelled;
    int bits = EXACT_SUM_BITS;

    schedule_step(&job->schedule, job->step, &rows, &count, NULL);
    deal_rows(&job->deal, &size, job, rows, count);
    flops = model_flops(&job->model, size.tokens, size.labelled, size.squares, 1);
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
    job->meters.flops += flops;
    job->step++;
    return 0;
}
