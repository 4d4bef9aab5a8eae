/*
 * text/bpe.c: byte pair encoding of a word.
 *
 * A word starts as its characters, each an id, and the pair of neighbours
 * with the lowest merge rank, the leftmost of equals, is replaced by its
 * merge until no pair has one. Short words do this over an array of pair
 * ranks, long ones with a heap; words that came before are in a cache.
 *
 * Byte-level models write each byte as a character of its own. Here words
 * stay bytes and the table of first ids is by byte.
 *
 * Models without a pre-tokenizer (Llama 2) give a whole text as one word. When
 * no merge makes a token in which U+2581 follows another character, no merge
 * can cross such a place, and the text is cut there into words that fit the
 * cache: the ids are the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bpe_internal.h"

#define SHORT_MAX  48 // symbols of a word that is merged by looking at all pairs
#define CACHE_BITS 15

static const char space_mark[] = "\xE2\x96\x81"; // U+2581

/* ------------------------------------------------------------------ merging */

static inline uint64_t pair_key(int32_t a, int32_t b)
{
    return (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
}

static inline const struct merge_slot *find_merge(const struct bpe *bpe, int32_t a, int32_t b)
{
    uint64_t key = pair_key(a, b);

    for (size_t i = merge_place(key) & bpe->merge_mask;; i = (i + 1) & bpe->merge_mask) {
        const struct merge_slot *slot = &bpe->merges[i];

        if (slot->key == key || slot->key == MERGE_FREE)
            return slot;
    }
}

/* Merges v[0, n) in place; returns how many ids are left. n <= SHORT_MAX. */
static size_t merge_short(const struct bpe *bpe, int32_t *v, size_t n)
{
    uint32_t rank[SHORT_MAX];
    int32_t id[SHORT_MAX];

    for (size_t i = 0; i + 1 < n; i++) {
        const struct merge_slot *slot = find_merge(bpe, v[i], v[i + 1]);

        rank[i] = slot->rank;
        id[i] = slot->id;
    }
    while (n > 1) {
        uint32_t best = RANK_NONE;
        size_t at = 0;

        for (size_t i = 0; i + 1 < n; i++) {
            if (rank[i] < best) {
                best = rank[i];
                at = i;
            }
        }
        if (best == RANK_NONE)
            break;
        v[at] = id[at];
        n--;
        for (size_t i = at + 1; i < n; i++) {
            v[i] = v[i + 1];
            rank[i - 1] = rank[i];
            id[i - 1] = id[i];
        }
        for (size_t i = at > 0 ? at - 1 : 0; i <= at && i + 1 < n; i++) {
            const struct merge_slot *slot = find_merge(bpe, v[i], v[i + 1]);

            rank[i] = slot->rank;
            id[i] = slot->id;
        }
    }
    return n;
}

static void heap_push(struct bpe *bpe, uint64_t item)
{
    size_t i = bpe->heap_n++;

    while (i > 0 && bpe->heap[(i - 1) / 2] > item) {
        bpe->heap[i] = bpe->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    bpe->heap[i] = item;
}

static uint64_t heap_pop(struct bpe *bpe)
{
    uint64_t top = bpe->heap[0];
    uint64_t item = bpe->heap[--bpe->heap_n];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= bpe->heap_n)
            break;
        if (child + 1 < bpe->heap_n && bpe->heap[child + 1] < bpe->heap[child])
            child++;
        if (bpe->heap[child] >= item)
            break;
        bpe->heap[i] = bpe->heap[child];
        i = child;
    }
    bpe->heap[i] = item;
    return top;
}

/* Notes the merge of the symbol at place i with the next one, when there is one. */
static void note_pair(struct bpe *bpe, uint32_t i)
{
    struct symbol *s = &bpe->symbols[i];
    const struct merge_slot *slot;

    s->rank = RANK_NONE;
    if (s->next == SYMBOL_NONE)
        return;
    slot = find_merge(bpe, s->id, bpe->symbols[s->next].id);
    s->rank = slot->rank;
    s->merged = slot->id;
    if (s->rank != RANK_NONE)
        heap_push(bpe, (uint64_t)s->rank << 32 | i);
}

/*
 * The same for any n. An entry of the heap is rank and place; it is out of
 * date when the pair at that place has another rank by now. At most 3 n
 * entries: n at first, two for each merge.
 */
static int merge_long(struct bpe *bpe, int32_t *v, size_t *n, struct error *err)
{
    size_t count = *n;
    size_t kept = 0;

    if (count >= SYMBOL_NONE)
        return error_set(err, "a word of %zu characters is too long", count);
    if (mem_grow(&bpe->symbols, &bpe->symbols_cap, count, sizeof(*bpe->symbols), err) < 0 ||
        mem_grow(&bpe->heap, &bpe->heap_cap, size_mul(count, 3), sizeof(*bpe->heap), err) < 0)
        return -1;
    bpe->heap_n = 0;
    for (uint32_t i = 0; i < count; i++)
        bpe->symbols[i] = (struct symbol){ .id = v[i],
                                           .before = i ? i - 1 : SYMBOL_NONE,
                                           .next = i + 1 < count ? i + 1 : SYMBOL_NONE };
    for (uint32_t i = 0; i < count; i++)
        note_pair(bpe, i);
    while (bpe->heap_n > 0) {
        uint64_t top = heap_pop(bpe);
        uint32_t at = (uint32_t)top;
        struct symbol *s = &bpe->symbols[at];
        struct symbol *right;

        if (s->rank != (uint32_t)(top >> 32))
            continue;
        right = &bpe->symbols[s->next];
        right->rank = RANK_NONE;
        s->id = s->merged;
        s->next = right->next;
        if (s->next != SYMBOL_NONE)
            bpe->symbols[s->next].before = at;
        note_pair(bpe, at);
        if (s->before != SYMBOL_NONE)
            note_pair(bpe, s->before);
    }
    for (uint32_t i = 0; i != SYMBOL_NONE; i = bpe->symbols[i].next)
        v[kept++] = bpe->symbols[i].id;
    *n = kept;
    return 0;
}

/* ------------------------------------------------------------- first symbols */

/* What a character becomes before merging; n 0: nothing is known of it. */
static int char_ids(const struct bpe *bpe, const char *text, size_t len, int32_t ids[4])
{
    ids[0] = vocab_find(&bpe->vocab, text, len);
    if (ids[0] >= 0)
        return 1;
    if (!bpe->byte_fallback)
        return 0;
    for (size_t i = 0; i < len; i++) {
        ids[i] = bpe->fallback[(unsigned char)text[i]];
        if (ids[i] < 0)
            return 0;
    }
    return -(int)len;
}

/* Unknown characters wait until a known one comes; that is when the library writes them. */
struct unknown {
    int waits;
    int missing; // unk_token was needed and is not in the vocabulary
};

/* Puts the ids of a character at v, at most 5; returns how many. */
static size_t put_char(const struct bpe *bpe, const char *text, size_t len, struct unknown *unk,
                       int32_t *v)
{
    int32_t ids[4];
    int n = char_ids(bpe, text, len, ids);
    size_t put = 0;

    if (n == 1) { // found: after what waits
        if (unk->waits)
            v[put++] = bpe->unk;
        unk->waits = 0;
        v[put++] = ids[0];
    } else if (n < 0) { // bytes: before what waits
        for (int i = 0; i < -n; i++)
            v[put++] = ids[i];
    } else if (bpe->unk == UNK_MISSING) {
        unk->missing = 1;
    } else if (bpe->unk >= 0) {
        if (unk->waits && !bpe->fuse_unk)
            v[put++] = bpe->unk;
        unk->waits = 1;
    }
    return put;
}

/* The symbols of a word into bpe->v, at most 2 len + 1; -1 when unk_token fails. */
static int first_symbols(struct bpe *bpe, const char *word, size_t len, size_t *count)
{
    struct unknown unk = { 0 };
    int32_t *v = bpe->v;
    size_t n = 0;

    *count = len;
    if (bpe->all_bytes) {
        for (size_t i = 0; i < len; i++)
            v[i] = bpe->byte_id[(unsigned char)word[i]];
        return 0;
    }
    for (size_t at = 0; at < len;) {
        char mapped[4];
        size_t width = 1;

        if (bpe->byte_level) {
            size_t size = utf8_put(mapped, byte_level_char((unsigned char)word[at]));

            n += put_char(bpe, mapped, size, &unk, v + n);
        } else {
            (void)utf8_get((const unsigned char *)word + at, &width);
            if (width == 1 && bpe->byte_id[(unsigned char)word[at]] >= 0 && !unk.waits)
                v[n++] = bpe->byte_id[(unsigned char)word[at]];
            else
                n += put_char(bpe, word + at, width, &unk, v + n);
        }
        at += width;
    }
    if (unk.waits)
        v[n++] = bpe->unk;
    *count = n;
    return unk.missing ? -1 : 0;
}

/* -------------------------------------------------------------------- words */

/* Encodes without the cache; the ids are in bpe->v. */
static int compute(struct bpe *bpe, const char *word, size_t len, size_t *n, struct error *err)
{
    if (mem_grow(&bpe->v, &bpe->v_cap, size_add(size_mul(len, 2), 2), sizeof(*bpe->v), err) < 0)
        return -1;
    if (bpe->ignore_merges) {
        bpe->v[0] = vocab_find(bpe->byte_level ? &bpe->raw : &bpe->vocab, word, len);
        *n = 1;
        if (bpe->v[0] >= 0)
            return 0;
    }
    if (first_symbols(bpe, word, len, n) < 0)
        return error_set(err, "a character needs the tokenizer's unk_token, which is not in its "
                              "vocabulary");
    if (*n > SHORT_MAX)
        return merge_long(bpe, bpe->v, n, err);
    if (*n > 1)
        *n = merge_short(bpe, bpe->v, *n);
    return 0;
}

static int encode_word(struct bpe *bpe, const char *word, size_t len, struct token_list *out,
                       struct error *err)
{
    struct cache_slot *slot;
    size_t n;

    if (len > CACHE_TEXT_MAX) {
        if (compute(bpe, word, len, &n, err) < 0)
            return -1;
        return token_list_extend(out, bpe->v, n, err);
    }
    slot = &bpe->cache[text_hash(word, len) >> (64 - CACHE_BITS)];
    if (slot->len != len || memcmp(slot->text, word, len) != 0) {
        if (compute(bpe, word, len, &n, err) < 0)
            return -1;
        if (n > CACHE_IDS_MAX)
            return token_list_extend(out, bpe->v, n, err);
        slot->len = (unsigned char)len;
        slot->n = (unsigned char)n;
        memcpy(slot->text, word, len);
        memcpy(slot->ids, bpe->v, n * sizeof(*slot->ids));
    }
    if (out->cap - out->n < CACHE_IDS_MAX)
        return token_list_extend(out, slot->ids, slot->n, err);
    memcpy(out->v + out->n, slot->ids, sizeof(slot->ids)); // a fixed size is quicker
    out->n += slot->n;
    return 0;
}

int bpe_encode(struct bpe *bpe, const char *word, size_t len, struct token_list *out,
               struct error *err)
{
    size_t start = 0;
    size_t at = 0;

    if (len == 0)
        return 0;
    if (!bpe->cut_at_mark)
        return encode_word(bpe, word, len, out, err);
    while (at < len) {
        const char *mark;

        while (len - at >= 3 && memcmp(word + at, space_mark, 3) == 0)
            at += 3;
        do { // to the next mark; its first byte also starts other characters
            mark = at < len ? memchr(word + at, 0xE2, len - at) : NULL;
            at = mark ? (size_t)(mark - word) + 1 : len;
        } while (mark && (len - (size_t)(mark - word) < 3 || memcmp(mark, space_mark, 3) != 0));
        if (mark)
            at = (size_t)(mark - word);
        if (encode_word(bpe, word + start, at - start, out, err) < 0)
            return -1;
        start = at;
    }
    return 0;
}

int32_t bpe_id(const struct bpe *bpe, const char *token, size_t len)
{
    return vocab_find(&bpe->vocab, token, len);
}

const char *bpe_token(const struct bpe *bpe, int32_t id)
{
    if (id < 0 || id >= bpe->end || bpe->by_id[id] == SIZE_MAX)
        return NULL;
    return bpe->vocab.texts + bpe->by_id[id];
}

size_t bpe_count(const struct bpe *bpe)
{
    return bpe->vocab.count;
}

int32_t bpe_end(const struct bpe *bpe)
{
    return bpe->end;
}

void bpe_close(struct bpe *bpe)
{
    if (!bpe)
        return;
    vocab_release(&bpe->vocab);
    vocab_release(&bpe->raw);
    free(bpe->by_id);
    free(bpe->merges);
    free(bpe->cache);
    free(bpe->v);
    free(bpe->symbols);
    free(bpe->heap);
    free(bpe);
}

int bpe_cache_init(struct bpe *bpe, struct error *err)
{
    bpe->cache = mem_alloc((size_t)1 << CACHE_BITS, sizeof(*bpe->cache), err);
    return bpe->cache ? 0 : -1;
}
