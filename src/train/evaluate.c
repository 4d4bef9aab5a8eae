/*
 * train/evaluate.c: the loss on rows that are not trained.
 *
 * As in LLaMA-Factory: batches of per_device_eval_batch_size consecutive rows,
 * the mean of the token losses of each batch, and the mean of those weighted
 * by rows. The rows' sums are exact integers, so ranks may be cut anywhere.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "dist/signal.h"
#include "train/train_internal.h"

/* The rows of an evaluation and their losses. */
struct evaluation {
    const struct sample_set *set;
    size_t *bound; // [workers of all ranks + 1]
    int64_t *sum;  // [rows]
    atomic_int bad;
};

/* Puts the losses of the pass in hand where they belong; tags are row numbers. */
static void finish_pass(struct worker *worker, struct evaluation *evaluation)
{
    struct batch *batch = &worker->batch;

    if (batch->pass.N == 0)
        return;
    model_run(&worker->job->model, &worker->nn, &worker->work, &batch->pass, batch->loss, NULL);
    for (int i = 0; i < batch->pass.n_leaves; i++)
        if (exact_sum_add_double(&evaluation->sum[batch->tags[i]], batch->loss[i], EXACT_SUM_BITS,
                                 1))
            evaluation->bad = 1;
    batch_reset(batch);
}

static int run_rows(struct worker *worker, void *context, struct error *err)
{
    struct evaluation *evaluation = context;
    const struct sample_set *set = evaluation->set;
    const struct job *job = worker->job;
    const size_t *bound = evaluation->bound + worker_place(worker);

    batch_reset(&worker->batch);
    for (size_t row = bound[0]; row < bound[1]; row++) {
        if (!batch_has_room(&worker->batch, &job->plan, set->length[row]))
            finish_pass(worker, evaluation);
        if (signal_stop_requested())
            return 0;
        if (worker_add_row(worker, set, row, (uint32_t)row, err) < 0)
            return -1;
    }
    finish_pass(worker, evaluation);
    return 0;
}

static double mean_of_batches(const struct sample_set *set, const int64_t *sum, size_t b)
{
    double total = 0.0;

    for (size_t i = 0; i < set->count; i += b) {
        size_t n = set->count - i < b ? set->count - i : b;
        double loss = 0.0, labelled = 0.0;

        for (size_t j = i; j < i + n; j++) {
            loss += exact_sum_to_double(sum[j], EXACT_SUM_BITS);
            labelled += set->labelled[j];
        }
        total += labelled > 0.0 ? loss / labelled * (double)n : 0.0;
    }
    return total / (double)set->count;
}

int evaluate_cut(size_t *bound, const struct sample_set *set, int workers, struct error *err)
{
    double *cost = mem_alloc(set->count, sizeof(*cost), err);

    if (!cost)
        return -1;
    for (size_t i = 0; i < set->count; i++)
        cost[i] = set->length[i];
    schedule_cut(bound, workers, cost, set->count);
    free(cost);
    return 0;
}

static struct eval_record record_of(const struct job *job, const struct evaluation *evaluation,
                                    double runtime_s)
{
    size_t count = evaluation->set->count, b = (size_t)job->cfg->per_device_eval_batch_size;
    int bad = evaluation->sum[count] != 0;

    return (struct eval_record){
        .name = evaluation->set->name,
        .step = job->step,
        .epoch = job->step ? schedule_epoch_after(&job->schedule, job->step - 1) : 0.0,
        .loss = bad ? (double)NAN : mean_of_batches(evaluation->set, evaluation->sum, b),
        .runtime_s = runtime_s,
        .samples = (int64_t)count,
        .steps = (int64_t)((count + b - 1) / b)
    };
}

int evaluate_set(struct job *job, const struct sample_set *set, struct eval_record *record,
                 int *stop, struct error *err)
{
    double start = clock_s();
    int workers = job->dist->size * job->plan.workers;
    struct evaluation evaluation = { .set = set };
    int64_t *sum = evaluation.sum = mem_alloc(set->count + 2, sizeof(*sum), err);
    int rc = -1;

    evaluation.bound = sum ? mem_alloc((size_t)workers + 1, sizeof(*evaluation.bound), err) : NULL;
    if (evaluation.bound)
        rc = evaluate_cut(evaluation.bound, set, workers, err);
    rc = dist_agree(job->dist, rc, err);
    if (rc == 0)
        rc = dist_agree(job->dist, workers_run(job, run_rows, &evaluation, err), err);
    if (rc == 0) {
        sum[set->count] = evaluation.bad;
        sum[set->count + 1] = signal_stop_requested() != 0;
        dist_sum_i64(job->dist, sum, set->count + 2);
        *stop = sum[set->count + 1] != 0;
        *record = record_of(job, &evaluation, clock_s() - start);
    }
    free(evaluation.bound);
    free(sum);
    return rc;
}

/* Rank 0's lines. Local. */
static int log_evaluation(struct job *job, struct error *err)
{
    for (int i = 0; i < job->eval_count; i++)
        if (trainer_log_eval(&job->log, &job->evals[i], err) < 0)
            return -1;
    return 0;
}

int evaluate_all(struct job *job, int *stop, struct error *err)
{
    int rc = 0;

    job->eval_count = 0;
    for (int s = 0; s < job->store.set_count; s++) {
        const struct sample_set *set = &job->store.sets[s];
        struct eval_record *record = &job->evals[job->eval_count];

        if (strcmp(set->name, "train") == 0 || set->count == 0)
            continue;
        if (evaluate_set(job, set, record, stop, err) < 0)
            return -1;
        if (*stop) { // nothing is logged: the run that goes on evaluates all sets again
            job->eval_count = 0;
            return 0;
        }
        job->eval_count++;
        job->eval_s += record->runtime_s;
        log_info("step %lld: %s loss %.4f (%lld rows, %.1f s)", (long long)job->step, set->name,
                 record->loss, (long long)record->samples, record->runtime_s);
    }
    if (job->meters.evaluated == job->step) // and logged, before the run went on from there
        return 0;
    for (int i = 0; i < job->eval_count; i++)
        history_add_eval(&job->history, &job->evals[i]);
    if (job->dist->rank == 0 && job->log.path)
        rc = log_evaluation(job, err);
    return dist_agree(job->dist, rc, err);
}
