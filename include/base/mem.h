/*
 * base/mem.h: checked sizes and the only allocator of the program.
 *
 * Sizes saturate: a product or sum that does not fit becomes SIZE_MAX, which
 * no allocation grants, so a hostile size ends as "out of memory", never as a
 * small block. Every allocation of ours goes through here; the environment
 * variable LOWRANK_FAIL_ALLOC=n makes the n-th one fail, for tests.
 *
 * Local.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#include "base/error.h"

size_t size_mul(size_t a, size_t b);
size_t size_mul3(size_t a, size_t b, size_t c);
size_t size_add(size_t a, size_t b);

/* count * size zeroed bytes; NULL with err filled in. count 0 gives a block that may be freed. */
void *mem_alloc(size_t count, size_t size, struct error *err);

/* The block grown or shrunk to count * size bytes; on failure NULL and the old block stays. */
void *mem_realloc(void *block, size_t count, size_t size, struct error *err);

/*
 * Room for one more element in an array that grows by half: on success
 * *array has room for at least need elements and *cap says how many.
 */
int mem_grow(void *array, size_t *cap, size_t need, size_t size, struct error *err);

/* A copy of the string, or of its first len bytes with a zero after them. */
char *mem_strdup(const char *s, struct error *err);
char *mem_strndup(const char *s, size_t len, struct error *err);

#endif
