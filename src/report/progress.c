/*
 * report/progress.c: the line at the bottom of a terminal.
 */
#include <inttypes.h>
#include <math.h>

#include "base/number.h"
#include "report/trainer_log.h"

#define BAR_MIN 8 // columns; a shorter bar is left out
#define BAR_MAX 40

static void add_bar(struct strbuf *line, double share, int width)
{
    int full = (int)(share * width);

    strbuf_puts(line, " |");
    for (int i = 0; i < width; i++)
        strbuf_putc(line, i < full ? '#' : ' ');
    strbuf_putc(line, '|');
}

static void add_facts(struct strbuf *facts, const struct progress *progress)
{
    if (progress->step > 0)
        strbuf_printf(facts, " loss %.4f", progress->loss);
    if (progress->tokens_per_s > 0)
        strbuf_printf(facts, "  %.0f tok/s", progress->tokens_per_s);
    if (progress->gemm_share >= 0)
        strbuf_printf(facts, "  %.0f%% of gemm", progress->gemm_share * 100);
    if (progress->left_s >= 0) {
        strbuf_puts(facts, "  ");
        number_add_duration(facts, progress->left_s);
        strbuf_puts(facts, " left");
    }
}

void progress_format(struct strbuf *line, const struct progress *progress, int columns)
{
    struct strbuf facts = { 0 };
    double share =
        progress->total_steps > 0 ? (double)progress->step / (double)progress->total_steps : 0;
    int room;

    strbuf_reset(line);
    add_facts(&facts, progress);
    strbuf_printf(line, "%" PRId64 "/%" PRId64 " %3.0f%%", progress->step, progress->total_steps,
                  floor(share * 100));
    room = columns - (int)line->len - (int)facts.len - 3;
    if (room >= BAR_MIN)
        add_bar(line, share, room < BAR_MAX ? room : BAR_MAX);
    strbuf_puts(line, strbuf_text(&facts));
    if (columns > 0 && line->len > (size_t)columns) {
        line->len = (size_t)columns;
        line->text[line->len] = '\0';
    }
    strbuf_release(&facts);
}
