/*
 * base/hash.h: 128-bit content hashes (XXH3). Not for security. Local.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct hash {
    uint64_t lo, hi;
};

#define HASH_TEXT_MAX 33 // 32 hexadecimal digits and the zero

struct hash hash_bytes(const void *bytes, size_t len);

/* Hash of the pair (a, bytes): order matters, lengths cannot be confused. */
struct hash hash_chain(struct hash a, const void *bytes, size_t len);

/* Hash of a file's content, read in pieces. */
int hash_file(struct hash *hash, const char *path, struct error *err);

int hash_equal(struct hash a, struct hash b);

/* Lower-case hexadecimal, most significant digit first. */
void hash_text(struct hash hash, char text[HASH_TEXT_MAX]);

#endif
