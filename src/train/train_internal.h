/*
 * train/train_internal.h: a job and the parts of its life.
 */
#ifndef TRAIN_INTERNAL_H
#define TRAIN_INTERNAL_H

#include <omp.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/profile.h"
#include "base/strbuf.h"
#include "ckpt/checkpoint.h"
#include "data/prepare.h"
#include "data/sample_store.h"
#include "data/schedule.h"
#include "dist/sum.h"
#include "lora/adapter.h"
#include "model/model.h"
#include "nn/gemm.h"
#include "nn/team.h"
#include "optim/adamw.h"
#include "optim/exact_sum.h"
#include "optim/lr_schedule.h"
#include "report/trainer_log.h"
#include "train/train.h"

/* What dealing whole rows comes to; a share above 1 is time that the mean worker waits. */
struct balance {
    double cost;                  // sum over the steps of the mean worker's operations
    double largest, least;        // the same of the dearest one, and of what no dealing gets below
    double worst, worst_at_least; // their largest ratio to the mean in one step
};

/* Sizes that follow from the data and the schedule; the same on all ranks. */
struct plan {
    int ranks, ranks_per_node; // those that run, or those that `check` plans for
    int workers;               // of a rank: 1 or one for each thread
    int64_t global_batch;
    int64_t warmup_steps;
    int token_budget; // tokens of a pass; a longer row is a pass by itself
    int together;     // leaves share a pass; 0: one leaf a pass
    struct model_shape shape;
    int leaves_max;          // rows of the largest step: bounds the exact sums
    double tokens, labelled; // of the whole run
    double flops;            // of the whole run
    struct balance balance;
    size_t work_bytes, state_bytes, weight_bytes, base_bytes;
};

/*
 * Numbers that every step adds to; they stand before the gradients' sums, for
 * the end of the array is reduced first, see job->sum.
 */
enum meter {
    METER_LOSS,
    METER_LABELLED,
    METER_TOKENS,
    METER_BAD,
    METER_FAILED,
    METER_STOP,
    METER_COUNT = 8 // a cache line
};

/* Who computes which row of a step, and room to find out. */
struct deal {
    int *owner;                    // [rows] worker, counted over the ranks
    double *cost;                  // [rows]
    struct schedule_item *items;   // [rows]
    struct schedule_share *shares; // [ranks * workers]
};

enum { STEP_LOCKS = 64 };

/* What goes on exactly through an interruption, besides adapter and moments. */
struct meters {
    double loss_since_log; // sum of the step losses since the last line of the log
    int64_t steps_since_log;
    double loss_total; // sum of all step losses
    double flops;
    int64_t tokens;
    int64_t evaluated; // the last step that was evaluated; -1: none
};

/* What products alone reach on this rank, in operations per second: as last measured, and over the steps. */
struct job_rate {
    double now, measured_s;
    double possible, steps_s; // operations that the steps had time for, and that time
    double spent_s;           // measuring, after the first step
};

/* What `profile: true` collects. */
struct job_profile {
    struct profile watch;
    struct strbuf steps;             // rank 0: JSON of the steps
    int64_t count;                   // steps
    double seconds[PROFILE_CLASSES]; // of the steps after the first
    double flops[PROFILE_CLASSES];
    double possible; // operations that products alone would have done in them, of all ranks
};

/* One pass being filled. */
struct batch {
    struct model_pass pass;
    int labelled, tokens; // of the rows, whole
    int N_cap, leaves_cap, blocks_cap;
    int *leaves, *blocks, *positions, *segments;
    int32_t *ids, *targets, *labels;
    uint32_t *tags;
    double *loss; // [leaves]
};

struct job;

/* What a worker adds to a step, step.c. */
struct share {
    int bits, last; // of the exact sum; its last pass of the step
    int64_t leaves; // of the whole step
    int64_t meter[METER_COUNT];
    int bad;
    atomic_size_t final_from; // to the gradients from here on it adds nothing more
};

/* What computes passes: all threads of a rank, or one of them, with memory of its own. */
struct worker {
    struct job *job;
    int number; // 0: the main thread's
    struct nn nn;
    struct model_work work;
    struct batch batch;
    struct share share;
    struct profile watch;
    struct error err;
};

struct job {
    struct dist *dist;
    const struct config *cfg;
    char *model_folder;
    int threads, requeued;
    struct job_rate products;
    struct nn nn;
    struct model model;
    struct adapter adapter;
    struct sample_store store;
    struct prepare_report prepared;
    const struct sample_set *train; // NULL without do_train
    struct schedule schedule;
    struct lr_schedule lr_options, lr; // as asked for; of the plan's steps
    struct plan plan;
    struct hash run_key;

    struct arena arena;
    struct worker *worker;              // [plan.workers]
    struct team team;                   // of them
    float *exp_avg, *exp_avg_sq, *grad; // [param_count]
    int64_t *sum;                       // [METER_COUNT + param_count]
    struct dist_sum reduction;          // of sum
    struct deal deal;                   // of the step in hand
    omp_lock_t sum_lock[STEP_LOCKS];    // of its parts
    omp_lock_t outside;                 // whoever calls MPI or HDF5 beside other workers

    int64_t step; // done
    struct meters meters;
    double last_loss, norm, rate; // of the last step
    struct eval_record *evals;    // [sets of the store] the last evaluation: eval_count of them
    int eval_count;
    struct history history;
    struct trainer_log log;
    struct flush *flush; // of the last state
    struct job_profile profile;
    double start_s, loop_start_s, step_s;
    double eval_s;                    // spent on evaluation since loop_start_s
    int64_t first_step, first_tokens; // of this start
    double first_flops;
};

/* --- job.c: everything up to the first step. --- */

/* Opens model, data, adapter and schedule. dry: writes nothing; the store may stay closed. Returns as train_run(). */
int job_open(struct job *job, struct dist *dist, const struct config *cfg, int dry,
             struct error *err);

/* Reserves the memory of the steps, after plan_make(). */
int job_reserve(struct job *job, struct error *err);
void job_close(struct job *job);

/* --- cores.c --- */

/* The cores this rank is bound to, divided by the ranks of its node that are bound to the same ones. Collective. */
int cores_of_rank(const struct dist *dist, int *cores, struct error *err);

/* --- plan.c --- */

/* For ranks, ranks_per_node of them on a node. global_batch: 0 takes the configuration's. */
int plan_make(struct job *job, int ranks, int ranks_per_node, int64_t global_batch,
              struct error *err);
void plan_print(const struct job *job);

/* Rows of a step on so many ranks. */
int64_t global_batch_of(const struct config *cfg, int ranks);

/* Operations that training a row of the training set takes. */
double row_cost(const struct job *job, size_t row);

/* What the rows of a step come to. */
struct step_size {
    double tokens, labelled;
    double cost;           // operations of all rows
    double largest, least; // of the dearest worker; what no dealing gets below
};

void deal_place(struct deal *deal, struct arena *arena, size_t rows, int workers);

/* Deals a step's rows to the workers of the plan's ranks by cost. Local; the same on all ranks. */
void deal_rows(struct deal *deal, struct step_size *size, const struct job *job,
               const int64_t *rows, size_t count);

/* --- forecast.c: after plan_make(), with rows to train. Local: rank 0 prints. --- */

int forecast_print(struct job *job, struct error *err);

/* --- worker.c: passes side by side. --- */

/* What kernels need to know of a worker where a rank has so many: all threads, or thread number `worker` alone. */
struct nn worker_nn(const struct job *job, int workers, int worker);

/* Lays out the rank's workers in job->arena: measuring, or for real. */
void workers_place(struct job *job);

/* Counted over the ranks: what a deal and an evaluation's cut call it. */
int worker_place(const struct worker *worker);

/* Adds a row to the worker's pass in hand; see batch_add(). Workers may call it at once. */
int worker_add_row(struct worker *worker, const struct sample_set *set, size_t row, uint32_t tag,
                   struct error *err);

/*
 * Calls part for each worker of this rank, all at once; worker 0 is the main thread. Returns 0, or -1
 * with the message of the first worker whose part returned -1. Local.
 */
int workers_run(struct job *job, int (*part)(struct worker *, void *context, struct error *),
                void *context, struct error *err);

/* --- batch.c: rows to passes. --- */

void batch_place(struct batch *batch, struct arena *arena, int N, int leaves, int blocks,
                 int longest);
void batch_reset(struct batch *batch);

/* Adds a row as a leaf with that tag. -1: reading failed. */
int batch_add(struct batch *batch, const struct sample_store *store, const struct sample_set *set,
              size_t row, uint32_t tag, struct error *err);

/* True when a row of these tokens still fits into a pass that is not empty. */
int batch_has_room(const struct batch *batch, const struct plan *plan, int tokens);

/* --- step.c --- */

/* Computes, reduces and applies step job->step. *stop: a rank was asked to stop. */
int step_run(struct job *job, int *stop, struct error *err);

/* --- rate.c --- */

/* Before the first step. Collective. */
int rate_first(struct job *job, struct error *err);

/* Measures again when that costs little beside the time since then. Local; job->step_s is the step's. */
void rate_after_step(struct job *job);

/* The mean over the steps. */
double rate_mean(const struct job *job);

/* --- evaluate.c --- */

/* bound [workers + 1]: the rows of a set that each worker of all ranks evaluates. Local. */
int evaluate_cut(size_t *bound, const struct sample_set *set, int workers, struct error *err);

/* One set; every set but the training set. *stop: a rank was asked to stop and the result is not whole. */
int evaluate_set(struct job *job, const struct sample_set *set, struct eval_record *record,
                 int *stop, struct error *err);
int evaluate_all(struct job *job, int *stop, struct error *err);

/* --- save.c --- */

/* Looks for a state to go on from; resume->found says whether there is one. */
int resume_find(struct job *job, struct ckpt_resume *resume, struct error *err);

/* Takes the found state over: arrays, step, meters, history. */
int resume_take(struct job *job, struct ckpt_resume *resume, struct error *err);

/* With last the state is on disk afterwards, else soon. */
int save_rolling(struct job *job, int last, struct error *err);
int save_checkpoint(struct job *job, struct error *err);
int save_evaluation(struct job *job, struct error *err);
int save_results(struct job *job, const struct summary_record *summary, struct error *err);

/* --- profile_report.c: nothing without `profile: true`. --- */

void profile_report_start(struct job *job);

/* After each step. Collective. */
void profile_report_step(struct job *job);

/* Rank 0 writes the file and prints the table; the others do nothing. */
int profile_report_write(struct job *job, struct error *err);

/* --- steps_log.c: output_dir/steps.jsonl, every step in full precision and without times. --- */

/* Drops the lines after step done. Rank 0. */
int steps_log_open(const char *output_dir, int64_t done, struct error *err);
int steps_log_add(const struct job *job, struct error *err);

#endif
