/*
 * text/vocab.h: token texts and ids, found either way.
 */
#ifndef TEXT_VOCAB_H
#define TEXT_VOCAB_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

#define VOCAB_ID_MAX (1 << 24) // ids are below this

/* Mixes all bytes of a text that is at least 1 long; short texts are most of them. */
static inline uint64_t text_hash(const char *p, size_t len)
{
    uint64_t a = 0;
    uint64_t b = len;

    while (len > 16) {
        uint64_t x, y;

        memcpy(&x, p, 8);
        memcpy(&y, p + 8, 8);
        a = (a ^ x) * 0x9E3779B97F4A7C15u;
        b = (b ^ y ^ a >> 29) * 0xC2B2AE3D27D4EB4Fu;
        p += 16;
        len -= 16;
    }
    if (len >= 8) {
        uint64_t x, y;

        memcpy(&x, p, 8);
        memcpy(&y, p + len - 8, 8);
        a ^= x;
        b ^= y * 0x165667B19E3779F9u;
    } else if (len >= 4) {
        uint32_t x, y;

        memcpy(&x, p, 4);
        memcpy(&y, p + len - 4, 4);
        a ^= (uint64_t)x << 32 | y;
    } else {
        a ^= (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[len >> 1] << 8 |
             (unsigned char)p[len - 1];
    }
    a = (a ^ b) * 0x9E3779B97F4A7C15u;
    a ^= a >> 32;
    return a * 0xC2B2AE3D27D4EB4Fu;
}

/* A table from texts to ids, open addressing; texts are kept in one block. */
struct vocab {
    struct vocab_slot {
        uint64_t hash;
        size_t at;
        uint32_t len;
        int32_t id; // -1: free
    } * slots;
    size_t mask;  // slots - 1
    size_t count; // texts
    char *texts;
    size_t used, cap;
};

/* Room for count texts. */
int vocab_init(struct vocab *vocab, size_t count, struct error *err);
void vocab_release(struct vocab *vocab);

/* Adds a text that is not there; 1 to UINT32_MAX bytes. More than init's count is a BUG. */
int vocab_add(struct vocab *vocab, const char *text, size_t len, int32_t id, struct error *err);

/* -1 when it is not there. */
int32_t vocab_find(const struct vocab *vocab, const char *text, size_t len);

#endif
