/*
 * train/evaluate.c: the loss on rows that are not trained.
 *
 * As in LLaMA-Factory: batches of per_device_eval_batch_size consecutive rows,
 * the mean of the token losses of each batch, and the mean of those weighted
 * by rows. The rows' sums are exact integers, so ranks may be cut anywhere.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "dist/signal.h"
#include "train/train_internal.h"

/* Puts the losses of the pass in hand where they belong; tags are row numbers. */
static void finish_pass(struct job *job, int64_t *sum, int *bad)
{
    struct batch *batch = job->batch;

    if (batch->pass.N == 0)
        return;
    model_run(&job->model, &job->nn, &job->work, &batch->pass, batch->loss, NULL);
    for (int i = 0; i < batch->pass.n_leaves; i++)
        *bad |= exact_sum_add_double(&sum[batch->tags[i]], batch->loss[i], EXACT_SUM_BITS, 1);
    batch_reset(batch);
}

static int run_rows(struct job *job, const struct sample_set *set, int64_t *sum, size_t from,
                    size_t to, int *bad, struct error *err)
{
    batch_reset(job->batch);
    for (size_t row = from; row < to; row++) {
        if (!batch_has_room(job->batch, &job->plan, set->length[row]))
            finish_pass(job, sum, bad);
        if (signal_stop_requested())
            return 0;
        if (batch_add(job->batch, &job->store, set, row, (uint32_t)row, err) < 0)
            return -1;
    }
    finish_pass(job, sum, bad);
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

int evaluate_cut(size_t *bound, const struct sample_set *set, int ranks, struct error *err)
{
    double *cost = mem_alloc(set->count, sizeof(*cost), err);

    if (!cost)
        return -1;
    for (size_t i = 0; i < set->count; i++)
        cost[i] = set->length[i];
    schedule_cut(bound, ranks, cost, set->count);
    free(cost);
    return 0;
}

int evaluate_set(struct job *job, const struct sample_set *set, struct eval_record *record,
                 int *stop, struct error *err)
{
    double start = clock_s();
    size_t b = (size_t)job->cfg->per_device_eval_batch_size;
    const size_t *bound = job->row_bound + job->dist->rank;
    int64_t *sum = mem_alloc(set->count + 2, sizeof(*sum), err);
    int bad = 0;
    int rc = sum ? evaluate_cut(job->row_bound, set, job->dist->size, err) : -1;

    rc = dist_agree(job->dist, rc, err);
    if (rc == 0)
        rc = dist_agree(job->dist, run_rows(job, set, sum, bound[0], bound[1], &bad, err), err);
    if (rc == 0) {
        sum[set->count] = bad;
        sum[set->count + 1] = signal_stop_requested() != 0;
        dist_sum_i64(job->dist, sum, set->count + 2);
        *stop = sum[set->count + 1] != 0;
        *record = (struct eval_record){
            .step = job->step,
            .epoch = job->step ? schedule_epoch_after(&job->schedule, job->step - 1) : 0.0,
            .loss = sum[set->count] ? (double)NAN : mean_of_batches(set, sum, b),
            .runtime_s = clock_s() - start,
            .samples = (int64_t)set->count,
            .steps = (int64_t)((set->count + b - 1) / b)
        };
    }
    free(sum);
    return rc;
}

int evaluate_all(struct job *job, int *stop, struct error *err)
{
    for (int s = 0; s < job->store.set_count && !*stop; s++) {
        const struct sample_set *set = &job->store.sets[s];
        struct eval_record record;
        int rc;

        if (strcmp(set->name, "train") == 0 || set->count == 0)
            continue;
        if (evaluate_set(job, set, &record, stop, err) < 0)
            return -1;
        if (*stop)
            break;
        job->eval_s += record.runtime_s;
        log_info("step %lld: %s loss %.4f (%lld rows, %.1f s)", (long long)job->step, set->name,
                 record.loss, (long long)record.samples, record.runtime_s);
        job->last_eval = record;
        history_add_eval(&job->history, &record);
        rc = job->dist->rank == 0 && job->log.path ? trainer_log_eval(&job->log, &record, err) : 0;
        if (dist_agree(job->dist, rc, err) < 0)
            return -1;
    }
    return 0;
}
