/*
 * text/bpe_internal.h: a BPE model as bpe_read.c lays it out and bpe.c uses it.
 */
#ifndef TEXT_BPE_INTERNAL_H
#define TEXT_BPE_INTERNAL_H

#include "text_internal.h"
#include "vocab.h"

#define RANK_NONE      UINT32_MAX // no such merge
#define MERGE_FREE     UINT64_MAX // no pair has this key
#define SYMBOL_NONE    UINT32_MAX
#define UNK_MISSING    (-2) // unk_token is set and not in the vocabulary
#define CACHE_TEXT_MAX 30   // bytes: a slot of the cache fills a cache line
#define CACHE_IDS_MAX  8

struct merge_slot {
    uint64_t key; // the two ids
    uint32_t rank;
    int32_t id; // what they become
};

/* Where a pair is looked for first. */
static inline size_t merge_place(uint64_t key)
{
    key *= 0x9E3779B97F4A7C15u;
    return (size_t)(key ^ key >> 32);
}

/* A symbol of a long word; symbols form a list. */
struct symbol {
    int32_t id;
    uint32_t before, next;
    uint32_t rank;  // of the merge with the next symbol
    int32_t merged; // what the two become
};

struct cache_slot {
    unsigned char len, n; // len 0: free
    char text[CACHE_TEXT_MAX];
    int32_t ids[CACHE_IDS_MAX];
};

struct bpe {
    struct vocab vocab;
    struct vocab raw; // byte-level tokens as the bytes they stand for (ignore_merges only)
    size_t *by_id;    // [end] where a token's text is in vocab.texts, or SIZE_MAX
    int32_t end;
    struct merge_slot *merges;
    size_t merge_mask;
    int32_t byte_id[256];  // byte-level: id of a byte; else of an ASCII character; -1: none
    int32_t fallback[256]; // id of "<0x..>", -1: none
    int32_t unk;           // -1: none, or UNK_MISSING
    int byte_level, all_bytes, byte_fallback, fuse_unk, ignore_merges, cut_at_mark;
    struct cache_slot *cache;
    int32_t *v; // symbols of the word in hand
    struct symbol *symbols;
    uint64_t *heap;
    size_t v_cap, symbols_cap, heap_cap, heap_n;
};

int bpe_cache_init(struct bpe *bpe, struct error *err);

#endif
