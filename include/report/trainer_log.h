/*
 * report/trainer_log.h: what a run leaves for people and tools to read:
 * trainer_log.jsonl, trainer_state.json, train_results.json,
 * eval_results.json, all_results.json; and the line of the progress bar.
 *
 * Names, order of keys and forms of numbers are those of LLaMA-Factory 0.9.5
 * on transformers 5.6, where losses are not rounded (older versions cut them to
 * 4 decimals); a NaN is written as NaN, as Python does.
 *
 * Everything here is local and for rank 0 alone; texts are equal between runs
 * but for the times in them. Only trainer_log.jsonl, train_results.json,
 * eval_results.json, all_results.json and the last entries of log_history
 * hold times.
 */
#ifndef REPORT_TRAINER_LOG_H
#define REPORT_TRAINER_LOG_H

#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

/* --- the history: log_history of trainer_state.json ------------------- */

/*
 * Entries as they stand in trainer_state.json. text can be saved in a
 * checkpoint and given back to history_restore(); { 0 } is empty.
 */
struct history {
    struct strbuf text;
};

/* A line of training: the mean loss since the last one. */
struct train_record {
    int64_t step;
    double epoch;
    double loss, grad_norm, learning_rate; // full precision; rounding is ours
    int64_t tokens_seen;                   // num_input_tokens_seen; -1: not reported
};

struct eval_record {
    const char *name; // of the set; keys begin with it: eval_loss, eval_NAME_loss
    int64_t step;
    double epoch;
    double loss;
    double runtime_s;
    int64_t samples, steps; // rows and batches evaluated
};

/* The end of training. */
struct summary_record {
    int64_t step; // updates made in all
    double epoch;
    double total_flos, train_loss, runtime_s;
    int64_t samples;     // rows x epochs, or global batch x max_steps, for the rates
    int64_t tokens_seen; // -1: not reported
};

void history_add_train(struct history *history, const struct train_record *record);
void history_add_eval(struct history *history, const struct eval_record *record);
void history_add_summary(struct history *history, const struct summary_record *record);

/* How many entries there are. */
int64_t history_count(const struct history *history);

/* Takes over text saved from history.text; checks its outer form. */
int history_restore(struct history *history, const char *text, size_t len, struct error *err);
void history_release(struct history *history);

/* --- trainer_log.jsonl --------------------------------------------------- */

struct trainer_log {
    char *path;
    int64_t total_steps;
    int64_t first_step, first_tokens; // done before this start; the caller may set first_tokens
    double start_s;                   // clock_s() at open
};

/*
 * Opens output_dir/trainer_log.jsonl to go on after step done: lines of later
 * steps, the closing line and a torn last line are dropped (the file is
 * replaced whole); with done 0 the file begins empty. So a run that was killed
 * and resumed leaves the lines of one that was not, but for their times.
 */
int trainer_log_open(struct trainer_log *log, const char *output_dir, int64_t total_steps,
                     int64_t done, struct error *err);

/*
 * Drops all lines but the first ones: for a run that goes on, history_count() of
 * the history it goes on with, so that an evaluation made after the state was
 * saved is not logged twice.
 */
int trainer_log_cut(struct trainer_log *log, int64_t lines, struct error *err);

/* One line each. Time left is that of the steps since this start. */
int trainer_log_train(struct trainer_log *log, const struct train_record *record,
                      struct error *err);
int trainer_log_eval(struct trainer_log *log, const struct eval_record *record, struct error *err);
int trainer_log_end(struct trainer_log *log, const struct summary_record *record,
                    struct error *err);

/* Flushes the lines to disk: before a checkpoint is published, as it stands for them. */
int trainer_log_sync(struct trainer_log *log, struct error *err);

/* Accepts { 0 }. */
void trainer_log_close(struct trainer_log *log);

/* --- trainer_state.json -------------------------------------------------- */

struct trainer_state {
    int64_t global_step, max_steps;
    double epoch, total_flos;
    int num_train_epochs; // as the trainer counts them: rounded up
    double logging_steps, save_steps, eval_steps;
    int train_batch_size; // per device
    int64_t num_input_tokens_seen;
    const struct history *history;
};

/* folder: output_dir or a checkpoint. */
int trainer_state_write(const char *folder, const struct trainer_state *state, struct error *err);

/* --- results ------------------------------------------------------------- */

/* train_results.json; all_results.json gets the same keys beside those it has. */
int train_results_write(const char *output_dir, const struct summary_record *record,
                        struct error *err);

/* eval_results.json, of all sets; all_results.json likewise. */
int eval_results_write(const char *output_dir, const struct eval_record *records, int count,
                       struct error *err);

/* --- progress ------------------------------------------------------------ */

struct progress {
    int64_t step, total_steps;
    double loss;
    double tokens_per_s;
    double gemm_share; // of the measured matrix rate, 0 to 1; negative: unknown
    double left_s;     // negative: unknown
};

/* " 12/100  12% |###      | loss 1.2345  812 tok/s  72% of gemm  0:01:02 left", cut to columns. */
void progress_format(struct strbuf *line, const struct progress *progress, int columns);

#endif
