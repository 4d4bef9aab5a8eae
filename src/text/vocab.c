/*
 * text/vocab.c: a hash table from token texts to ids.
 */
#include "vocab.h"

#include <stdlib.h>

#include "base/mem.h"

int vocab_init(struct vocab *vocab, size_t count, struct error *err)
{
    size_t slots = 16;

    *vocab = (struct vocab){ 0 };
    while (slots < size_mul(count, 2))
        slots *= 2;
    vocab->slots = mem_alloc(slots, sizeof(*vocab->slots), err);
    if (!vocab->slots)
        return -1;
    for (size_t i = 0; i < slots; i++)
        vocab->slots[i].id = -1;
    vocab->mask = slots - 1;
    return 0;
}

void vocab_release(struct vocab *vocab)
{
    free(vocab->slots);
    free(vocab->texts);
    *vocab = (struct vocab){ 0 };
}

/* The slot of this text, or the free one where it would go. */
static struct vocab_slot *find_slot(const struct vocab *vocab, const char *text, size_t len,
                                    uint64_t hash)
{
    for (size_t i = (size_t)(hash >> 20) & vocab->mask;; i = (i + 1) & vocab->mask) {
        struct vocab_slot *slot = &vocab->slots[i];

        if (slot->id < 0 || (slot->hash == hash && slot->len == len &&
                             memcmp(vocab->texts + slot->at, text, len) == 0))
            return slot;
    }
}

int vocab_add(struct vocab *vocab, const char *text, size_t len, int32_t id, struct error *err)
{
    uint64_t hash = text_hash(text, len);
    struct vocab_slot *slot = find_slot(vocab, text, len, hash);

    if (slot->id >= 0 || vocab->count >= vocab->mask)
        BUG("vocab_add of '%s'", text);
    if (mem_grow(&vocab->texts, &vocab->cap, size_add(vocab->used, len + 1), 1, err) < 0)
        return -1;
    memcpy(vocab->texts + vocab->used, text, len);
    vocab->texts[vocab->used + len] = '\0';
    *slot = (struct vocab_slot){ .hash = hash, .at = vocab->used, .len = (uint32_t)len, .id = id };
    vocab->used += len + 1;
    vocab->count++;
    return 0;
}

int32_t vocab_find(const struct vocab *vocab, const char *text, size_t len)
{
    if (len == 0 || vocab->count == 0)
        return -1;
    return find_slot(vocab, text, len, text_hash(text, len))->id;
}
