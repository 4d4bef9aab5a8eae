/*
 * train/save.c: states, checkpoints, results; and taking a state over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "train/train_internal.h"

/* What a tokenizer may consist of; those that are there go with every adapter. */
static const char *const tokenizer_files[] = { "tokenizer.json",
                                               "tokenizer_config.json",
                                               "special_tokens_map.json",
                                               "added_tokens.json",
                                               "vocab.json",
                                               "merges.txt",
                                               "tokenizer.model",
                                               "chat_template.jinja",
                                               "chat_template.json" };

/* Those files of the model's folder that are there. */
static int copy_tokenizer(const struct job *job, const char *folder, struct error *err)
{
    for (size_t f = 0; f < sizeof(tokenizer_files) / sizeof(tokenizer_files[0]); f++) {
        char *from = path_join(job->model_folder, tokenizer_files[f], err);
        char *to = from ? path_join(folder, tokenizer_files[f], err) : NULL;
        int rc = to ? 0 : -1;

        if (rc == 0 && file_exists(from))
            rc = file_copy(from, to, err);
        free(from);
        free(to);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int write_config(const struct job *job, const char *folder, struct error *err)
{
    struct strbuf text = { 0 };
    char *path = path_join(folder, "lowrank_config.yaml", err);
    int rc = -1;

    config_dump(job->cfg, &text);
    if (path && strbuf_check(&text, err) == 0)
        rc = file_write(path, text.text, text.len, err);
    free(path);
    strbuf_release(&text);
    return rc;
}

static int write_trainer_state(const struct job *job, const char *folder, struct error *err)
{
    const struct config *cfg = job->cfg;
    int64_t total = job->schedule.total_steps;
    struct trainer_state state = {
        .global_step = job->step,
        .max_steps = total,
        .epoch = job->step ? schedule_epoch_after(&job->schedule, job->step - 1) : 0.0,
        .total_flos = job->meters.flops,
        .num_train_epochs = (int)job->schedule.epochs,
        .logging_steps = (double)config_steps(cfg->logging_steps, total),
        .save_steps = (double)config_steps(cfg->save_steps, total),
        .eval_steps = (double)config_steps(cfg->eval_steps, total),
        .train_batch_size = cfg->per_device_train_batch_size,
        .history = &job->history,
    };

    return trainer_state_write(folder, &state, err);
}

/* Everything of a folder that is not the state; rank 0 only. */
static int write_folder(const struct job *job, const char *folder, struct error *err)
{
    if (adapter_save(&job->adapter, NULL, folder, job->cfg->model_name_or_path, err) < 0 ||
        copy_tokenizer(job, folder, err) < 0 || write_config(job, folder, err) < 0)
        return -1;
    return write_trainer_state(job, folder, err);
}

/* --- the state -------------------------------------------------------- */

/* Text and tensor table of a state; borrowed by struct ckpt_state. */
struct state_texts {
    struct strbuf config, meters, versions, compute;
    struct ckpt_tensor *tensors;
    char (*names)[160];
};

static void state_texts_release(struct state_texts *t)
{
    strbuf_release(&t->config);
    strbuf_release(&t->meters);
    strbuf_release(&t->versions);
    strbuf_release(&t->compute);
    free(t->tensors);
    free(t->names);
}

/* Hexadecimal floats: they come back with the same bits. */
static void print_meters(const struct meters *m, struct strbuf *out)
{
    strbuf_printf(out,
                  "loss_since_log %a\nsteps_since_log %lld\nloss_total %a\nflops %a\n"
                  "tokens %lld\nevaluated %lld\n",
                  m->loss_since_log, (long long)m->steps_since_log, m->loss_total, m->flops,
                  (long long)m->tokens, (long long)m->evaluated);
}

static int scan_meters(struct meters *m, const char *text, struct error *err)
{
    long long steps, tokens, evaluated;

    if (sscanf(text,
               "loss_since_log %la\nsteps_since_log %lld\nloss_total %la\nflops %la\ntokens %lld\n"
               "evaluated %lld",
               &m->loss_since_log, &steps, &m->loss_total, &m->flops, &tokens, &evaluated) != 6)
        return error_set(err, "the state's meters cannot be read");
    m->steps_since_log = steps;
    m->tokens = tokens;
    m->evaluated = evaluated;
    return 0;
}

static int fill_tensors(const struct adapter *adapter, struct state_texts *t, struct error *err)
{
    size_t n = (size_t)adapter->count * 2;

    t->tensors = mem_alloc(n, sizeof(*t->tensors), err);
    t->names = mem_alloc(n, sizeof(*t->names), err);
    if (!t->tensors || !t->names)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const struct lora_module *m = &adapter->modules[i / 2];
        int b = i % 2 != 0;

        (void)snprintf(t->names[i], sizeof(t->names[i]), "%s.lora_%c", m->name, b ? 'B' : 'A');
        t->tensors[i] =
            (struct ckpt_tensor){ t->names[i], b ? m->O : adapter->R, b ? adapter->R : m->C,
                                  b ? m->b_offset : m->a_offset };
    }
    return 0;
}

static void print_compute(const struct job *job, struct strbuf *out)
{
    char text[128];

    gemm_describe(&job->nn, text, sizeof(text));
    strbuf_printf(out, "%s", text);
    if (job->nn.backend != GEMM_NATIVE)
        strbuf_printf(out, ", kernels %s, %d threads", nn_isa(&job->nn), job->threads);
}

static int make_state(const struct job *job, struct ckpt_state *state, struct state_texts *t,
                      struct error *err)
{
    const struct schedule *s = &job->schedule;

    config_dump(job->cfg, &t->config);
    print_meters(&job->meters, &t->meters);
    print_compute(job, &t->compute);
    strbuf_puts(&t->versions, "lowrank " LOWRANK_VERSION);
    if (strbuf_check(&t->config, err) < 0 || strbuf_check(&t->meters, err) < 0 ||
        strbuf_check(&t->compute, err) < 0 || strbuf_check(&t->versions, err) < 0 ||
        strbuf_check(&job->history.text, err) < 0 || fill_tensors(&job->adapter, t, err) < 0)
        return -1;
    *state = (struct ckpt_state){
        .step = job->step,
        .epoch = job->step / s->steps_per_epoch,
        .cursor = job->step % s->steps_per_epoch * job->plan.global_batch,
        .tokens_seen = job->meters.tokens,
        .global_batch = job->plan.global_batch,
        .run_key = job->run_key,
        .texts = { [CKPT_CONFIG] = strbuf_text(&t->config),
                   [CKPT_VERSIONS] = strbuf_text(&t->versions),
                   [CKPT_COMPUTE] = strbuf_text(&t->compute),
                   [CKPT_LOG] = strbuf_text(&job->history.text),
                   [CKPT_METERS] = strbuf_text(&t->meters) },
        .tensors = t->tensors,
        .tensor_count = job->adapter.count * 2,
        .params = job->adapter.params,
        .exp_avg = job->exp_avg,
        .exp_avg_sq = job->exp_avg_sq,
        .param_count = job->adapter.param_count,
    };
    return 0;
}

int save_rolling(struct job *job, int last, struct error *err)
{
    struct state_texts texts = { 0 };
    struct ckpt_state state;
    int rc = dist_agree(job->dist, make_state(job, &state, &texts, err), err);

    if (rc == 0)
        rc = last ? ckpt_save_rolling(job->dist, job->cfg->output_dir, &state, err)
                  : ckpt_save_rolling_soon(job->dist, job->cfg->output_dir, &state, &job->flush,
                                           err);
    state_texts_release(&texts);
    return rc;
}

static int fill_folder(struct job *job, struct ckpt_folder *folder, const struct ckpt_state *state,
                       struct error *err)
{
    int rc = 0;

    if (job->dist->rank == 0 &&
        (write_folder(job, folder->path, err) < 0 || trainer_log_sync(&job->log, err) < 0))
        rc = -1;
    if (dist_agree(job->dist, rc, err) < 0)
        return -1;
    if (!job->cfg->save_only_model && ckpt_save_state(job->dist, folder->path, state, err) < 0)
        return -1;
    return ckpt_folder_publish(folder, err);
}

int save_checkpoint(struct job *job, struct error *err)
{
    struct ckpt_folder folder = { 0 };
    struct state_texts texts = { 0 };
    struct ckpt_state state;
    int rc = dist_agree(job->dist, make_state(job, &state, &texts, err), err);

    if (rc == 0)
        rc = ckpt_folder_open(&folder, job->dist, job->cfg->output_dir, job->step, err);
    if (rc == 0)
        rc = fill_folder(job, &folder, &state, err);
    ckpt_folder_close(&folder);
    state_texts_release(&texts);
    if (rc < 0)
        return -1;
    log_info("step %lld: saved '%s/checkpoint-%lld'", (long long)job->step, job->cfg->output_dir,
             (long long)job->step);
    if (job->cfg->save_total_limit <= 0)
        return 0;
    return ckpt_prune(job->dist, job->cfg->output_dir, job->step, job->cfg->save_total_limit, err);
}

/* --- the end ------------------------------------------------------------ */

static int write_results(struct job *job, const struct summary_record *summary, struct error *err)
{
    const char *folder = job->cfg->output_dir;

    history_add_summary(&job->history, summary);
    if (write_folder(job, folder, err) < 0 || train_results_write(folder, summary, err) < 0)
        return -1;
    return trainer_log_end(&job->log, summary, err);
}

int save_results(struct job *job, const struct summary_record *summary, struct error *err)
{
    int rc = job->dist->rank == 0 ? write_results(job, summary, err) : 0;

    return dist_agree(job->dist, rc, err);
}

int save_evaluation(struct job *job, struct error *err)
{
    const char *folder = job->cfg->output_dir;
    int rc = 0;

    if (job->eval_count == 0)
        return 0;
    if (job->dist->rank == 0 && (folder_make(folder, err) < 0 ||
                                 eval_results_write(folder, job->evals, job->eval_count, err) < 0))
        rc = -1;
    return dist_agree(job->dist, rc, err);
}

/* --- resuming ------------------------------------------------------------ */

/* Whether this start may go on from a state, and from which. */
static int find_state(struct job *job, struct ckpt_resume *resume, struct error *err)
{
    const struct config *cfg = job->cfg;
    const char *from = cfg->resume_from_checkpoint;

    if (from && strcmp(from, "true") != 0 && job->requeued) { // it has gone on from there before
        if (ckpt_resume_open(resume, job->dist, cfg->output_dir, &job->run_key, err) < 0)
            return -1;
        if (resume->found == CKPT_FOUND)
            return 0;
        ckpt_resume_close(resume);
    }
    if (from && strcmp(from, "true") != 0)
        return ckpt_resume_from(resume, job->dist, from, &job->run_key, err);
    if (cfg->overwrite_output_dir && !job->requeued && !from) {
        log_info("start: from step 0, since overwrite_output_dir is true and this is no requeued "
                 "job");
        return ckpt_forget(job->dist, cfg->output_dir, err);
    }
    return ckpt_resume_open(resume, job->dist, cfg->output_dir, &job->run_key, err);
}

/* The line of text that begins with these bytes, or NULL. */
static const char *line_with(const char *text, const char *begin, size_t len)
{
    while (text && strncmp(text, begin, len) != 0) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return text;
}

/* Adds those lines of mine, "key: value" each, that theirs has with another value. */
static void add_differences(struct strbuf *out, const char *mine, const char *theirs)
{
    for (size_t len; *mine; mine += len + (mine[len] == '\n')) {
        size_t key = strcspn(mine, ":\n") + 1, others;
        const char *line = line_with(theirs, mine, key);

        len = strcspn(mine, "\n");
        others = line ? strcspn(line, "\n") : 0;
        if (line && (others != len || strncmp(line, mine, len) != 0))
            strbuf_printf(out, "%s%.*s (here%.*s)", out->len ? ", " : "", (int)others, line,
                          (int)(len - key), mine + key);
    }
}

/* What of its configuration decides the result and is otherwise here, "key: its value (here ours)". */
static void describe_difference(const struct job *job, const char *saved, struct strbuf *out)
{
    struct strbuf mine = { 0 }, theirs = { 0 };
    struct config cfg;
    struct error ignored;

    if (config_parse(&cfg, saved, strlen(saved), "state", NULL, 0, &ignored) == 0) {
        config_result_text(job->cfg, &mine);
        config_result_text(&cfg, &theirs);
        add_differences(out, strbuf_text(&mine), strbuf_text(&theirs));
        config_release(&cfg);
    }
    if (out->len == 0)
        strbuf_puts(out, "the batch, the data, the model or the adapter it began with");
    strbuf_release(&mine);
    strbuf_release(&theirs);
}

/* Who asked to go on is not started over, whatever overwrite_output_dir says. */
static int refuse_other_run(const struct job *job, const struct ckpt_resume *resume,
                            struct error *err)
{
    struct strbuf what = { 0 };
    int rc = -1;

    describe_difference(job, resume->state.texts[CKPT_CONFIG], &what);
    if (job->cfg->overwrite_output_dir && !job->cfg->resume_from_checkpoint) {
        log_warn("'%s' is the state of another run, with %s: starting over, as "
                 "overwrite_output_dir says",
                 resume->path, strbuf_text(&what));
        rc = ckpt_forget(job->dist, job->cfg->output_dir, err);
    } else {
        (void)error_set(err,
                        "'%s' is the state of another run, with %s: go back to that, or start "
                        "another run in another output_dir, or with overwrite_output_dir and "
                        "without resume_from_checkpoint",
                        resume->path, strbuf_text(&what));
    }
    strbuf_release(&what);
    return rc;
}

int resume_find(struct job *job, struct ckpt_resume *resume, struct error *err)
{
    char *adapter = NULL;
    int rc = find_state(job, resume, err);

    if (rc < 0)
        return -1;
    if (resume->found == CKPT_OTHER_RUN)
        return refuse_other_run(job, resume, err);
    if (resume->found == CKPT_NONE && (job->requeued || job->cfg->resume_from_checkpoint))
        log_info("start: from step 0, since there is no state in '%s'", job->cfg->output_dir);
    if (resume->found == CKPT_FOUND || job->cfg->overwrite_output_dir)
        return 0;
    if (job->dist->rank == 0) {
        adapter = path_join(job->cfg->output_dir, "adapter_model.safetensors", err);
        rc = adapter ? 0 : -1;
        if (adapter && file_exists(adapter))
            rc = error_set(err,
                           "'%s' holds an adapter but no state to go on from; set "
                           "overwrite_output_dir to start over",
                           job->cfg->output_dir);
        free(adapter);
    }
    return dist_agree(job->dist, rc, err);
}

int resume_take(struct job *job, struct ckpt_resume *resume, struct error *err)
{
    struct strbuf compute = { 0 };
    const char *log = resume->state.texts[CKPT_LOG];
    int64_t begins = global_batch_of(job->cfg, job->dist->size);
    int rc = scan_meters(&job->meters, resume->state.texts[CKPT_METERS], err);

    if (rc == 0)
        rc = history_restore(&job->history, log, strlen(log), err);
    if (dist_agree(job->dist, rc, err) < 0 ||
        ckpt_resume_arrays(resume, job->adapter.params, job->exp_avg, job->exp_avg_sq,
                           job->adapter.param_count, err) < 0)
        return -1;
    job->step = resume->state.step;
    log_info("start: going on after step %lld, from '%s'", (long long)job->step, resume->path);
    if (job->plan.global_batch != begins)
        log_info("start: the global batch stays %lld rows; a new run on %d ranks would have %lld",
                 (long long)job->plan.global_batch, job->dist->size, (long long)begins);
    print_compute(job, &compute);
    if (strcmp(strbuf_text(&compute), resume->state.texts[CKPT_COMPUTE]) != 0)
        log_warn("the state was computed with %s and goes on with %s: bits may differ from an "
                 "uninterrupted run",
                 resume->state.texts[CKPT_COMPUTE], strbuf_text(&compute));
    strbuf_release(&compute);
    return 0;
}
