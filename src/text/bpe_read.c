/*
 * text/bpe_read.c: the model part of tokenizer.json.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bpe_internal.h"

/* A setting that must be null or absent (or, for texts, empty) because we do not do it. */
static int refuse_setting(const json_t *json, const char *key, struct error *err)
{
    const json_t *value = json_object_get(json, key);

    if (!value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
        return 0;
    if (json_is_number(value) && json_number_value(value) == 0)
        return 0;
    return error_set(err, "'%s' is set, which is not supported", key);
}

static int read_settings(struct bpe *bpe, const json_t *json, const char **unk, size_t *unk_len,
                         struct error *err)
{
    const char *type = "BPE";

    if (json_get_string(json, "type", &type, err) < 0)
        return -1;
    if (strcmp(type, "BPE") != 0)
        return error_set(err, "type '%.100s' is not supported, only BPE is", type);
    if (refuse_setting(json, "dropout", err) < 0 ||
        refuse_setting(json, "continuing_subword_prefix", err) < 0 ||
        refuse_setting(json, "end_of_word_suffix", err) < 0)
        return -1;
    if (json_get_bool(json, "fuse_unk", &bpe->fuse_unk, err) < 0 ||
        json_get_bool(json, "byte_fallback", &bpe->byte_fallback, err) < 0 ||
        json_get_bool(json, "ignore_merges", &bpe->ignore_merges, err) < 0)
        return -1;
    return json_get_string_len(json, "unk_token", unk, unk_len, err);
}

/* -------------------------------------------------------------- vocabulary */

static int read_token(struct bpe *bpe, const char *text, size_t len, const json_t *value,
                      struct error *err)
{
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;

    if (id < 0 || id >= VOCAB_ID_MAX)
        return error_set(err, "token '%.100s' has no id from 0 to %d", text, VOCAB_ID_MAX - 1);
    if (len == 0) // never looked up
        return 0;
    if (id >= bpe->end) {
        size_t cap = (size_t)bpe->end;
        size_t need = (size_t)id + 1;

        if (mem_grow(&bpe->by_id, &cap, need, sizeof(*bpe->by_id), err) < 0)
            return -1;
        for (size_t i = (size_t)bpe->end; i < cap; i++)
            bpe->by_id[i] = SIZE_MAX;
        bpe->end = (int32_t)cap;
    }
    if (bpe->by_id[id] != SIZE_MAX)
        return error_set(err, "tokens '%.100s' and '%.100s' have one id, %d",
                         bpe->vocab.texts + bpe->by_id[id], text, (int)id);
    bpe->by_id[id] = bpe->vocab.used;
    return vocab_add(&bpe->vocab, text, len, (int32_t)id, err);
}

static int read_vocab(struct bpe *bpe, const json_t *json, struct error *err)
{
    json_t *vocab = NULL;
    json_t *value;
    const char *key;
    size_t len;

    if (json_need_object(json, "vocab", &vocab, err) < 0 ||
        vocab_init(&bpe->vocab, json_object_size(vocab), err) < 0)
        return -1;
    json_object_keylen_foreach(vocab, key, len, value)
    {
        if (read_token(bpe, key, len, value, err) < 0)
            return -1;
    }
    while (bpe->end > 0 && bpe->by_id[bpe->end - 1] == SIZE_MAX)
        bpe->end--;
    return 0;
}

/* ------------------------------------------------------------------- merges */

/* The two sides of a merge, "a b" or ["a", "b"]. */
static int merge_sides(const json_t *item, const char *side[2], size_t len[2])
{
    const char *space;

    if (json_is_array(item) && json_array_size(item) == 2) {
        for (size_t i = 0; i < 2; i++) {
            const json_t *text = json_array_get(item, i);

            if (!json_is_string(text))
                return -1;
            side[i] = json_string_value(text);
            len[i] = json_string_length(text);
        }
        return 0;
    }
    if (!json_is_string(item))
        return -1;
    side[0] = json_string_value(item);
    len[0] = json_string_length(item);
    space = memchr(side[0], ' ', len[0]);
    if (!space)
        return -1;
    side[1] = space + 1;
    len[1] = len[0] - (size_t)(side[1] - side[0]);
    len[0] = (size_t)(space - side[0]);
    return memchr(side[1], ' ', len[1]) ? -1 : 0;
}

static void put_merge(struct bpe *bpe, int32_t a, int32_t b, uint32_t rank, int32_t id)
{
    uint64_t key = (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
    size_t i = merge_place(key) & bpe->merge_mask;

    while (bpe->merges[i].key != MERGE_FREE && bpe->merges[i].key != key)
        i = (i + 1) & bpe->merge_mask;
    bpe->merges[i] = (struct merge_slot){ .key = key, .rank = rank, .id = id };
}

/* True when U+2581 follows another character in the token. */
static int mark_inside(const char *text, size_t len)
{
    static const char mark[] = "\xE2\x96\x81";
    size_t at = 0;

    while (len - at >= 3 && memcmp(text + at, mark, 3) == 0)
        at += 3;
    for (; at + 3 <= len; at++)
        if (memcmp(text + at, mark, 3) == 0)
            return 1;
    return 0;
}

static int read_merge(struct bpe *bpe, const json_t *item, uint32_t rank, struct strbuf *joined,
                      struct error *err)
{
    const char *side[2];
    size_t len[2];
    int32_t id[3];

    if (merge_sides(item, side, len) < 0)
        return error_set(err, "merge %u is not of two tokens", (unsigned)rank);
    strbuf_reset(joined);
    for (int i = 0; i < 2; i++)
        strbuf_add(joined, side[i], len[i]);
    if (strbuf_check(joined, err) < 0)
        return -1;
    for (int i = 0; i < 3; i++) {
        const char *text = i < 2 ? side[i] : strbuf_text(joined);
        size_t size = i < 2 ? len[i] : joined->len;

        id[i] = vocab_find(&bpe->vocab, text, size);
        if (id[i] < 0)
            return error_set(err, "merge %u needs the token '%.*s', which is not in the vocabulary",
                             (unsigned)rank, (int)(size < 100 ? size : 100), text);
    }
    if (mark_inside(strbuf_text(joined), joined->len))
        bpe->cut_at_mark = 0;
    put_merge(bpe, id[0], id[1], rank, id[2]);
    return 0;
}

static int read_merges(struct bpe *bpe, const json_t *json, struct error *err)
{
    struct strbuf joined = { 0 };
    json_t *list = NULL;
    size_t slots = 16;
    uint32_t rank = 0;
    int rc = -1;

    if (json_need_array(json, "merges", &list, err) < 0)
        return -1;
    if (json_array_size(list) >= RANK_NONE)
        return error_set(err, "too many merges");
    while (slots < json_array_size(list) * 2)
        slots *= 2;
    bpe->merges = mem_alloc(slots, sizeof(*bpe->merges), err);
    if (!bpe->merges)
        return -1;
    bpe->merge_mask = slots - 1;
    for (size_t i = 0; i < slots; i++)
        bpe->merges[i] = (struct merge_slot){ .key = MERGE_FREE, .rank = RANK_NONE, .id = -1 };
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);

        if (json_is_string(item) && strncmp(json_string_value(item), "#version", 8) == 0)
            continue; // a heading left over from a merges.txt
        if (read_merge(bpe, item, rank++, &joined, err) < 0)
            goto out;
    }
    rc = 0;
out:
    strbuf_release(&joined);
    return rc;
}

/* ------------------------------------------------------------ derived tables */

static void find_byte_ids(struct bpe *bpe)
{
    bpe->all_bytes = bpe->byte_level;
    for (int b = 0; b < 256; b++) {
        char text[8];
        size_t len;

        (void)snprintf(text, sizeof(text), "<0x%02X>", (unsigned)b);
        bpe->fallback[b] = vocab_find(&bpe->vocab, text, 6);
        len = utf8_put(text, bpe->byte_level ? byte_level_char((unsigned char)b) : (uint32_t)b);
        bpe->byte_id[b] = bpe->byte_level || b < 0x80 ? vocab_find(&bpe->vocab, text, len) : -1;
        if (bpe->byte_id[b] < 0)
            bpe->all_bytes = 0;
    }
}

/* True when every character has ids, if need be those of its bytes. */
static int always_falls_back(const struct bpe *bpe)
{
    for (int b = 0; b < 256; b++)
        if (bpe->fallback[b] < 0)
            return 0;
    return bpe->byte_fallback;
}

/* Byte-level tokens by the bytes that they stand for. */
static int find_raw(struct bpe *bpe, struct error *err)
{
    int16_t byte[0x144]; // by character, -1: stands for no byte

    if (vocab_init(&bpe->raw, bpe->vocab.count, err) < 0)
        return -1;
    memset(byte, -1, sizeof(byte));
    for (int b = 0; b < 256; b++)
        byte[byte_level_char((unsigned char)b)] = (int16_t)b;
    for (size_t i = 0; i <= bpe->vocab.mask; i++) {
        const struct vocab_slot *slot = &bpe->vocab.slots[i];
        char *raw;
        size_t n = 0;
        int rc = 0;

        if (slot->id < 0)
            continue;
        raw = mem_alloc(slot->len, 1, err);
        if (!raw)
            return -1;
        for (size_t at = 0; at < slot->len && n != SIZE_MAX;) {
            size_t width;
            uint32_t c = utf8_get((const unsigned char *)bpe->vocab.texts + slot->at + at, &width);

            if (c < 0x144 && byte[c] >= 0)
                raw[n++] = (char)byte[c];
            else
                n = SIZE_MAX;
            at += width;
        }
        if (n != SIZE_MAX)
            rc = vocab_add(&bpe->raw, raw, n, slot->id, err);
        free(raw);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int read_model(struct bpe *bpe, const json_t *json, struct error *err)
{
    const char *unk = NULL;
    size_t unk_len = 0;

    if (read_settings(bpe, json, &unk, &unk_len, err) < 0 || read_vocab(bpe, json, err) < 0)
        return -1;
    bpe->unk = unk ? vocab_find(&bpe->vocab, unk, unk_len) : -1;
    if (unk && bpe->unk < 0)
        bpe->unk = UNK_MISSING;
    bpe->cut_at_mark = !bpe->byte_level && !bpe->ignore_merges &&
                       vocab_find(&bpe->vocab, "\xE2\x96\x81", 3) >= 0 &&
                       !(unk && strstr(unk, "\xE2\x96\x81"));
    if (read_merges(bpe, json, err) < 0)
        return -1;
    find_byte_ids(bpe);
    if (bpe->unk < 0 && !always_falls_back(bpe)) // characters left out make others neighbours
        bpe->cut_at_mark = 0;
    if (bpe->byte_level && bpe->ignore_merges && find_raw(bpe, err) < 0)
        return -1;
    return bpe_cache_init(bpe, err);
}

int bpe_open(struct bpe **bpe, const json_t *json, int byte_level, struct error *err)
{
    struct bpe *b;

    *bpe = NULL;
    if (!json_is_object(json))
        return error_set(err, "'model' is %s, not an object", json_kind(json));
    b = mem_alloc(1, sizeof(*b), err);
    if (!b)
        return -1;
    b->byte_level = byte_level;
    if (read_model(b, json, err) < 0) {
        bpe_close(b);
        return error_wrap(err, "model");
    }
    *bpe = b;
    return 0;
}
