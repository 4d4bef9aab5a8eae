/*
 * data/prepare_key.c: the hash of everything that decides a store's content.
 */
#include "data_internal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "prepare_internal.h"
#include "text/template.h"

#define HASH_BLOCK ((uint64_t)16 << 20)

static uint64_t blocks_of(const struct source_file *file)
{
    return file->used / HASH_BLOCK + (file->used % HASH_BLOCK != 0);
}

static struct hash hash_block(const struct source_file *file, uint64_t block)
{
    const uint64_t at = block * HASH_BLOCK;
    const uint64_t left = file->used - at;

    return hash_bytes(file->map.bytes + at, left < HASH_BLOCK ? left : HASH_BLOCK);
}

/* Hashes blocks [from, to) of all files counted together. */
static void hash_mine(const struct source *source, const struct prepare_params *params,
                      uint64_t from, uint64_t to, struct hash *out, int64_t *stopped)
{
    uint64_t block0 = 0, b;
    int i;

    for (i = 0; i < source->file_count; i++) {
        const uint64_t count = blocks_of(&source->files[i]);

        for (b = 0; b < count; b++) {
            if (block0 + b < from || block0 + b >= to)
                continue;
            if (params->stop && params->stop(params->stop_arg)) {
                *stopped = 1;
                return;
            }
            out[block0 + b] = hash_block(&source->files[i], b);
        }
        block0 += count;
    }
}

/* Sizes and block hashes of all files, in order. */
static struct hash hash_all(const struct source *source, const struct hash *blocks)
{
    struct hash hash = { 0, 0 };
    uint64_t block0 = 0;
    int i;

    for (i = 0; i < source->file_count; i++) {
        const uint64_t count = blocks_of(&source->files[i]);

        hash = hash_chain(hash, &source->files[i].used, sizeof(source->files[i].used));
        hash = hash_chain(hash, blocks + block0, count * sizeof(*blocks));
        block0 += count;
    }
    return hash;
}

int source_hash(const struct source *source, const struct prepare_params *params,
                const struct dist *dist, struct hash *hash, int *stopped, struct error *err)
{
    uint64_t *bounds = mem_alloc((size_t)dist->size + 1, sizeof(*bounds), err);
    struct hash *blocks = NULL;
    uint64_t total = 0;
    int64_t stop = 0;
    int i, r, rc;

    for (i = 0; i < source->file_count; i++)
        total += blocks_of(&source->files[i]);
    if (bounds)
        blocks = mem_alloc(total, sizeof(*blocks), err);
    rc = dist_agree(dist, blocks ? 0 : -1, err);
    if (rc < 0)
        goto out;
    dist_cut(dist, total, 1, bounds);
    hash_mine(source, params, bounds[dist->rank], bounds[dist->rank + 1], blocks, &stop);
    dist_max_i64(dist, &stop, 1);
    *stopped = (int)stop;
    for (r = 0; r <= dist->size; r++)
        bounds[r] *= sizeof(*blocks);
    dist_gather_pieces(dist, blocks, bounds);
    *hash = hash_all(source, blocks);
out:
    free(bounds);
    free(blocks);
    return rc;
}

int prepare_settings(const struct prepare_params *params, struct strbuf *text, struct error *err)
{
    char template[HASH_TEXT_MAX];
    int i;

    hash_text(template_hash(params->template), template);
    strbuf_printf(text, "format %d\ntemplate %s\ncutoff_len %d\npacking %d\n", PREPARE_FORMAT,
                  template, params->cutoff_len, (int)params->packing);
    if (params->packing != PACKING_OFF)
        strbuf_printf(text, "window %d\nworkers %d\n", params->preprocessing_batch_size,
                      params->preprocessing_num_workers);
    strbuf_printf(text, "max_samples %lld\n",
                  params->max_samples > 0 ? (long long)params->max_samples : 0LL);
    if (params->val_size > 0)
        strbuf_printf(text, "val_size %.17g\nseed %llu\n", params->val_size,
                      (unsigned long long)params->seed);
    for (i = 0; params->eval_on_each_dataset && i < params->eval_dataset_count; i++)
        strbuf_printf(text, "eval %s\n", params->eval_dataset[i]);
    return strbuf_check(text, err);
}

struct hash prepare_key(const struct source *source, struct hash content, const char *settings,
                        size_t settings_len, uint64_t seed)
{
    struct hash key = hash_bytes(settings, settings_len);
    int i;

    key = hash_chain(key, &content, sizeof(content));
    for (i = 0; i < source->set_count; i++) {
        const struct source_set *set = &source->sets[i];
        const int64_t shape[2] = { set->part, set->file_count };

        key = hash_chain(key, &set->entry, sizeof(set->entry));
        key = hash_chain(key, shape, sizeof(shape));
        if (set->pick)
            key = hash_chain(key, &seed, sizeof(seed));
    }
    return key;
}
