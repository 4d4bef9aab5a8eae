/*
 * model/rows.c: which tokens of a pass have a row where.
 *
 * Leaves often begin alike: with the system prompt of their template. What a
 * layer makes of a token depends on it, its position and the tokens before it,
 * so a block that begins as the first one does shares those rows, and the
 * forward pass computes them once. Gradients differ, since what comes after
 * does; they have a row for every token. A row's bits do not depend on the rows
 * beside it, so nothing else changes.
 */
#include <string.h>

#include "model/model_internal.h"

/* Tokens with which the block of pass from `start` on begins like the first one. */
static int common(const struct model_pass *pass, int start, int end)
{
    int n = 0, most = pass->blocks[1] < end - start ? pass->blocks[1] : end - start;

    while (n < most && pass->ids[start + n] == pass->ids[n] &&
           pass->positions[start + n] == pass->positions[n])
        n++;
    return n;
}

static void add_span(struct run *run, struct span span)
{
    if (span.n == 0)
        return;
    run->work->spans[run->n_spans++] = span;
    run->distinct.N += span.again ? 0 : span.n;
}

/* Cuts the pass into runs of rows: those that repeat rows of the first block, and the others. */
static void find_distinct(struct run *run)
{
    enum { WORTH = 32 }; // fewer than one repeated row of so many cost more than they save
    const struct model_pass *pass = run->pass;
    int drops = pass->train && run->model->adapter && run->model->adapter->dropout > 0.0f;

    for (int b = 0; b < pass->n_blocks && !drops; b++) {
        int start = pass->blocks[b], end = pass->blocks[b + 1];
        int n = b > 0 ? common(pass, start, end) : 0;

        add_span(run, (struct span){ start, 0, n, 1 });
        add_span(run, (struct span){ start + n, run->distinct.N, end - start - n, 0 });
    }
    if (drops || (pass->N - run->distinct.N) * WORTH < pass->N) {
        run->n_spans = run->distinct.N = 0;
        add_span(run, (struct span){ 0, 0, pass->N, 0 });
    }
    run->distinct.leaves = run->n_spans == 1 ? pass->leaves : NULL;
}

/* The labelled rows, in order, and where the leaves begin among them. */
static void find_labelled(struct run *run)
{
    const struct model_pass *pass = run->pass;
    struct model_work *work = run->work;
    const struct span *span = work->spans;
    int M = 0;

    for (int leaf = 0; leaf < pass->n_leaves; leaf++) {
        work->loss_leaf[leaf] = M;
        for (int i = pass->leaves[leaf]; i < pass->leaves[leaf + 1]; i++) {
            while (i >= span->row + span->n)
                span++;
            if (pass->targets[i] < 0)
                continue;
            work->loss_row[M] = i;
            work->loss_distinct[M] = span->from + (i - span->row);
            work->loss_target[M++] = pass->targets[i];
        }
    }
    work->loss_leaf[pass->n_leaves] = M;
    run->labelled = (struct rows){ M, work->loss_leaf };
}

void rows_find(struct run *run)
{
    run->all = (struct rows){ run->pass->N, run->pass->leaves };
    find_distinct(run);
    find_labelled(run);
}

float *rows_take(float *dst, const float *src, const int *row, int n, int width)
{
    for (int i = 0; i < n; i++)
        memcpy(dst + (size_t)i * width, src + (size_t)row[i] * width, (size_t)width * sizeof(*dst));
    return dst;
}

void rows_scatter(const struct run *run, float *x, int width)
{
    size_t bytes = (size_t)width * sizeof(*x);
    int row = run->all.N;

    for (int i = run->labelled.N - 1; i >= -1; i--) { // from the end: a row only moves up
        int to = i < 0 ? -1 : run->work->loss_row[i];

        if (to >= 0)
            memmove(x + (size_t)to * width, x + (size_t)i * width, bytes);
        while (--row > to)
            memset(x + (size_t)row * width, 0, bytes);
    }
}

void rows_repeat(const struct run *run, float *x, int width)
{
    for (int s = run->n_spans - 1; s > 0; s--) { // from the end, and the first stays where it is
        const struct span *span = &run->work->spans[s];

        memmove(x + (size_t)span->row * width, x + (size_t)span->from * width,
                (size_t)span->n * (size_t)width * sizeof(*x));
    }
}

const float *rows_distinct(const struct run *run, float *dst, const float *src, int width)
{
    if (run->n_spans == 1)
        return src;
    for (int s = 0; s < run->n_spans; s++) {
        const struct span *span = &run->work->spans[s];

        if (!span->again)
            memcpy(dst + (size_t)span->from * width, src + (size_t)span->row * width,
                   (size_t)span->n * (size_t)width * sizeof(*dst));
    }
    return dst;
}
