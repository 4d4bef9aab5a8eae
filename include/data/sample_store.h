/*
 * data/sample_store.h: the encoded samples, ready for training.
 *
 * One HDF5 file holds every sample's ids and labels once, in the order of the
 * source, and for each part (train, eval, or eval_<name> with
 * eval_on_each_dataset) a table of rows. A row is one training example: one
 * sample, or with packing several, one after the other. Positions restart at
 * each sample (a segment). Attention is causal within a block: with
 * PACKING_NEAT or without packing a block is a segment, with PACKING_PLAIN it
 * is the whole row (samples see each other, as in LLaMA-Factory). There are
 * no padding tokens in it.
 *
 * Lengths, labelled counts and bounds of all rows are in memory on every
 * rank; ids and labels are read when asked for. docs/formats.md describes
 * the file.
 */
#ifndef DATA_SAMPLE_STORE_H
#define DATA_SAMPLE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

struct dist;
struct h5file;

enum packing_mode { PACKING_OFF, PACKING_PLAIN, PACKING_NEAT };

/* The rows of one part; arrays borrowed from the store. */
struct sample_set {
    char *name;         // "train", "eval", "eval_<dataset>"
    size_t count;       // rows
    int32_t *length;    // [count] tokens of the row
    int32_t *labelled;  // [count] labels that the loss counts: not -100, not the first of a row
    int32_t *segments;  // [count] samples in the row
    uint64_t *first;    // [count + 1] place of the row's first segment in member
    int64_t *member;    // [first[count]] index of the sample
    int64_t tokens;     // sum of length
    int32_t max_length; // longest row
};

struct sample_store {
    struct h5file *file; // internal
    char *path;
    enum packing_mode packing;
    int cutoff_len;
    struct hash key;  // what decided the content
    uint64_t samples; // samples in the file
    uint64_t *offset; // [samples + 1] first token of each sample
    uint64_t *source; // [samples] global row of the source files, from 0
    int64_t skipped;  // malformed rows left out (on_bad_sample: skip)
    int64_t dropped;  // rows that LLaMA-Factory would drop too
    int64_t at_limit; // samples that are as long as they may be: most were cut
    int32_t max_id;   // largest token id: must be below the model's vocabulary
    struct sample_set *sets;
    int set_count;
    int32_t *ids, *labels; // all tokens, when they fit the budget; else NULL
    int reused;            // it was there already
};

/*
 * Collective. Opens and verifies the file. budget_bytes: ids and labels are
 * loaded into this rank's memory when they take no more than that.
 */
int sample_store_open(struct sample_store *store, const char *path, size_t budget_bytes,
                      const struct dist *dist, struct error *err);

/* NULL when there is no such part. Local. */
const struct sample_set *sample_store_set(const struct sample_store *store, const char *name);

/*
 * Local. Row i of a set: ids[0, length[i]) and labels likewise (-100: not
 * labelled), bounds[0, segments[i] + 1): segment s is [bounds[s], bounds[s+1]).
 * labels are those of the tokens themselves, not shifted. The first label of
 * a row never counts; with packing the first label of a later segment is
 * predicted by the last token before it, as in LLaMA-Factory.
 */
int sample_store_read(const struct sample_store *store, const struct sample_set *set, size_t row,
                      int32_t *ids, int32_t *labels, int32_t *bounds, struct error *err);

/* Sum over the attention blocks of the row of length^2: what attention costs. Local. */
double sample_store_squares(const struct sample_store *store, const struct sample_set *set,
                            size_t row);

/* Local apart from the file, which is closed by all ranks (collective). */
void sample_store_close(struct sample_store *store);

#endif
