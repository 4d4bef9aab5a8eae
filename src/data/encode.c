/*
 * data/encode.c: a rank's rows, from text to ids and labels.
 *
 * Work goes in rounds of ROUND_BYTES of text, after each of which the ranks
 * tell each other whether all is well. The number of rounds differs from
 * rank to rank; who is done goes on agreeing until all are.
 */
#include "data_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "format/json.h"
#include "text/template.h"

#define ROUND_BYTES ((size_t)1 << 20)

struct encoder {
    struct encoded *out;
    const struct source *source;
    const struct prepare_params *params;
    struct conversation conversation;
    struct source_walk walk;
    int64_t at; // rows of mine that are done
    int limit;  // most tokens of a sample
};

static int encoded_init(struct encoded *encoded, int64_t rows, struct error *err)
{
    *encoded = (struct encoded){ 0 };
    encoded->length = mem_alloc((size_t)rows, sizeof(*encoded->length), err);
    if (!encoded->length)
        return -1;
    encoded->labelled = mem_alloc((size_t)rows, sizeof(*encoded->labelled), err);
    if (!encoded->labelled)
        return -1;
    encoded->leading = mem_alloc((size_t)rows, 1, err);
    return encoded->leading ? 0 : -1;
}

void encoded_release(struct encoded *encoded)
{
    token_list_release(&encoded->ids);
    token_list_release(&encoded->labels);
    free(encoded->length);
    free(encoded->labelled);
    free(encoded->leading);
    *encoded = (struct encoded){ 0 };
}

/* What rows that were not asked for need no work. */
static int is_used(const struct encoder *e, const struct source_row *row)
{
    const struct source_set *set = &e->source->sets[e->source->files[row->file].set];

    return !set->use || set->use[row->row - set->row0];
}

/* DATASET_ROW, DATASET_DROPPED or -1 with the reason in err. */
static int encode_row(struct encoder *e, const struct source_row *row, struct error *err)
{
    const struct source_file *file = &e->source->files[row->file];
    const struct dataset_info *info = &e->source->sets[file->set].info;
    const char *text = (const char *)file->map.bytes + row->begin;
    const size_t before = e->out->ids.n;
    json_t *value = json_parse_text(text, row->end - row->begin, "the row", err);
    int rc;

    if (!value)
        return -1;
    rc = dataset_convert(info, value, &e->conversation, err);
    json_decref(value);
    if (rc == DATASET_ROW)
        rc = template_encode(e->params->template, &e->conversation, &e->out->ids, &e->out->labels,
                             err);
    if (rc == DATASET_ROW && e->out->ids.n == before) {
        (void)error_set(err, "it has no tokens");
        rc = DATASET_DROPPED;
    }
    return rc;
}

/* Length and labels of the sample that was just added. */
static void measure(struct encoder *e, size_t before)
{
    struct encoded *out = e->out;
    const size_t n = out->ids.n - before;
    int32_t labelled = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        labelled += i > 0 && out->labels.v[before + i] != TEMPLATE_NO_LABEL;
        if (out->ids.v[before + i] > out->max_id)
            out->max_id = out->ids.v[before + i];
    }
    out->length[e->at] = (int32_t)n;
    out->labelled[e->at] = labelled;
    out->leading[e->at] = out->labels.v[before] != TEMPLATE_NO_LABEL;
    out->at_limit += n >= (size_t)e->limit;
}

/* Puts the row's place before the reason. Reads the file up to there, so only when it is shown. */
static void name_row(const struct encoder *e, const struct source_row *row, struct error *err)
{
    char where[ERROR_MSG_MAX / 2];

    source_where(e->source, row, where, sizeof(where));
    (void)error_wrap(err, "%s", where);
}

static void remember(const struct encoder *e, const struct source_row *row, char *first,
                     struct error *err)
{
    if (first[0])
        return;
    name_row(e, row, err);
    (void)snprintf(first, ERROR_MSG_MAX, "%s", err->msg);
}

/* One row: 0, or -1 when it is bad and bad rows are errors. */
static int take_row(struct encoder *e, const struct source_row *row, struct error *err)
{
    const size_t before = e->out->ids.n;
    int rc;

    e->out->length[e->at] = -1;
    if (!is_used(e, row))
        return 0;
    rc = encode_row(e, row, err);
    if (rc == DATASET_ROW) {
        measure(e, before);
    } else if (rc == DATASET_DROPPED) {
        e->out->dropped++;
        remember(e, row, e->out->first_dropped, err);
    } else if (e->params->skip_bad_samples && !error_is_memory(err)) {
        e->out->skipped++;
        remember(e, row, e->out->first_skipped, err);
    } else {
        name_row(e, row, err);
        return -1;
    }
    return 0;
}

/* Rows until a round is full or all are done: 0 or -1. */
static int encode_round(struct encoder *e, int *stop, struct error *err)
{
    const struct prepare_params *params = e->params;
    struct source_row row;
    size_t bytes = 0;

    while (bytes < ROUND_BYTES && e->at < e->source->my_rows) {
        int rc;

        if (params->stop && params->stop(params->stop_arg)) {
            *stop = 1;
            return 0;
        }
        rc = source_next(e->source, &e->walk, &row, err);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return error_set(err, "a file of the data sets changed while it was read");
        if (take_row(e, &row, err) < 0)
            return -1;
        e->at++;
        bytes += row.end - row.begin;
    }
    return 0;
}

/* The first message by rank order, on all ranks; total likewise. */
static int share_first(char *first, const struct dist *dist, struct error *err)
{
    int64_t root = first[0] ? dist->rank : dist->size;
    char *text = NULL;
    size_t len = 0;

    dist_min_i64(dist, &root, 1);
    if (root == dist->size)
        return 0;
    if (dist->rank == root) {
        text = first;
        len = strlen(first);
    }
    if (dist_bcast_text(dist, &text, &len, (int)root, err) < 0)
        return -1;
    if (dist->rank != root) {
        (void)snprintf(first, ERROR_MSG_MAX, "%s", text);
        free(text);
    }
    return 0;
}

static int share_counts(struct encoded *encoded, const struct dist *dist, struct error *err)
{
    int64_t sums[3] = { encoded->skipped, encoded->dropped, encoded->at_limit };
    int64_t max_id = encoded->max_id;

    dist_sum_i64(dist, sums, 3);
    dist_max_i64(dist, &max_id, 1);
    encoded->skipped = sums[0];
    encoded->dropped = sums[1];
    encoded->at_limit = sums[2];
    encoded->max_id = (int32_t)max_id;
    if (share_first(encoded->first_skipped, dist, err) < 0)
        return -1;
    return share_first(encoded->first_dropped, dist, err);
}

int encode_rows(struct encoded *encoded, const struct source *source,
                const struct prepare_params *params, const struct dist *dist, struct error *err)
{
    struct encoder e = { .out = encoded, .source = source, .params = params };
    int64_t state[2] = { 1, 0 }; // more to do, a wish to stop
    int rc;

    e.limit = prepare_cutoff(params);
    rc = encoded_init(encoded, source->my_rows, err);
    if (dist_agree(dist, rc, err) < 0)
        return -1;
    while (state[0] && !state[1]) {
        int stop = 0;

        rc = encode_round(&e, &stop, err);
        state[0] = e.at < source->my_rows;
        state[1] = stop || rc < 0;
        dist_max_i64(dist, state, 2);
    }
    conversation_release(&e.conversation);
    if (dist_agree(dist, rc, err) < 0)
        return -1;
    if (state[1])
        return PREPARE_INTERRUPTED;
    return share_counts(encoded, dist, err);
}
