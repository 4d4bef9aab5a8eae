/*
 * data/prepare_plan.c: which samples stand in which row of which part.
 */
#include "prepare_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/order.h"

static int table_alloc(struct row_table *table, int64_t rows, struct error *err)
{
    *table = (struct row_table){ .rows = rows };
    table->length = mem_alloc((size_t)rows, sizeof(*table->length), err);
    if (!table->length)
        return -1;
    table->labelled = mem_alloc((size_t)rows, sizeof(*table->labelled), err);
    if (!table->labelled)
        return -1;
    table->leading = mem_alloc((size_t)rows, 1, err);
    if (!table->leading)
        return -1;
    table->sample = mem_alloc((size_t)rows, sizeof(*table->sample), err);
    return table->sample ? 0 : -1;
}

static void gather(const struct dist *dist, void *buf, const int64_t *row0, uint64_t *bounds,
                   size_t size)
{
    int r;

    for (r = 0; r <= dist->size; r++)
        bounds[r] = (uint64_t)row0[r] * size;
    dist_gather_pieces(dist, buf, bounds);
}

int row_table_gather(struct row_table *table, const struct source *source,
                     const struct encoded *encoded, const struct dist *dist, struct error *err)
{
    const size_t mine = (size_t)source->my_rows;
    int64_t *row0 = mem_alloc((size_t)dist->size + 1, sizeof(*row0), err);
    uint64_t *bounds = mem_alloc((size_t)dist->size + 1, sizeof(*bounds), err);
    int64_t i;
    int rc = row0 && bounds ? table_alloc(table, source->rows, err) : -1;

    if (dist_agree(dist, rc, err) < 0) {
        rc = -1;
        goto out;
    }
    dist_gather_i64(dist, &source->my_row0, 1, row0);
    row0[dist->size] = source->rows;
    memcpy(table->length + source->my_row0, encoded->length, mine * sizeof(*table->length));
    memcpy(table->labelled + source->my_row0, encoded->labelled, mine * sizeof(*table->labelled));
    memcpy(table->leading + source->my_row0, encoded->leading, mine);
    gather(dist, table->length, row0, bounds, sizeof(*table->length));
    gather(dist, table->labelled, row0, bounds, sizeof(*table->labelled));
    gather(dist, table->leading, row0, bounds, 1);
    for (i = 0; i < table->rows; i++) {
        table->sample[i] = table->samples;
        if (table->length[i] < 0)
            continue;
        table->samples++;
        table->tokens += (uint64_t)table->length[i];
    }
out:
    free(row0);
    free(bounds);
    return rc;
}

void row_table_release(struct row_table *table)
{
    free(table->length);
    free(table->labelled);
    free(table->leading);
    free(table->sample);
    *table = (struct row_table){ 0 };
}

/* Rows of the source that a part is made of, in order. */
static int list_part(const struct source *source, int part, int64_t **rows, size_t *count,
                     struct error *err)
{
    size_t n = 0;
    int64_t i;
    int s;

    for (s = 0; s < source->set_count; s++)
        if (source->sets[s].part == part)
            n += (size_t)source->sets[s].count;
    *count = 0;
    *rows = mem_alloc(n, sizeof(**rows), err);
    if (!*rows)
        return -1;
    for (s = 0; s < source->set_count; s++) {
        const struct source_set *set = &source->sets[s];

        for (i = 0; set->part == part && i < set->count; i++)
            (*rows)[(*count)++] = set->row0 + (set->pick ? set->pick[i] : i);
    }
    return 0;
}

/* Packs the rows of a part; a part without a row is an error. */
static int add_part(struct parts *parts, const char *prefix, const char *name, const int64_t *rows,
                    size_t count, const struct row_table *table,
                    const struct prepare_params *params, struct error *err)
{
    struct part *part = &parts->v[parts->count++];
    int32_t *length = mem_alloc(count, sizeof(*length), err);
    int64_t *sample = mem_alloc(count, sizeof(*sample), err);
    struct strbuf full = { 0 };
    size_t i;
    int rc = -1;

    strbuf_printf(&full, "%s%s", prefix, name);
    if (!length || !sample || strbuf_check(&full, err) < 0)
        goto out;
    part->name = full.text;
    full = (struct strbuf){ 0 };
    for (i = 0; i < count; i++) {
        length[i] = table->length[rows[i]];
        sample[i] = table->sample[rows[i]];
    }
    if (params->packing == PACKING_OFF)
        rc = packing_none(&part->packing, length, sample, count, err);
    else
        rc = packing_plan(&part->packing, length, sample, count, params->cutoff_len - 1,
                          params->preprocessing_num_workers, params->preprocessing_batch_size, err);
    if (rc == 0 && part->packing.rows == 0)
        rc = error_set(err, "none of the %zu rows for '%s' can be used", count, part->name);
out:
    strbuf_release(&full);
    free(length);
    free(sample);
    return rc;
}

static int plan_training(struct parts *parts, const struct source *source,
                         const struct row_table *table, const struct prepare_params *params,
                         struct error *err)
{
    int64_t *rows = NULL, *perm = NULL;
    size_t count = 0, eval = 0, i;
    int rc = -1;

    if (list_part(source, 0, &rows, &count, err) < 0)
        goto out;
    if (params->val_size > 0) {
        perm = mem_alloc(count, sizeof(*perm), err);
        if (!perm || order_split(perm, count, params->val_size, params->seed, &eval, err) < 0)
            goto out;
        for (i = 0; i < count; i++)
            perm[i] = rows[perm[i]];
        if (add_part(parts, "eval", "", perm, eval, table, params, err) < 0)
            goto out;
    }
    rc = add_part(parts, "train", "", perm ? perm + eval : rows, count - eval, table, params, err);
out:
    free(rows);
    free(perm);
    return rc;
}

int parts_plan(struct parts *parts, const struct source *source, const struct row_table *table,
               const struct prepare_params *params, struct error *err)
{
    int p, rc;

    *parts = (struct parts){ 0 };
    parts->v = mem_alloc((size_t)source->part_count + 2, sizeof(*parts->v), err);
    if (!parts->v)
        return -1;
    rc = params->dataset_count > 0 ? plan_training(parts, source, table, params, err) : 0;
    for (p = 1; rc == 0 && p < source->part_count; p++) {
        const int each = params->eval_on_each_dataset;
        int64_t *rows = NULL;
        size_t count = 0;

        rc = list_part(source, p, &rows, &count, err);
        if (rc == 0)
            rc = add_part(parts, each ? "eval_" : "eval", each ? params->eval_dataset[p - 1] : "",
                          rows, count, table, params, err);
        free(rows);
    }
    return rc;
}

void parts_release(struct parts *parts)
{
    int i;

    for (i = 0; i < parts->count; i++) {
        free(parts->v[i].name);
        packing_release(&parts->v[i].packing);
    }
    free(parts->v);
    *parts = (struct parts){ 0 };
}
