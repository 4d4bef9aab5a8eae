/*
 * base/arena.h: memory by lifetime.
 *
 * One function lays a struct out with arena_take(); run over a measuring
 * arena it adds up the bytes, run over a real one it gives the pointers. So
 * the forecast of memory and the use of it cannot differ.
 *
 *     struct arena arena = { 0 };       // measures
 *     acts_place(&acts, &arena, &shape);
 *     arena_open(&arena, arena.peak, &err);
 *     acts_place(&acts, &arena, &shape);
 *
 * Local.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/error.h"

#define ARENA_ALIGN 64 // bytes; one cache line, one AVX-512 register

/* Bytes between two blocks: under AddressSanitizer there are some, which it guards. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_APART ARENA_ALIGN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_APART ARENA_ALIGN
#endif
#endif
#ifndef ARENA_APART
#define ARENA_APART 0
#endif

struct arena {
    char *base; // NULL: measuring
    size_t used, peak, cap;
};

/* Reserves cap bytes, untouched: pages that are never written cost nothing. */
int arena_open(struct arena *arena, size_t cap, struct error *err);

/* count * size bytes, aligned; NULL while measuring. Past the reserve is a BUG. Not zeroed. */
void *arena_take(struct arena *arena, size_t count, size_t size);

/* Everything taken since used had this value is given back. */
void arena_rewind(struct arena *arena, size_t used);

void arena_close(struct arena *arena);

#endif
