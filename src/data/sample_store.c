/*
 * data/sample_store.c: reading the store.
 *
 * The file's hash was right, but the file may have been made by anybody: all
 * indices are checked when it is opened, ids when they are read.
 */
#include "data/sample_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dist/dist.h"
#include "format/json.h"
#include "prepare_internal.h"
#include "text/template.h"

/* A whole array in a new block; its number of elements must be want unless that is UINT64_MAX. */
static void *read_array(struct sample_store *store, const char *name, enum h5type type,
                        uint64_t want, uint64_t *total, struct error *err)
{
    uint64_t count = 0;
    void *data;

    if (!h5file_find(store->file, name, type, &count)) {
        (void)error_set(err, "'%s' is no sample store: no array '%s'", store->path, name);
        return NULL;
    }
    if (want != UINT64_MAX && count != want) {
        (void)error_set(err, "'%s': array '%s' has %llu elements, not %llu", store->path, name,
                        (unsigned long long)count, (unsigned long long)want);
        return NULL;
    }
    data = mem_alloc(count, h5type_size(type), err);
    if (!data)
        return NULL;
    if (h5file_read(store->file, name, type, 0, count, data, err) < 0) {
        free(data);
        return NULL;
    }
    *total = count;
    return data;
}

static int damaged(const struct sample_store *store, const char *what, struct error *err)
{
    return error_set(err, "'%s' is no usable sample store: %s", store->path, what);
}

/* 0 = v[0] <= v[1] <= ... <= v[n] = last; strict: each step is 1 to max. */
static int rises(const uint64_t *v, uint64_t n, uint64_t last, uint64_t max)
{
    uint64_t i;

    if (v[0] != 0 || v[n] != last)
        return 0;
    for (i = 0; i < n; i++)
        if (v[i + 1] <= v[i] || v[i + 1] - v[i] > max)
            return 0;
    return 1;
}

static int read_facts(struct sample_store *store, struct error *err)
{
    struct h5file *file = store->file;
    int64_t format = 0, packing = 0, cutoff = 0, samples = 0, max_id = 0;
    char *key = NULL;
    size_t len = 0;
    unsigned long long high = 0, low = 0;
    int rc = -1;

    if (h5file_get_i64(file, "format", &format, err) < 0)
        return -1;
    if (format != PREPARE_FORMAT)
        return damaged(store, "it was written by another version", err);
    if (h5file_get_i64(file, "packing", &packing, err) < 0 ||
        h5file_get_i64(file, "cutoff_len", &cutoff, err) < 0 ||
        h5file_get_i64(file, "samples", &samples, err) < 0 ||
        h5file_get_i64(file, "skipped", &store->skipped, err) < 0 ||
        h5file_get_i64(file, "dropped", &store->dropped, err) < 0 ||
        h5file_get_i64(file, "at_limit", &store->at_limit, err) < 0 ||
        h5file_get_i64(file, "max_id", &max_id, err) < 0 ||
        h5file_get_text(file, "key", &key, &len, err) < 0)
        goto out;
    if (packing < PACKING_OFF || packing > PACKING_NEAT || cutoff < 1 || cutoff > INT32_MAX ||
        samples < 1 || max_id < 0 || max_id >= INT32_MAX || len != HASH_TEXT_MAX - 1 ||
        sscanf(key, "%16llx%16llx", &high, &low) != 2) {
        rc = damaged(store, "its numbers make no sense", err);
        goto out;
    }
    store->packing = (enum packing_mode)packing;
    store->cutoff_len = (int)cutoff;
    store->samples = (uint64_t)samples;
    store->max_id = (int32_t)max_id;
    store->key = (struct hash){ .lo = low, .hi = high };
    rc = 0;
out:
    free(key);
    return rc;
}

static int read_samples(struct sample_store *store, struct sample_labels *tables,
                        size_t budget_bytes, struct error *err)
{
    const uint64_t n = store->samples;
    uint64_t tokens = 0, total = 0;

    if (!h5file_find(store->file, "ids", H5_INT32, &tokens))
        return damaged(store, "no array 'ids'", err);
    store->offset = read_array(store, "offset", H5_INT64, n + 1, &total, err);
    if (!store->offset)
        return -1;
    store->source = read_array(store, "source", H5_INT64, n, &total, err);
    if (!store->source)
        return -1;
    tables->labelled = read_array(store, "labelled", H5_INT32, n, &total, err);
    if (!tables->labelled)
        return -1;
    tables->leading = read_array(store, "leading", H5_UINT8, n, &total, err);
    if (!tables->leading)
        return -1;
    if (!rises(store->offset, n, tokens, INT32_MAX))
        return damaged(store, "its offsets do not rise", err);
    if (tokens > budget_bytes / (2 * sizeof(int32_t)))
        return 0;
    store->ids = read_array(store, "ids", H5_INT32, tokens, &total, err);
    if (!store->ids)
        return -1;
    store->labels = read_array(store, "labels", H5_INT32, tokens, &total, err);
    return store->labels ? 0 : -1;
}

static uint64_t sample_length(const struct sample_store *store, int64_t sample)
{
    return store->offset[sample + 1] - store->offset[sample];
}

/* Row i of a set from its members; -1 when they make no row. */
static int measure_row(const struct sample_store *store, const struct sample_labels *tables,
                       struct sample_set *set, size_t i)
{
    uint64_t m, length = 0;
    int64_t labelled = 0;

    for (m = set->first[i]; m < set->first[i + 1]; m++) {
        const int64_t sample = set->member[m];

        if (sample < 0 || (uint64_t)sample >= store->samples || tables->labelled[sample] < 0)
            return -1;
        length += sample_length(store, sample);
        labelled += tables->labelled[sample] + (m > set->first[i] && tables->leading[sample]);
    }
    if (length > (uint64_t)store->cutoff_len || labelled >= (int64_t)length)
        return -1;
    set->length[i] = (int32_t)length;
    set->labelled[i] = (int32_t)labelled;
    set->segments[i] = (int32_t)(set->first[i + 1] - set->first[i]);
    set->tokens += (int64_t)length;
    if (set->length[i] > set->max_length)
        set->max_length = set->length[i];
    return 0;
}

int sample_set_measure(const struct sample_store *store, const struct sample_labels *tables,
                       struct sample_set *set, struct error *err)
{
    size_t i;

    set->length = mem_alloc(set->count, sizeof(*set->length), err);
    if (!set->length)
        return -1;
    set->labelled = mem_alloc(set->count, sizeof(*set->labelled), err);
    if (!set->labelled)
        return -1;
    set->segments = mem_alloc(set->count, sizeof(*set->segments), err);
    if (!set->segments)
        return -1;
    for (i = 0; i < set->count; i++)
        if (measure_row(store, tables, set, i) < 0)
            return damaged(store, "a row holds samples that are not there or too long", err);
    return 0;
}

static int read_set(struct sample_store *store, const struct sample_labels *tables, int index,
                    struct error *err)
{
    struct sample_set *set = &store->sets[index];
    uint64_t firsts = 0, members = 0;
    char name[32];

    (void)snprintf(name, sizeof(name), "set%d_first", index);
    set->first = read_array(store, name, H5_INT64, UINT64_MAX, &firsts, err);
    if (!set->first)
        return -1;
    (void)snprintf(name, sizeof(name), "set%d_member", index);
    set->member = read_array(store, name, H5_INT64, UINT64_MAX, &members, err);
    if (!set->member)
        return -1;
    if (firsts < 2 || !rises(set->first, firsts - 1, members, INT32_MAX))
        return damaged(store, "its rows do not rise", err);
    set->count = firsts - 1;
    return sample_set_measure(store, tables, set, err);
}

static int read_sets(struct sample_store *store, const struct sample_labels *tables,
                     struct error *err)
{
    char *text = NULL;
    size_t len = 0, i, count;
    json_t *names = NULL;
    int rc = -1;

    if (h5file_get_text(store->file, "sets", &text, &len, err) < 0)
        return -1;
    names = json_parse_text(text, len, store->path, err);
    free(text);
    count = json_array_size(names);
    if (!names || count == 0 || count > 100000) {
        if (names)
            (void)damaged(store, "it names no sets", err);
        goto out;
    }
    store->sets = mem_alloc(count, sizeof(*store->sets), err);
    if (!store->sets)
        goto out;
    for (i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(names, i));

        store->set_count++;
        store->sets[i].name = mem_strdup(name ? name : "", err);
        if (!store->sets[i].name || read_set(store, tables, (int)i, err) < 0)
            goto out;
    }
    rc = 0;
out:
    json_decref(names);
    return rc;
}

int sample_store_open(struct sample_store *store, const char *path, size_t budget_bytes,
                      const struct dist *dist, struct error *err)
{
    struct sample_labels tables = { 0 };
    int rc;

    *store = (struct sample_store){ 0 };
    store->path = mem_strdup(path, err);
    if (dist_agree(dist, store->path ? 0 : -1, err) < 0 ||
        h5file_open(&store->file, dist, path, err) < 0) {
        sample_store_close(store);
        return -1;
    }
    rc = read_facts(store, err);
    if (rc == 0)
        rc = read_samples(store, &tables, budget_bytes, err);
    if (rc == 0)
        rc = read_sets(store, &tables, err);
    free(tables.labelled);
    free(tables.leading);
    if (dist_agree(dist, rc, err) < 0) {
        sample_store_close(store);
        return -1;
    }
    return 0;
}

const struct sample_set *sample_store_set(const struct sample_store *store, const char *name)
{
    int i;

    for (i = 0; i < store->set_count; i++)
        if (strcmp(store->sets[i].name, name) == 0)
            return &store->sets[i];
    return NULL;
}

/* Tokens of one sample into ids and labels. */
static int read_sample(const struct sample_store *store, int64_t sample, int32_t *ids,
                       int32_t *labels, struct error *err)
{
    const uint64_t at = store->offset[sample];
    const uint64_t n = sample_length(store, sample);
    uint64_t i;

    if (store->ids) {
        memcpy(ids, store->ids + at, n * sizeof(*ids));
        memcpy(labels, store->labels + at, n * sizeof(*labels));
    } else if (h5file_read(store->file, "ids", H5_INT32, at, n, ids, err) < 0 ||
               h5file_read(store->file, "labels", H5_INT32, at, n, labels, err) < 0) {
        return -1;
    }
    for (i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] > store->max_id || labels[i] > store->max_id ||
            (labels[i] < 0 && labels[i] != TEMPLATE_NO_LABEL))
            return error_set(err, "'%s': sample %lld holds a token that cannot be", store->path,
                             (long long)sample);
    return 0;
}

int sample_store_read(const struct sample_store *store, const struct sample_set *set, size_t row,
                      int32_t *ids, int32_t *labels, int32_t *bounds, struct error *err)
{
    uint64_t m;
    int32_t at = 0;

    bounds[0] = 0;
    for (m = set->first[row]; m < set->first[row + 1]; m++) {
        if (read_sample(store, set->member[m], ids + at, labels + at, err) < 0)
            return -1;
        at += (int32_t)sample_length(store, set->member[m]);
        bounds[m - set->first[row] + 1] = at;
    }
    return 0;
}

double sample_store_squares(const struct sample_store *store, const struct sample_set *set,
                            size_t row)
{
    double sum = 0;
    uint64_t m;

    if (store->packing == PACKING_PLAIN)
        return (double)set->length[row] * (double)set->length[row];
    for (m = set->first[row]; m < set->first[row + 1]; m++) {
        const double length = (double)sample_length(store, set->member[m]);

        sum += length * length;
    }
    return sum;
}

void sample_store_close(struct sample_store *store)
{
    int i;

    for (i = 0; i < store->set_count; i++) {
        struct sample_set *set = &store->sets[i];

        free(set->name);
        free(set->length);
        free(set->labelled);
        free(set->segments);
        free(set->first);
        free(set->member);
    }
    free(store->sets);
    free(store->offset);
    free(store->source);
    free(store->ids);
    free(store->labels);
    free(store->path);
    h5file_close(store->file);
    *store = (struct sample_store){ 0 };
}
