/*
 * report/history.c: entries of log_history.
 *
 * The text is what stands between the brackets of log_history in
 * trainer_state.json, so writing that file needs no parsing.
 */
#include <inttypes.h>
#include <string.h>

#include "base/number.h"
#include "report/trainer_log.h"
#include "report_internal.h"

#define OPEN    "    {\n      "
#define BETWEEN ",\n      "
#define CLOSE   "\n    }"

double report_rate(double count, double seconds)
{
    return number_round(count / seconds, 3);
}

static void add_real(struct strbuf *sb, const char *key, double x, const char *between)
{
    strbuf_printf(sb, "\"%s\": ", key);
    number_add(sb, x);
    strbuf_puts(sb, between);
}

static void add_int(struct strbuf *sb, const char *key, int64_t x, const char *between)
{
    strbuf_printf(sb, "\"%s\": %" PRId64 "%s", key, x, between);
}

void report_summary(struct strbuf *sb, const struct summary_record *record, int with_step,
                    const char *between)
{
    int has_rates = record->runtime_s > 0;

    add_real(sb, "epoch", record->epoch, between);
    if (record->tokens_seen >= 0)
        add_int(sb, "num_input_tokens_seen", record->tokens_seen, between);
    if (with_step)
        add_int(sb, "step", record->step, between);
    add_real(sb, "total_flos", record->total_flos, between);
    add_real(sb, "train_loss", record->train_loss, between);
    add_real(sb, "train_runtime", number_round(record->runtime_s, 4), has_rates ? between : "");
    if (!has_rates)
        return;
    add_real(sb, "train_samples_per_second",
             report_rate((double)record->samples, record->runtime_s), between);
    add_real(sb, "train_steps_per_second", report_rate((double)record->step, record->runtime_s),
             "");
}

void report_set_key(struct strbuf *sb, const char *set, const char *what)
{
    strbuf_putc(sb, '"');
    for (const char *s = set; *s; s++)
        strbuf_putc(sb, *s == '"' || *s == '\\' || (unsigned char)*s < ' ' ? '_' : *s);
    strbuf_printf(sb, "_%s\": ", what);
}

static void add_of_set(struct strbuf *sb, const char *set, const char *what, double x,
                       const char *between)
{
    report_set_key(sb, set, what);
    number_add(sb, x);
    strbuf_puts(sb, between);
}

void report_eval(struct strbuf *sb, const struct eval_record *record, int with_step,
                 const char *between)
{
    const char *after_rates = with_step ? between : "";
    int has_rates = record->runtime_s > 0;

    add_real(sb, "epoch", record->epoch, between);
    add_of_set(sb, record->name, "loss", record->loss, between);
    add_of_set(sb, record->name, "runtime", number_round(record->runtime_s, 4),
               has_rates ? between : after_rates);
    if (has_rates) {
        add_of_set(sb, record->name, "samples_per_second",
                   report_rate((double)record->samples, record->runtime_s), between);
        add_of_set(sb, record->name, "steps_per_second",
                   report_rate((double)record->steps, record->runtime_s), after_rates);
    }
    if (with_step)
        add_int(sb, "step", record->step, "");
}

static struct strbuf *begin(struct history *history)
{
    if (history->text.len > 0)
        strbuf_puts(&history->text, ",\n");
    strbuf_puts(&history->text, OPEN);
    return &history->text;
}

void history_add_train(struct history *history, const struct train_record *record)
{
    struct strbuf *sb = begin(history);

    add_real(sb, "epoch", record->epoch, BETWEEN);
    add_real(sb, "grad_norm", record->grad_norm, BETWEEN);
    add_real(sb, "learning_rate", record->learning_rate, BETWEEN);
    add_real(sb, "loss", record->loss, BETWEEN);
    if (record->tokens_seen >= 0)
        add_int(sb, "num_input_tokens_seen", record->tokens_seen, BETWEEN);
    add_int(sb, "step", record->step, CLOSE);
}

void history_add_eval(struct history *history, const struct eval_record *record)
{
    report_eval(begin(history), record, 1, BETWEEN);
    strbuf_puts(&history->text, CLOSE);
}

void history_add_summary(struct history *history, const struct summary_record *record)
{
    report_summary(begin(history), record, 1, BETWEEN);
    strbuf_puts(&history->text, CLOSE);
}

int64_t history_count(const struct history *history)
{
    int64_t count = 0;

    for (const char *s = strbuf_text(&history->text); (s = strstr(s, CLOSE)) != NULL;
         s += strlen(CLOSE))
        count++;
    return count;
}

int history_restore(struct history *history, const char *text, size_t len, struct error *err)
{
    size_t ends = strlen(OPEN) + strlen(CLOSE);

    if (len > 0 &&
        (len < ends || memchr(text, '\0', len) != NULL || memcmp(text, OPEN, strlen(OPEN)) != 0 ||
         memcmp(text + len - strlen(CLOSE), CLOSE, strlen(CLOSE)) != 0))
        return error_set(err, "the checkpoint's log history cannot be read");
    strbuf_reset(&history->text);
    strbuf_add(&history->text, text, len);
    return strbuf_check(&history->text, err);
}

void history_release(struct history *history)
{
    strbuf_release(&history->text);
}
