/*
 * train/train.c: the loop.
 *
 * After every step: log, evaluate, save a checkpoint, save the rolling state,
 * in this order, each when it is due. The state comes last, so that whatever
 * a killed run had written after its last state belongs to later steps and is
 * dropped when the run goes on.
 */
#include "train/train.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "dist/signal.h"
#include "train/train_internal.h"

/* Is something due after this many steps? strategy: no, steps, epoch. */
static int due(const struct job *job, const char *strategy, double steps)
{
    int64_t total = job->schedule.total_steps, each;

    if (strcmp(strategy, "epoch") == 0)
        return job->step % job->schedule.steps_per_epoch == 0 || job->step == total;
    if (strcmp(strategy, "steps") != 0)
        return 0;
    each = config_steps(steps, total);
    return each > 0 && job->step % each == 0;
}

static int log_due(const struct job *job)
{
    const struct config *cfg = job->cfg;

    return due(job, cfg->logging_strategy, cfg->logging_steps) ||
           (cfg->logging_first_step && job->step == 1);
}

static int eval_due(const struct job *job)
{
    const struct config *cfg = job->cfg;
    double passed = strcmp(cfg->eval_strategy, "epoch") == 0
                        ? (double)(job->step / job->schedule.steps_per_epoch)
                        : (double)job->step;

    return job->step > 0 && passed >= cfg->eval_delay &&
           due(job, cfg->eval_strategy, cfg->eval_steps);
}

static int save_due(const struct job *job)
{
    const struct config *cfg = job->cfg;

    return strcmp(cfg->save_strategy, "no") != 0 &&
           (due(job, cfg->save_strategy, cfg->save_steps) ||
            job->step == job->schedule.total_steps);
}

static void show_progress(const struct job *job, double loss, int line)
{
    struct strbuf text = { 0 };
    double run_s = clock_s() - job->loop_start_s;
    double train_s = run_s - job->eval_s;
    int64_t done = job->step - job->first_step;
    double flops = job->meters.flops - job->first_flops;
    struct progress progress = {
        .step = job->step,
        .total_steps = job->schedule.total_steps,
        .loss = loss,
        .tokens_per_s = (double)(job->meters.tokens - job->first_tokens) / train_s,
        .gemm_share = flops / train_s / (rate_mean(job) * job->dist->size),
        .left_s = run_s / (double)done * (double)(job->schedule.total_steps - job->step),
    };

    progress_format(&text, &progress, line ? 200 : 80);
    if (line)
        log_info("%s", strbuf_text(&text));
    else
        log_bar("%s", strbuf_text(&text));
    strbuf_release(&text);
}

static int write_train_line(struct job *job, const struct train_record *record, struct error *err)
{
    return job->dist->rank == 0 ? trainer_log_train(&job->log, record, err) : 0;
}

/* The mean loss since the last line, as LLaMA-Factory logs it. */
static int log_step(struct job *job, struct error *err)
{
    struct meters *m = &job->meters;
    struct train_record record = {
        .step = job->step,
        .epoch = schedule_epoch_after(&job->schedule, job->step - 1),
        .loss = m->loss_since_log / (double)m->steps_since_log,
        .grad_norm = job->norm,
        .learning_rate = job->rate,
        .tokens_seen = -1,
    };

    m->loss_since_log = 0.0;
    m->steps_since_log = 0;
    history_add_train(&job->history, &record);
    show_progress(job, record.loss, 1);
    return write_train_line(job, &record, err);
}

static int evaluate_if_due(struct job *job, int *stop, struct error *err)
{
    if (!eval_due(job) || job->meters.evaluated >= job->step)
        return 0;
    if (evaluate_all(job, stop, err) < 0)
        return -1;
    if (!*stop)
        job->meters.evaluated = job->step;
    return 0;
}

/* A stop request at this moment: the limits of time count as one. */
static void watch_time(const struct job *job)
{
    const char *end = getenv("SLURM_JOB_END_TIME");
    double run_s = clock_s() - job->start_s;

    if (job->cfg->max_runtime > 0 && run_s >= (double)job->cfg->max_runtime)
        signal_request_stop(SIGALRM);
    if (end && (double)time(NULL) + 2.0 * job->step_s + 30.0 > strtod(end, NULL))
        signal_request_stop(SIGALRM);
}

static int after_step(struct job *job, int *stop, struct error *err)
{
    int rc = job->dist->rank == 0 ? steps_log_add(job, err) : 0;
    int last = job->step == job->schedule.total_steps;

    if (rc == 0 && log_due(job))
        rc = log_step(job, err);
    else
        show_progress(job, job->last_loss, 0);
    if (dist_agree(job->dist, rc, err) < 0)
        return -1;
    profile_lap(job->nn.profile, PROFILE_OTHER, 0.0);
    if (!*stop && evaluate_if_due(job, stop, err) < 0)
        return -1;
    profile_lap(job->nn.profile, PROFILE_EVALUATION, 0.0);
    if (save_due(job) && save_checkpoint(job, err) < 0)
        return -1;
    last = last || *stop;
    if ((last || job->step % job->cfg->state_steps == 0) && save_rolling(job, last, err) < 0)
        return -1;
    profile_lap(job->nn.profile, PROFILE_SAVING, 0.0);
    return 0;
}

static int interrupted(const struct job *job)
{
    int number = signal_any_stop(job->dist);
    const struct config *cfg = job->cfg;
    const char *from = cfg->resume_from_checkpoint;
    int saved = job->train && job->step > 0;
    int begins_elsewhere = from ? strcmp(from, "true") != 0 : cfg->overwrite_output_dir;

    log_info(
        "stopped by %s after step %lld of %lld%s: run the same command%s to go on (exit status 75)",
        signal_name(number), (long long)job->step, (long long)job->schedule.total_steps,
        saved ? "; the state is saved" : "",
        saved && begins_elsewhere ? " with resume_from_checkpoint=true" : "");
    return TRAIN_INTERRUPTED;
}

static int loop(struct job *job, struct error *err)
{
    int stop = 0;

    job->loop_start_s = clock_s();
    job->first_step = job->step;
    job->first_flops = job->meters.flops;
    job->first_tokens = job->meters.tokens;
    if (job->step > 0 && evaluate_if_due(job, &stop, err) < 0)
        return -1;
    if (job->step == 0 && job->cfg->eval_on_start && evaluate_all(job, &stop, err) < 0)
        return -1;
    profile_report_start(job);
    while (job->step < job->schedule.total_steps) {
        double start = clock_s();

        if (stop)
            return interrupted(job);
        if (step_run(job, &stop, err) < 0 || after_step(job, &stop, err) < 0)
            return -1;
        profile_report_step(job);
        job->step_s = clock_s() - start;
        rate_after_step(job);
        watch_time(job);
    }
    return TRAIN_DONE;
}

static int open_logs(struct job *job, struct error *err)
{
    const char *folder = job->cfg->output_dir;
    int rc = 0;

    if (job->dist->rank == 0 &&
        (steps_log_open(folder, job->step, err) < 0 ||
         trainer_log_open(&job->log, folder, job->schedule.total_steps, job->step, err) < 0 ||
         trainer_log_cut(&job->log, history_count(&job->history), err) < 0))
        rc = -1;
    return dist_agree(job->dist, rc, err);
}

static struct summary_record summarise(const struct job *job)
{
    const struct config *cfg = job->cfg;
    double run_s = clock_s() - job->loop_start_s;

    return (struct summary_record){
        .step = job->step,
        .epoch = schedule_epoch_after(&job->schedule, job->step - 1),
        .total_flos = job->meters.flops,
        .train_loss = job->meters.loss_total / (double)job->step,
        .runtime_s = run_s,
        .samples = cfg->max_steps > 0
                       ? cfg->max_steps * job->plan.global_batch
                       : (int64_t)((double)job->train->count * cfg->num_train_epochs),
        .tokens_seen = -1,
    };
}

/* The evaluation that do_eval asks for, unless the last step had it. */
static int evaluate_at_end(struct job *job, int *stop, struct error *err)
{
    if (!job->cfg->do_eval ||
        (job->train && job->meters.evaluated == job->step && job->eval_count > 0))
        return 0;
    return evaluate_all(job, stop, err);
}

static int finish(struct job *job, struct error *err)
{
    struct summary_record summary = { 0 };
    int stop = 0;

    if (job->train) {
        summary = summarise(job);
        if (save_results(job, &summary, err) < 0)
            return -1;
    }
    if (evaluate_at_end(job, &stop, err) < 0)
        return -1;
    if (stop)
        return interrupted(job);
    if (save_evaluation(job, err) < 0)
        return -1;
    if (job->train)
        log_info("done: %lld steps, mean loss %.4f, %.1f s; the adapter is in '%s'",
                 (long long)job->step, summary.train_loss, summary.runtime_s, job->cfg->output_dir);
    return TRAIN_DONE;
}

static int prepare_steps(struct job *job, struct ckpt_resume *resume, struct error *err)
{
    if (job->train && resume_find(job, resume, err) < 0)
        return -1;
    if (plan_make(job, job->dist->size, job->dist->node_size,
                  resume->found == CKPT_FOUND ? resume->state.global_batch : 0, err) < 0 ||
        job_reserve(job, err) < 0)
        return -1;
    job->meters.evaluated = -1;
    if (resume->found == CKPT_FOUND)
        return resume_take(job, resume, err);
    return 0;
}

static int run_job(struct job *job, struct error *err)
{
    struct ckpt_resume resume = { 0 };
    int rc = prepare_steps(job, &resume, err);

    ckpt_resume_close(&resume);
    if (rc < 0 || rate_first(job, err) < 0)
        return -1;
    if (job->train) {
        if (open_logs(job, err) < 0)
            return -1;
        log_info("train: %zu rows, %lld steps, global batch %lld, passes of up to %d tokens%s",
                 job->train->count, (long long)job->schedule.total_steps,
                 (long long)job->plan.global_batch, job->plan.shape.N,
                 job->plan.workers > 1 ? ", one on each thread" : "");
        rc = loop(job, err);
        if (rc >= 0 && dist_agree(job->dist, profile_report_write(job, err), err) < 0)
            rc = -1;
    }
    return rc == TRAIN_DONE ? finish(job, err) : rc;
}

int train_run(struct dist *dist, const struct config *cfg, struct error *err)
{
    struct job job;
    int rc;

    if (cfg->ranks > 0)
        return error_set(err,
                         "'ranks' is what 'lowrank check' plans for; the launcher says how "
                         "many ranks train, as in mpirun -n %d",
                         cfg->ranks);
    rc = job_open(&job, dist, cfg, 0, err);
    if (rc == TRAIN_INTERRUPTED)
        log_info("stopped before the first step; run the same command again (exit status 75)");
    if (rc == 0)
        rc = run_job(&job, err);
    job_close(&job);
    return rc;
}

int train_check(struct dist *dist, const struct config *cfg, struct error *err)
{
    struct job job;
    int rc = job_open(&job, dist, cfg, 1, err);

    if (rc == 0) {
        rc = plan_make(&job, cfg->ranks > 0 ? cfg->ranks : dist->size,
                       cfg->ranks_per_node > 0 ? cfg->ranks_per_node : dist->node_size, 0, err);
        if (rc == 0 && dist->rank == 0)
            plan_print(&job);
        if (rc == 0 && cfg->ranks > 0 && job.train)
            rc = dist_agree(dist, dist->rank == 0 ? forecast_print(&job, err) : 0, err);
    }
    job_close(&job);
    return rc < 0 ? -1 : 0;
}
