/*
 * data/store_write.c: the sample store, written by all ranks together or only counted.
 *
 * ids and labels are written by the rank that encoded them; the small tables,
 * which all ranks hold, are cut evenly.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "format/json.h"
#include "prepare_internal.h"
#include "text/template.h"

struct writer {
    struct h5file *file;
    const struct dist *dist;
    uint64_t *bounds; // [size + 1] scratch
};

/* An array that every rank holds: each writes its share. */
static int write_table(struct writer *w, const char *name, enum h5type type, uint64_t total,
                       const void *data, struct error *err)
{
    uint64_t from, to;

    dist_cut(w->dist, total, 1, w->bounds);
    from = w->bounds[w->dist->rank];
    to = w->bounds[w->dist->rank + 1];
    return h5file_write(w->file, name, type, total, from, to - from,
                        (const char *)data + from * h5type_size(type), err);
}

/* Tables by sample, made from the tables by row. */
struct sample_tables {
    uint64_t *offset, *source;
    struct sample_labels labels;
};

static int tables_fill(struct sample_tables *t, const struct row_table *rows, struct error *err)
{
    const size_t n = (size_t)rows->samples;
    uint64_t token = 0;
    int64_t i;
    size_t s = 0;

    t->offset = mem_alloc(n + 1, sizeof(*t->offset), err);
    t->source = mem_alloc(n, sizeof(*t->source), err);
    t->labels.labelled = mem_alloc(n, sizeof(*t->labels.labelled), err);
    t->labels.leading = mem_alloc(n, 1, err);
    if (!t->offset || !t->source || !t->labels.labelled || !t->labels.leading)
        return -1;
    for (i = 0; i < rows->rows; i++) {
        if (rows->length[i] < 0)
            continue;
        t->offset[s] = token;
        t->source[s] = (uint64_t)i;
        t->labels.labelled[s] = rows->labelled[i];
        t->labels.leading[s++] = rows->leading[i];
        token += (uint64_t)rows->length[i];
    }
    t->offset[s] = token;
    return 0;
}

static void tables_release(struct sample_tables *t)
{
    free(t->offset);
    free(t->source);
    free(t->labels.labelled);
    free(t->labels.leading);
}

static int write_samples(struct writer *w, const struct row_table *rows, struct error *err)
{
    const uint64_t n = (uint64_t)rows->samples;
    struct sample_tables t = { 0 };
    int rc = dist_agree(w->dist, tables_fill(&t, rows, err), err);

    if (rc == 0 && (write_table(w, "offset", H5_INT64, n + 1, t.offset, err) < 0 ||
                    write_table(w, "source", H5_INT64, n, t.source, err) < 0 ||
                    write_table(w, "labelled", H5_INT32, n, t.labels.labelled, err) < 0 ||
                    write_table(w, "leading", H5_UINT8, n, t.labels.leading, err) < 0))
        rc = -1;
    tables_release(&t);
    return rc;
}

/* My tokens stand behind those of all rows before mine. */
static int write_tokens(struct writer *w, const struct source *source,
                        const struct encoded *encoded, const struct row_table *rows,
                        struct error *err)
{
    uint64_t offset = 0;
    int64_t i;

    for (i = 0; i < source->my_row0; i++)
        if (rows->length[i] > 0)
            offset += (uint64_t)rows->length[i];
    if (h5file_write(w->file, "ids", H5_INT32, rows->tokens, offset, encoded->ids.n, encoded->ids.v,
                     err) < 0)
        return -1;
    return h5file_write(w->file, "labels", H5_INT32, rows->tokens, offset, encoded->labels.n,
                        encoded->labels.v, err);
}

static int write_part(struct writer *w, int index, const struct part *part, struct error *err)
{
    const struct packing *packing = &part->packing;
    int64_t *first = mem_alloc(packing->rows + 1, sizeof(*first), err);
    char name[32];
    size_t i;
    int rc = dist_agree(w->dist, first ? 0 : -1, err);

    if (rc == 0) {
        for (i = 0; i <= packing->rows; i++)
            first[i] = (int64_t)packing->first[i];
        (void)snprintf(name, sizeof(name), "set%d_first", index);
        rc = write_table(w, name, H5_INT64, packing->rows + 1, first, err);
    }
    if (rc == 0) {
        (void)snprintf(name, sizeof(name), "set%d_member", index);
        rc = write_table(w, name, H5_INT64, packing->member_count, packing->member, err);
    }
    free(first);
    return rc;
}

static int write_names(struct writer *w, const struct parts *parts, struct error *err)
{
    struct strbuf text = { 0 };
    int i, rc;

    strbuf_putc(&text, '[');
    for (i = 0; i < parts->count; i++) {
        strbuf_puts(&text, i ? ", " : "");
        json_dump_string(&text, parts->v[i].name, strlen(parts->v[i].name), 0);
    }
    strbuf_putc(&text, ']');
    rc = dist_agree(w->dist, strbuf_check(&text, err), err);
    if (rc == 0)
        rc = h5file_put_text(w->file, "sets", strbuf_text(&text), text.len, err);
    strbuf_release(&text);
    return rc;
}

static int write_facts(struct writer *w, const struct encoded *encoded,
                       const struct row_table *rows, const struct prepare_params *params,
                       struct hash key, const char *settings, struct error *err)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {
        { STORE_VERSION, PREPARE_FORMAT },    { "packing", (int64_t)params->packing },
        { "cutoff_len", params->cutoff_len }, { "samples", rows->samples },
        { "tokens", (int64_t)rows->tokens },  { "skipped", encoded->skipped },
        { "dropped", encoded->dropped },      { "at_limit", encoded->at_limit },
        { "max_id", encoded->max_id },
    };
    const char *name = template_name(params->template);
    char text[HASH_TEXT_MAX];
    size_t i;

    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (h5file_put_i64(w->file, numbers[i].name, numbers[i].value, err) < 0)
            return -1;
    hash_text(key, text);
    if (h5file_put_text(w->file, "key", text, strlen(text), err) < 0 ||
        h5file_put_text(w->file, "template", name, strlen(name), err) < 0)
        return -1;
    return h5file_put_text(w->file, "settings", settings, strlen(settings), err);
}

int store_write(const char *path, const struct source *source, const struct encoded *encoded,
                const struct row_table *table, const struct parts *parts,
                const struct prepare_params *params, struct hash key, const char *settings,
                const struct dist *dist, struct error *err)
{
    struct writer w = { .dist = dist };
    int i, rc = -1;

    w.bounds = mem_alloc((size_t)dist->size + 1, sizeof(*w.bounds), err);
    if (dist_agree(dist, w.bounds ? 0 : -1, err) < 0)
        goto out;
    if (h5file_create(&w.file, dist, path, err) < 0 ||
        write_facts(&w, encoded, table, params, key, settings, err) < 0 ||
        write_names(&w, parts, err) < 0 || write_samples(&w, table, err) < 0 ||
        write_tokens(&w, source, encoded, table, err) < 0)
        goto out;
    for (i = 0; i < parts->count; i++)
        if (write_part(&w, i, &parts->v[i], err) < 0)
            goto out;
    rc = h5file_publish(w.file, err);
out:
    h5file_close(w.file);
    free(w.bounds);
    return rc;
}

static int count_part(struct sample_store *store, const struct sample_labels *labels,
                      const struct part *part, struct error *err)
{
    const struct packing *packing = &part->packing;
    struct sample_set *set = &store->sets[store->set_count++];
    size_t i;

    set->count = packing->rows;
    set->name = mem_strdup(part->name, err);
    set->first = mem_alloc(packing->rows + 1, sizeof(*set->first), err);
    set->member = mem_alloc(packing->member_count, sizeof(*set->member), err);
    if (!set->name || !set->first || !set->member)
        return -1;
    for (i = 0; i <= packing->rows; i++)
        set->first[i] = packing->first[i];
    memcpy(set->member, packing->member, packing->member_count * sizeof(*set->member));
    return sample_set_measure(store, labels, set, err);
}

int store_count(struct sample_store *store, const char *path, const struct encoded *encoded,
                const struct row_table *table, const struct parts *parts,
                const struct prepare_params *params, struct hash key, struct error *err)
{
    struct sample_tables t = { 0 };
    int i, rc = tables_fill(&t, table, err);

    *store = (struct sample_store){ .packing = params->packing,
                                    .cutoff_len = params->cutoff_len,
                                    .key = key,
                                    .samples = (uint64_t)table->samples,
                                    .offset = t.offset,
                                    .source = t.source,
                                    .skipped = encoded->skipped,
                                    .dropped = encoded->dropped,
                                    .at_limit = encoded->at_limit,
                                    .max_id = encoded->max_id };
    t.offset = t.source = NULL; // the store's now
    store->path = mem_strdup(path, err);
    store->sets = mem_alloc((size_t)parts->count, sizeof(*store->sets), err);
    if (!store->path || !store->sets)
        rc = -1;
    for (i = 0; rc == 0 && i < parts->count; i++)
        rc = count_part(store, &t.labels, &parts->v[i], err);
    tables_release(&t);
    return rc;
}
