/*
 * report/trainer_log.c: trainer_log.jsonl.
 *
 * Lines are ours or LLaMA-Factory's, which begin alike; whatever else a file
 * holds from some line on is dropped when the file is opened to go on.
 */
#include "report/trainer_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "report_internal.h"

#define LOG_FILE "trainer_log.jsonl"
#define BEGINS   "{\"current_steps\": "

/* True when the line [s, end) is one of training or evaluation at a step of at most done. */
static int keeps(const char *s, const char *end, int64_t done)
{
    char line[256];
    size_t len = (size_t)(end - s) < sizeof(line) - 1 ? (size_t)(end - s) : sizeof(line) - 1;
    char *after;
    long long step;

    memcpy(line, s, len);
    line[len] = '\0';
    if (strncmp(line, BEGINS, strlen(BEGINS)) != 0)
        return 0;
    step = strtoll(line + strlen(BEGINS), &after, 10);
    if (step < 0 || step > done || strncmp(after, ", \"", 3) != 0)
        return 0;
    return strstr(after, "loss\": ") != NULL;
}

/* Bytes of text, from its start, that stay when going on after step done. */
static size_t kept_length(const char *text, size_t len, int64_t done)
{
    size_t kept = 0;

    while (kept < len) {
        const char *end = memchr(text + kept, '\n', len - kept);

        if (!end || !keeps(text + kept, end, done))
            break;
        kept = (size_t)(end - text) + 1;
    }
    return kept;
}

/* Bytes of its first lines. */
static size_t length_of_lines(const char *text, size_t len, int64_t lines)
{
    size_t at = 0;

    for (; lines > 0 && at < len; lines--) {
        const char *end = memchr(text + at, '\n', len - at);

        at = end ? (size_t)(end - text) + 1 : len;
    }
    return at;
}

/* Keeps the first lines of steps of at most done; the file is replaced only when it changes. */
static int cut_file(const char *path, int64_t done, int64_t lines, struct error *err)
{
    char *text = NULL;
    size_t len, kept;
    int rc = 0;

    if (!file_exists(path))
        return 0;
    if (file_read(path, &text, &len, err) < 0)
        return -1;
    kept = length_of_lines(text, kept_length(text, len, done), lines);
    if (kept < len)
        rc = file_write(path, text, kept, err);
    free(text);
    return rc;
}

int trainer_log_open(struct trainer_log *log, const char *output_dir, int64_t total_steps,
                     int64_t done, struct error *err)
{
    *log = (struct trainer_log){ .total_steps = total_steps, .first_step = done };
    if (folder_make(output_dir, err) < 0)
        return -1;
    log->path = path_join(output_dir, LOG_FILE, err);
    if (!log->path)
        return -1;
    if (cut_file(log->path, done, done > 0 ? INT64_MAX : 0, err) < 0) {
        trainer_log_close(log);
        return -1;
    }
    log->start_s = clock_s();
    return 0;
}

int trainer_log_cut(struct trainer_log *log, int64_t lines, struct error *err)
{
    return cut_file(log->path, log->first_step, lines, err);
}

static void add_real(struct strbuf *line, const char *key, double x)
{
    strbuf_printf(line, ", \"%s\": ", key);
    number_add(line, x);
}

static void begin(const struct trainer_log *log, struct strbuf *line, int64_t step)
{
    strbuf_printf(line, BEGINS "%" PRId64 ", \"total_steps\": %" PRId64, step, log->total_steps);
}

/* What every line ends with, and its append to the file. */
static int finish(struct trainer_log *log, struct strbuf *line, int64_t step, double epoch,
                  int64_t tokens, struct error *err)
{
    double elapsed = clock_s() - log->start_s;
    int64_t steps = step - log->first_step;
    double left = steps > 0 ? elapsed / (double)steps * (double)(log->total_steps - step) : 0;
    int rc;

    add_real(line, "epoch", epoch);
    if (log->total_steps > 0)
        add_real(line, "percentage",
                 number_round((double)step / (double)log->total_steps * 100, 2));
    else
        strbuf_puts(line, ", \"percentage\": 100");
    strbuf_puts(line, ", \"elapsed_time\": \"");
    number_add_duration(line, elapsed);
    strbuf_puts(line, "\", \"remaining_time\": \"");
    number_add_duration(line, left);
    strbuf_putc(line, '"');
    if (tokens > 0) {
        add_real(line, "throughput",
                 elapsed > 0 ? number_round((double)(tokens - log->first_tokens) / elapsed, 2) : 0);
        strbuf_printf(line, ", \"total_tokens\": %" PRId64, tokens);
    }
    strbuf_puts(line, "}\n");
    rc = strbuf_check(line, err);
    if (rc == 0)
        rc = file_append(log->path, line->text, line->len, err);
    strbuf_release(line);
    return rc;
}

int trainer_log_train(struct trainer_log *log, const struct train_record *record, struct error *err)
{
    struct strbuf line = { 0 };

    begin(log, &line, record->step);
    add_real(&line, "loss", record->loss);
    add_real(&line, "lr", record->learning_rate);
    return finish(log, &line, record->step, record->epoch, record->tokens_seen, err);
}

int trainer_log_eval(struct trainer_log *log, const struct eval_record *record, struct error *err)
{
    struct strbuf line = { 0 };

    begin(log, &line, record->step);
    strbuf_puts(&line, ", ");
    report_set_key(&line, record->name, "loss");
    number_add(&line, record->loss);
    return finish(log, &line, record->step, record->epoch, -1, err);
}

int trainer_log_end(struct trainer_log *log, const struct summary_record *record, struct error *err)
{
    struct strbuf line = { 0 };

    begin(log, &line, record->step);
    return finish(log, &line, record->step, record->epoch, record->tokens_seen, err);
}

int trainer_log_sync(struct trainer_log *log, struct error *err)
{
    return file_exists(log->path) ? file_sync(log->path, err) : 0;
}

void trainer_log_close(struct trainer_log *log)
{
    free(log->path);
    *log = (struct trainer_log){ 0 };
}
