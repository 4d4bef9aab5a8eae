/*
 * report/trainer_state.c: trainer_state.json and the files of results.
 *
 * all_results.json is shared by training and evaluation: what is there and not
 * written now stays. Such a file is one "key": number a line, and is read as
 * lines; a line of another form is dropped.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "report/trainer_log.h"
#include "report_internal.h"

#define STATE_FILE "trainer_state.json"
#define ALL_FILE   "all_results.json"
#define LINES_MAX  1000

static int write_text(const char *folder, const char *name, struct strbuf *text, struct error *err)
{
    char *path = NULL;
    int rc = -1;

    if (strbuf_check(text, err) == 0)
        path = path_join(folder, name, err);
    if (path)
        rc = file_write(path, text->text, text->len, err);
    free(path);
    strbuf_release(text);
    return rc;
}

/* Steps are whole numbers in these files, unless they are shares below 1. */
static void add_steps(struct strbuf *sb, const char *key, double steps)
{
    strbuf_printf(sb, "  \"%s\": ", key);
    if (steps == floor(steps) && fabs(steps) < 1e15)
        strbuf_printf(sb, "%.0f", steps);
    else
        number_add(sb, steps);
    strbuf_puts(sb, ",\n");
}

static void add_callbacks(struct strbuf *sb, int stop)
{
    strbuf_printf(sb,
                  "  \"stateful_callbacks\": {\n"
                  "    \"TrainerControl\": {\n"
                  "      \"args\": {\n"
                  "        \"should_epoch_stop\": false,\n"
                  "        \"should_evaluate\": false,\n"
                  "        \"should_log\": false,\n"
                  "        \"should_save\": true,\n"
                  "        \"should_training_stop\": %s\n"
                  "      },\n"
                  "      \"attributes\": {}\n"
                  "    }\n"
                  "  },\n",
                  stop ? "true" : "false");
}

static void add_history(struct strbuf *sb, const struct history *history)
{
    strbuf_puts(sb, "  \"log_history\": [");
    if (history && history->text.len > 0) {
        strbuf_putc(sb, '\n');
        strbuf_add(sb, history->text.text, history->text.len);
        strbuf_puts(sb, "\n  ");
    }
    strbuf_puts(sb, "],\n");
}

int trainer_state_write(const char *folder, const struct trainer_state *state, struct error *err)
{
    struct strbuf sb = { 0 };

    if (state->history && strbuf_check(&state->history->text, err) < 0)
        return -1;
    strbuf_puts(&sb, "{\n"
                     "  \"best_global_step\": null,\n"
                     "  \"best_metric\": null,\n"
                     "  \"best_model_checkpoint\": null,\n"
                     "  \"epoch\": ");
    number_add(&sb, state->epoch);
    strbuf_puts(&sb, ",\n");
    add_steps(&sb, "eval_steps", state->eval_steps);
    strbuf_printf(&sb, "  \"global_step\": %" PRId64 ",\n", state->global_step);
    strbuf_puts(&sb, "  \"is_hyper_param_search\": false,\n"
                     "  \"is_local_process_zero\": true,\n"
                     "  \"is_world_process_zero\": true,\n");
    add_history(&sb, state->history);
    add_steps(&sb, "logging_steps", state->logging_steps);
    strbuf_printf(&sb, "  \"max_steps\": %" PRId64 ",\n", state->max_steps);
    strbuf_printf(&sb, "  \"num_input_tokens_seen\": %" PRId64 ",\n", state->num_input_tokens_seen);
    strbuf_printf(&sb, "  \"num_train_epochs\": %d,\n", state->num_train_epochs);
    add_steps(&sb, "save_steps", state->save_steps);
    add_callbacks(&sb, state->global_step >= state->max_steps);
    strbuf_puts(&sb, "  \"total_flos\": ");
    number_add(&sb, state->total_flos);
    strbuf_printf(&sb, ",\n  \"train_batch_size\": %d,\n", state->train_batch_size);
    strbuf_puts(&sb, "  \"trial_name\": null,\n  \"trial_params\": null\n}\n");
    return write_text(folder, STATE_FILE, &sb, err);
}

/* Pieces of one text, one for each line "key": number. */
struct lines {
    const char *at[LINES_MAX];
    int count;
};

/* Bytes of the quoted key at the line's start with its colon, or 0. */
static size_t key_length(const char *line)
{
    size_t len = line[0] == '"' ? strcspn(line + 1, "\"\\") : 0;

    return len > 0 && strncmp(line + 1 + len, "\": ", 3) == 0 ? len + 4 : 0;
}

static int is_number(const char *s)
{
    char *end;

    (void)strtod(s, &end);
    return end != s && *end == '\0';
}

/* Adds the lines of text that are "key": number with a key not yet there; text is cut into them. */
static void add_lines(struct lines *lines, char *text)
{
    for (char *line = text; line;) {
        char *next = strchr(line, '\n');
        size_t len, key;
        int known = 0;

        if (next)
            *next++ = '\0';
        line += strspn(line, " \t");
        len = strcspn(line, "\r");
        if (len > 0 && line[len - 1] == ',')
            len--;
        line[len] = '\0';
        key = key_length(line);
        for (int i = 0; i < lines->count && key > 0; i++)
            known |= strncmp(lines->at[i], line, key) == 0;
        if (key > 0 && !known && is_number(line + key) && lines->count < LINES_MAX)
            lines->at[lines->count++] = line;
        line = next;
    }
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int write_lines(const char *folder, const char *name, struct lines *lines, struct error *err)
{
    struct strbuf sb = { 0 };

    qsort(lines->at, (size_t)lines->count, sizeof(lines->at[0]), compare_lines);
    strbuf_puts(&sb, "{");
    for (int i = 0; i < lines->count; i++)
        strbuf_printf(&sb, "%s\n    %s", i > 0 ? "," : "", lines->at[i]);
    strbuf_puts(&sb, "\n}");
    return write_text(folder, name, &sb, err);
}

/* Writes record (lines of "key": number) to its own file and into all_results.json. */
static int write_results(const char *folder, const char *name, struct strbuf *record,
                         struct error *err)
{
    struct lines lines = { .count = 0 };
    char *path = NULL, *old = NULL;
    size_t old_len;
    int rc = -1;

    if (strbuf_check(record, err) < 0 || folder_make(folder, err) < 0)
        goto out;
    add_lines(&lines, record->text);
    if (write_lines(folder, name, &lines, err) < 0)
        goto out;
    path = path_join(folder, ALL_FILE, err);
    if (!path || (file_exists(path) && file_read(path, &old, &old_len, err) < 0))
        goto out;
    if (old)
        add_lines(&lines, old);
    rc = write_lines(folder, ALL_FILE, &lines, err);
out:
    free(path);
    free(old);
    strbuf_release(record);
    return rc;
}

int train_results_write(const char *output_dir, const struct summary_record *record,
                        struct error *err)
{
    struct strbuf sb = { 0 };

    report_summary(&sb, record, 0, "\n");
    return write_results(output_dir, "train_results.json", &sb, err);
}

int eval_results_write(const char *output_dir, const struct eval_record *records, int count,
                       struct error *err)
{
    struct strbuf sb = { 0 };

    for (int i = 0; i < count; i++) {
        report_eval(&sb, &records[i], 0, "\n");
        strbuf_putc(&sb, '\n');
    }
    return write_results(output_dir, "eval_results.json", &sb, err);
}
