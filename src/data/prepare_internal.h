/*
 * data/prepare_internal.h: the pieces of prepare_samples().
 */
#ifndef DATA_PREPARE_INTERNAL_H
#define DATA_PREPARE_INTERNAL_H

#include "base/strbuf.h"
#include "data/packing.h"
#include "data_internal.h"
#include "store/h5file.h"

/* The settings as lines of text, kept in the store for people to read. Local. */
int prepare_settings(const struct prepare_params *params, struct strbuf *text, struct error *err);

/* Local; the same on all ranks. */
struct hash prepare_key(const struct source *source, struct hash content, const char *settings,
                        size_t settings_len, uint64_t seed);

/* Lengths and labels of all rows of the source, and which sample each is. */
struct row_table {
    int32_t *length;        // [rows] -1: no sample
    int32_t *labelled;      // [rows]
    unsigned char *leading; // [rows]
    int64_t *sample;        // [rows] index of its sample, where it has one
    int64_t rows, samples;
    uint64_t tokens;
};

/* Collective: every rank gets all rows from the ranks that encoded them. */
int row_table_gather(struct row_table *table, const struct source *source,
                     const struct encoded *encoded, const struct dist *dist, struct error *err);
void row_table_release(struct row_table *table);

/* A part of the store: what sample_set is made of. */
struct part {
    char *name;
    struct packing packing;
};

struct parts {
    struct part *v;
    int count;
};

/* Split and packing: the same on all ranks. Local. */
int parts_plan(struct parts *parts, const struct source *source, const struct row_table *table,
               const struct prepare_params *params, struct error *err);
void parts_release(struct parts *parts);

/* Of each sample, what the counts of its row are made of. */
struct sample_labels {
    int32_t *labelled;
    unsigned char *leading;
};

/*
 * Length, labels and segments of the rows of a set whose first, member and count are known. Local;
 * -1 when a row is longer than cutoff_len or names samples that the store does not have.
 */
int sample_set_measure(const struct sample_store *store, const struct sample_labels *tables,
                       struct sample_set *set, struct error *err);

/* Names of arrays and numbers in the file; docs/formats.md. */
#define STORE_VERSION "format"

/*
 * The store without file and tokens: what store_write() would write can be
 * counted, but not read. Local; the caller closes it, after an error too.
 */
int store_count(struct sample_store *store, const char *path, const struct encoded *encoded,
                const struct row_table *table, const struct parts *parts,
                const struct prepare_params *params, struct hash key, struct error *err);

/* Collective: writes and publishes the file. */
int store_write(const char *path, const struct source *source, const struct encoded *encoded,
                const struct row_table *table, const struct parts *parts,
                const struct prepare_params *params, struct hash key, const char *settings,
                const struct dist *dist, struct error *err);

#endif
