/*
 * tests of report/trainer_log.h; the records are those of
 * tests/golden/make_report.py
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "report/trainer_log.h"

#define GOLDEN "tests/golden/report/"

static const struct train_record trains[2] = {
    { .step = 2, .epoch = 0.5, .loss = 2.3456789, .grad_norm = 1.25, .tokens_seen = -1 },
    { .step = 4,
      .epoch = 1.0,
      .loss = (double)NAN,
      .grad_norm = (double)NAN,
      .learning_rate = 9.5e-05,
      .tokens_seen = -1 },
};
static const struct eval_record eval = { .name = "eval",
                                         .step = 4,
                                         .epoch = 1.0,
                                         .loss = 1.75,
                                         .runtime_s = 2.00006,
                                         .samples = 7,
                                         .steps = 4 };
static const struct summary_record summary = { .step = 6,
                                               .epoch = 1.5,
                                               .total_flos = 123456789012345678.0,
                                               .train_loss = 1.9,
                                               .runtime_s = 10.5,
                                               .samples = 12,
                                               .tokens_seen = -1 };

/* Temporary folder of this process; removed by main. */
static char folder[64];

static char *in_folder(const char *name)
{
    static char path[160];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static char *read_text(const char *path)
{
    struct error err;
    char *text;
    size_t len;

    assert_int_equal(file_read(path, &text, &len, &err), 0);
    return text;
}

static void assert_same_file(const char *name)
{
    char golden[128], *a, *b;

    (void)snprintf(golden, sizeof(golden), GOLDEN "%s", name);
    a = read_text(in_folder(name));
    b = read_text(golden);
    assert_string_equal(a, b);
    free(a);
    free(b);
}

/* Writes the lines of steps in (from, to], as if each came 10 s after the last. */
static void write_lines(struct trainer_log *log, int64_t from, int64_t to, double seconds)
{
    struct error err;

    for (int i = 0; i < 2; i++) {
        if (trains[i].step <= from || trains[i].step > to)
            continue;
        log->start_s = clock_s() - (seconds += 10) - 0.01;
        assert_int_equal(trainer_log_train(log, &trains[i], &err), 0);
    }
    if (eval.step > from && eval.step <= to) {
        log->start_s = clock_s() - (seconds += 10) - 0.01;
        assert_int_equal(trainer_log_eval(log, &eval, &err), 0);
    }
    if (summary.step <= to) {
        log->start_s = clock_s() - (seconds += 10) - 0.01;
        assert_int_equal(trainer_log_end(log, &summary, &err), 0);
    }
    assert_int_equal(trainer_log_sync(log, &err), 0);
}

static void lines_are_those_of_llamafactory(void **state)
{
    struct trainer_log log;
    struct error err;

    (void)state;
    assert_int_equal(trainer_log_open(&log, folder, 6, 0, &err), 0);
    write_lines(&log, 0, 6, 0);
    trainer_log_close(&log);
    assert_same_file("trainer_log.jsonl");
}

/* The text with every digit of a time replaced. */
static char *without_times(const char *name)
{
    char *text = read_text(in_folder(name));

    for (char *s = text; (s = strstr(s, "_time\": \"")) != NULL;) {
        for (s += strlen("_time\": \""); *s != '"'; s++)
            *s = '#';
    }
    return text;
}

static void a_run_killed_at_any_step_leaves_the_same_lines(void **state)
{
    struct trainer_log log;
    struct error err;
    char *whole, *text;

    (void)state;
    assert_int_equal(trainer_log_open(&log, folder, 6, 0, &err), 0);
    write_lines(&log, 0, 6, 0);
    trainer_log_close(&log);
    whole = without_times("trainer_log.jsonl");
    for (int64_t reached = 0; reached <= 6; reached++) {
        for (int64_t saved = 0; saved <= reached; saved++) {
            assert_int_equal(trainer_log_open(&log, folder, 6, 0, &err), 0);
            write_lines(&log, 0, reached, 0);
            trainer_log_close(&log);
            assert_int_equal(file_append(in_folder("trainer_log.jsonl"), "{\"current_st", 12, &err),
                             0);
            assert_int_equal(trainer_log_open(&log, folder, 6, saved, &err), 0);
            write_lines(&log, saved, 6, 0);
            trainer_log_close(&log);
            text = without_times("trainer_log.jsonl");
            assert_string_equal(text, whole);
            free(text);
        }
    }
    free(whole);
}

static void time_left_counts_only_the_steps_since_this_start(void **state)
{
    struct trainer_log log;
    struct train_record record = trains[0];
    struct error err;
    char *text;

    (void)state;
    assert_int_equal(trainer_log_open(&log, in_folder("resumed"), 100, 90, &err), 0);
    log.start_s = clock_s() - 50.01;
    log.first_tokens = 1000;
    record.step = 95;
    record.tokens_seen = 2000;
    assert_int_equal(trainer_log_train(&log, &record, &err), 0);
    trainer_log_close(&log);
    text = read_text(in_folder("resumed/trainer_log.jsonl"));
    assert_non_null(strstr(text, "\"elapsed_time\": \"0:00:50\", \"remaining_time\": \"0:00:50\", "
                                 "\"throughput\": 2"));
    assert_non_null(strstr(text, "0, \"total_tokens\": 2000}\n"));
    free(text);
}

static void fill(struct history *history)
{
    history_add_train(history, &trains[0]);
    history_add_train(history, &trains[1]);
    history_add_eval(history, &eval);
    history_add_summary(history, &summary);
}

static void the_state_is_that_of_the_trainer(void **state)
{
    struct history history = { 0 };
    const struct trainer_state trainer = { .global_step = 6,
                                           .max_steps = 6,
                                           .epoch = 1.5,
                                           .total_flos = 123456789012345678.0,
                                           .num_train_epochs = 2,
                                           .logging_steps = 2,
                                           .save_steps = 500,
                                           .eval_steps = 500,
                                           .train_batch_size = 2,
                                           .history = &history };
    struct error err;

    (void)state;
    fill(&history);
    assert_int_equal(trainer_state_write(folder, &trainer, &err), 0);
    assert_same_file("trainer_state.json");
    history_release(&history);
}

static void a_history_goes_through_a_checkpoint(void **state)
{
    struct history whole = { 0 }, half = { 0 }, restored = { 0 };
    struct error err;

    (void)state;
    fill(&whole);
    history_add_train(&half, &trains[0]);
    history_add_train(&half, &trains[1]);
    assert_int_equal(history_restore(&restored, half.text.text, half.text.len, &err), 0);
    history_add_eval(&restored, &eval);
    history_add_summary(&restored, &summary);
    assert_string_equal(restored.text.text, whole.text.text);
    assert_int_equal(history_restore(&restored, "x", 1, &err), -1);
    assert_int_equal(history_restore(&restored, whole.text.text, whole.text.len - 1, &err), -1);
    assert_int_equal(history_restore(&restored, "", 0, &err), 0);
    assert_int_equal(restored.text.len, 0);
    history_release(&whole);
    history_release(&half);
    history_release(&restored);
}

static void results_are_those_of_the_trainer(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(train_results_write(folder, &summary, &err), 0);
    assert_int_equal(eval_results_write(folder, &eval, 1, &err), 0);
    assert_same_file("train_results.json");
    assert_same_file("eval_results.json");
    assert_same_file("all_results.json");
}

static void what_others_wrote_to_all_results_stays(void **state)
{
    static const char other[] = "{\n    \"epoch\": 9.0,\n    \"predict_bleu-4\": 1.5,\r\n"
                                "    \"x\": [1],\n    zzz\n    \"train_loss\": 3\n}";
    struct error err;
    char *text;

    (void)state;
    assert_int_equal(folder_make(in_folder("others"), &err), 0);
    assert_int_equal(file_write(in_folder("others/all_results.json"), other, strlen(other), &err),
                     0);
    assert_int_equal(eval_results_write(in_folder("others"), &eval, 1, &err), 0);
    text = read_text(in_folder("others/all_results.json"));
    assert_string_equal(text, "{\n    \"epoch\": 1.0,\n    \"eval_loss\": 1.75,\n"
                              "    \"eval_runtime\": 2.0001,\n"
                              "    \"eval_samples_per_second\": 3.5,\n"
                              "    \"eval_steps_per_second\": 2.0,\n"
                              "    \"predict_bleu-4\": 1.5,\n    \"train_loss\": 3\n}");
    free(text);
}

/* Killed after the evaluation of a step whose state was saved before it. */
static void a_line_that_the_history_does_not_have_is_cut(void **state)
{
    struct history history = { 0 };
    struct trainer_log log;
    struct error err;
    char *text;

    (void)state;
    assert_int_equal(history_count(&history), 0);
    history_add_train(&history, &trains[0]);
    history_add_train(&history, &trains[1]);
    assert_int_equal(history_count(&history), 2);
    assert_int_equal(trainer_log_open(&log, folder, 6, 0, &err), 0);
    write_lines(&log, 0, 5, 0);
    trainer_log_close(&log);
    assert_int_equal(trainer_log_open(&log, folder, 6, 4, &err), 0);
    assert_int_equal(trainer_log_cut(&log, history_count(&history), &err), 0);
    text = read_text(in_folder("trainer_log.jsonl"));
    assert_null(strstr(text, "eval_loss"));
    assert_non_null(strstr(text, "\"current_steps\": 4"));
    free(text);
    assert_int_equal(trainer_log_cut(&log, 7, &err), 0);
    assert_int_equal(trainer_log_cut(&log, 0, &err), 0);
    text = read_text(in_folder("trainer_log.jsonl"));
    assert_string_equal(text, "");
    free(text);
    trainer_log_close(&log);
    history_release(&history);
}

static void the_bar_fits_its_columns(void **state)
{
    const struct progress progress = { .step = 12,
                                       .total_steps = 100,
                                       .loss = 1.23456,
                                       .tokens_per_s = 812,
                                       .gemm_share = 0.72,
                                       .left_s = 62 };
    const struct progress start = { .total_steps = 100, .gemm_share = -1, .left_s = -1 };
    struct strbuf line = { 0 };

    (void)state;
    progress_format(&line, &progress, 80);
    assert_string_equal(line.text, "12/100  12% |#               | loss 1.2346  812 tok/s  "
                                   "72% of gemm  0:01:02 left");
    for (int columns = 1; columns < 200; columns++) {
        progress_format(&line, &progress, columns);
        assert_true(line.len <= (size_t)columns);
    }
    progress_format(&line, &start, 40);
    assert_string_equal(line.text, "0/100   0% |                           |");
    strbuf_release(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_those_of_llamafactory),
        cmocka_unit_test(a_run_killed_at_any_step_leaves_the_same_lines),
        cmocka_unit_test(time_left_counts_only_the_steps_since_this_start),
        cmocka_unit_test(the_state_is_that_of_the_trainer),
        cmocka_unit_test(a_history_goes_through_a_checkpoint),
        cmocka_unit_test(results_are_those_of_the_trainer),
        cmocka_unit_test(what_others_wrote_to_all_results_stays),
        cmocka_unit_test(a_line_that_the_history_does_not_have_is_cut),
        cmocka_unit_test(the_bar_fits_its_columns),
    };
    struct error err;
    int failed;

    (void)snprintf(folder, sizeof(folder), "/tmp/lowrank-report-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)folder_remove(folder, &err);
    return failed;
}
