/*
 * data/prepare.c: find the store that the key names, or make it.
 */
#include "data/prepare.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "dist/dist.h"
#include "prepare_internal.h"

#define STALE_S (24.0 * 3600) // a temporary file that nobody touched for so long has no writer

int prepare_cutoff(const struct prepare_params *params)
{
    return params->packing == PACKING_OFF ? params->cutoff_len : params->cutoff_len - 1;
}

/* What is asked for, under one roof. */
struct job {
    const struct prepare_params *params;
    const struct dist *dist;
    struct source source;
    struct strbuf settings;
    struct hash key;
    char *path;   // of the store
    char *folder; // of the store
};

static int check_params(const struct prepare_params *params, struct error *err)
{
    if (params->cutoff_len < 1 || prepare_cutoff(params) < 1)
        return error_set(err, "'cutoff_len' is %d; give more than %d", params->cutoff_len,
                         params->packing != PACKING_OFF);
    if (params->val_size > 0 && params->eval_dataset_count > 0)
        return error_set(err, "'val_size' and 'eval_dataset' exclude each other");
    if (params->val_size > 0 && params->dataset_count == 0)
        return error_set(err, "'val_size' needs a 'dataset'");
    if (params->dataset_count == 0 && params->eval_dataset_count == 0)
        return error_set(err, "no 'dataset' is given");
    if (!params->cache_dir && !params->tokenized_path)
        return error_set(err, "there is no folder for the sample store");
    return 0;
}

/* tokenized_path/samples.h5 or cache_dir/samples-<key>.h5. Local. */
static int choose_path(struct job *job, struct error *err)
{
    const struct prepare_params *params = job->params;
    struct strbuf name = { 0 };
    char key[HASH_TEXT_MAX];

    hash_text(job->key, key);
    strbuf_puts(&name, "samples");
    if (!params->tokenized_path)
        strbuf_printf(&name, "-%s", key);
    strbuf_puts(&name, ".h5");
    job->folder =
        mem_strdup(params->tokenized_path ? params->tokenized_path : params->cache_dir, err);
    if (job->folder && strbuf_check(&name, err) == 0)
        job->path = path_join(job->folder, strbuf_text(&name), err);
    strbuf_release(&name);
    return job->path ? 0 : -1;
}

/* Rank 0's view of the file system holds for all. Collective. */
static int exists_everywhere(const struct job *job)
{
    int64_t there = job->dist->rank == 0 && file_exists(job->path);

    dist_bcast(job->dist, &there, sizeof(there), 0);
    return (int)there;
}

static int foreign_store(const struct job *job, const struct sample_store *store, struct error *err)
{
    char want[HASH_TEXT_MAX], have[HASH_TEXT_MAX];

    hash_text(job->key, want);
    hash_text(store->key, have);
    return error_set(err,
                     "'%s' was made from other data or settings (key %.8s, now %.8s); give "
                     "another 'tokenized_path', remove the file, or set 'overwrite_cache: true'",
                     job->path, have, want);
}

/* 1: opened; 0: there is none that can be used; -1: there is one that must not be. Collective. */
static int try_reuse(struct job *job, struct sample_store *store, struct error *err)
{
    const struct prepare_params *params = job->params;
    struct error why = { { 0 } };

    if (params->overwrite_cache || !exists_everywhere(job))
        return 0;
    if (sample_store_open(store, job->path, params->budget_bytes, job->dist, &why) < 0) {
        log_warn("the sample store cannot be used and is made again: %s", why.msg);
        return 0;
    }
    if (!hash_equal(store->key, job->key)) {
        (void)foreign_store(job, store, err);
        sample_store_close(store);
        return -1;
    }
    if (store->skipped > 0 && !params->skip_bad_samples) {
        sample_store_close(store); // making it again names the bad row
        return 0;
    }
    store->reused = 1;
    return 1;
}

static void say_left_out(const struct encoded *encoded)
{
    if (encoded->dropped > 0)
        log_warn("%lld rows are not usable and left out, as in LLaMA-Factory; the first: %s",
                 (long long)encoded->dropped, encoded->first_dropped);
    if (encoded->skipped > 0)
        log_warn("%lld bad rows skipped (on_bad_sample: skip); the first: %s",
                 (long long)encoded->skipped, encoded->first_skipped);
}

/* A part without rows is easier to mend when one of the reasons is said. */
static int plan(struct parts *parts, const struct job *job, const struct row_table *table,
                const struct encoded *encoded, struct error *err)
{
    const char *first = encoded->first_dropped[0] ? encoded->first_dropped : encoded->first_skipped;
    int rc = parts_plan(parts, &job->source, table, job->params, err);
    struct error outer = *err;

    if (rc < 0 && first[0] && strstr(err->msg, "can be used"))
        (void)error_set(err, "%.400s; the first: %s", outer.msg, first);
    return dist_agree(job->dist, rc, err);
}

static int make_folder(const struct job *job, struct error *err)
{
    int rc = 0;

    if (job->dist->rank == 0 && !job->params->dry_run) {
        rc = folder_make(job->folder, err);
        if (rc == 0)
            rc = h5file_clean(job->folder, STALE_S, err);
    }
    return dist_agree(job->dist, rc, err);
}

/* The file, or with dry_run its counts. Collective. */
static int keep(const struct job *job, struct sample_store *store, const struct encoded *encoded,
                const struct row_table *table, const struct parts *parts, struct error *err)
{
    const struct prepare_params *params = job->params;

    if (params->dry_run) {
        if (dist_agree(job->dist,
                       store_count(store, job->path, encoded, table, parts, params, job->key, err),
                       err) == 0)
            return 0;
        sample_store_close(store);
        return -1;
    }
    if (store_write(job->path, &job->source, encoded, table, parts, params, job->key,
                    strbuf_text(&job->settings), job->dist, err) < 0)
        return -1;
    return sample_store_open(store, job->path, params->budget_bytes, job->dist, err);
}

/* Encodes all rows. Collective; 0, -1 or PREPARE_INTERRUPTED. */
static int build(struct job *job, struct sample_store *store, struct error *err)
{
    struct encoded encoded = { 0 };
    struct row_table table = { 0 };
    struct parts parts = { 0 };
    int rc = make_folder(job, err);

    if (rc == 0)
        rc = encode_rows(&encoded, &job->source, job->params, job->dist, err);
    if (rc != 0)
        goto out;
    rc = -1;
    say_left_out(&encoded);
    if (row_table_gather(&table, &job->source, &encoded, job->dist, err) < 0 ||
        plan(&parts, job, &table, &encoded, err) < 0)
        goto out;
    rc = keep(job, store, &encoded, &table, &parts, err);
out:
    parts_release(&parts);
    row_table_release(&table);
    encoded_release(&encoded);
    return rc;
}

/* Collective; 0, -1 or PREPARE_INTERRUPTED. */
static int find_key(struct job *job, struct error *err)
{
    struct hash content = { 0, 0 };
    int stopped = 0;

    if (source_open(&job->source, job->params, job->dist, err) < 0 ||
        source_hash(&job->source, job->params, job->dist, &content, &stopped, err) < 0)
        return -1;
    if (stopped)
        return PREPARE_INTERRUPTED;
    job->key = prepare_key(&job->source, content, strbuf_text(&job->settings), job->settings.len,
                           job->params->seed);
    return 0;
}

static int run(struct job *job, struct sample_store *store, struct prepare_report *report,
               struct error *err)
{
    int rc = find_key(job, err);

    if (rc != 0)
        return rc;
    report->source_rows = job->source.rows;
    if (dist_agree(job->dist, choose_path(job, err), err) < 0)
        return -1;
    rc = try_reuse(job, store, err);
    if (rc != 0)
        return rc < 0 ? -1 : PREPARE_DONE;
    return build(job, store, err);
}

int prepare_samples(struct sample_store *store, const struct prepare_params *params,
                    struct prepare_report *report, const struct dist *dist, struct error *err)
{
    struct job job = { .params = params, .dist = dist };
    struct prepare_report ignored;
    const double start_s = clock_s();
    int rc = check_params(params, err);

    *store = (struct sample_store){ 0 };
    if (!report)
        report = &ignored;
    *report = (struct prepare_report){ 0 };
    if (rc == 0)
        rc = prepare_settings(params, &job.settings, err);
    rc = dist_agree(dist, rc, err);
    if (rc == 0)
        rc = run(&job, store, report, err);
    report->total_s = clock_s() - start_s;
    source_close(&job.source);
    strbuf_release(&job.settings);
    free(job.path);
    free(job.folder);
    return rc;
}
