/*
 * data/prepare.h: from data sets to the sample store, by all ranks together.
 *
 * The key of a store is a hash of everything that decides its content: the
 * bytes of the files used, the entries of dataset_info.json, template and
 * tokenizer hashes, limits, packing, split, seeds and the version of the
 * layout. A store with that key is used as it is, whoever wrote it; otherwise
 * each rank encodes its share of the bytes and all write one file. The content
 * does not depend on the number of ranks.
 *
 * Where: tokenized_path/samples.h5 when tokenized_path is given, else
 * cache_dir/samples-<key>.h5. A file at tokenized_path with another key is an
 * error unless overwrite_cache is set.
 */
#ifndef DATA_PREPARE_H
#define DATA_PREPARE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "data/sample_store.h"

struct dist;
struct template;

#define PREPARE_FORMAT 1 // version of the layout; part of the key

/* Fields are called as the YAML keys; see `lowrank keys`. Strings and lists are borrowed. */
struct prepare_params {
    const char *dataset_dir;
    const char *const *dataset; // names, in order
    int dataset_count;
    const char *const *eval_dataset;
    int eval_dataset_count;
    int eval_on_each_dataset;
    int64_t max_samples; // of each set; <= 0: all
    double val_size;     // 0: none
    uint64_t seed;       // for val_size and num_samples
    int cutoff_len;      // as in the YAML; with packing samples are limited to cutoff_len - 1
    enum packing_mode packing;
    int preprocessing_batch_size;  // 0: 1000; packing windows
    int preprocessing_num_workers; // 0: 1; packing shards
    int skip_bad_samples;          // on_bad_sample: skip
    int overwrite_cache;
    const char *cache_dir;      // folder for stores; made when missing
    const char *tokenized_path; // NULL: none
    int dry_run;         // write nothing; a store that is not there is only counted: file NULL
    size_t budget_bytes; // see sample_store_open()

    /* Encodes rows. Opened with cutoff_len, or cutoff_len - 1 when packing: prepare_cutoff(). */
    struct template *template;

    /* Looked at between rows (may be NULL): true on any rank ends the work on all. */
    int (*stop)(void *arg);
    void *stop_arg;
};

enum prepare_result {
    PREPARE_DONE = 0,
    PREPARE_INTERRUPTED = 1, // stop() said so; nothing is left behind
};

struct prepare_report {
    int64_t source_rows; // rows in the files that are used, before dropping
    double total_s;
};

/* What the template must be opened with. Local. */
int prepare_cutoff(const struct prepare_params *params);

/*
 * Collective. The store is open after PREPARE_DONE; -1 with err on all ranks,
 * otherwise prepare_result. report may be NULL.
 */
int prepare_samples(struct sample_store *store, const struct prepare_params *params,
                    struct prepare_report *report, const struct dist *dist, struct error *err);

#endif
