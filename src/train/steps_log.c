/*
 * train/steps_log.c: one line a step for tools that compare runs.
 *
 *     {"step": 1, "loss": 2.3412..., "grad_norm": 0.81..., "learning_rate": 0.0}
 *
 * No times, so two runs that compute the same leave the same file, and a
 * resumed run leaves the file of one that was never stopped.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "train/train_internal.h"

#define BEGINS "{\"step\": "

static const char name[] = "steps.jsonl";

/* Bytes of the whole lines for steps up to done. */
static size_t kept_length(const char *text, size_t len, int64_t done)
{
    size_t at = 0;

    while (at < len) {
        const char *end = memchr(text + at, '\n', len - at);

        if (!end || strncmp(text + at, BEGINS, strlen(BEGINS)) != 0 ||
            strtoll(text + at + strlen(BEGINS), NULL, 10) > done)
            break;
        at = (size_t)(end - text) + 1;
    }
    return at;
}

int steps_log_open(const char *output_dir, int64_t done, struct error *err)
{
    char *path = path_join(output_dir, name, err), *text = NULL;
    size_t len = 0;
    int rc = -1;

    if (!path || folder_make(output_dir, err) < 0)
        goto out;
    if (file_exists(path) && file_read(path, &text, &len, err) < 0)
        goto out;
    rc = file_write(path, text ? text : "", kept_length(text ? text : "", len, done), err);
out:
    free(text);
    free(path);
    return rc;
}

int steps_log_add(const struct job *job, struct error *err)
{
    struct strbuf line = { 0 };
    char *path = path_join(job->cfg->output_dir, name, err);
    int rc = -1;

    strbuf_printf(&line, BEGINS "%lld, \"loss\": ", (long long)job->step);
    number_add(&line, job->last_loss);
    strbuf_puts(&line, ", \"grad_norm\": ");
    number_add(&line, job->norm);
    strbuf_puts(&line, ", \"learning_rate\": ");
    number_add(&line, job->rate);
    strbuf_puts(&line, "}\n");
    if (path && strbuf_check(&line, err) == 0)
        rc = file_append(path, line.text, line.len, err);
    free(path);
    strbuf_release(&line);
    return rc;
}
