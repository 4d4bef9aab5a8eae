/*
 * base/arena.c: a bump allocator over one anonymous mapping.
 */
#include "base/arena.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

/* What is between blocks may not be touched. */
#if ARENA_APART > 0
#include <sanitizer/asan_interface.h>

static void forbid(char *from, char *to)
{
    ASAN_POISON_MEMORY_REGION(from, (size_t)(to - from));
}

static void allow(char *from, char *to)
{
    ASAN_UNPOISON_MEMORY_REGION(from, (size_t)(to - from));
}
#else
static void forbid(const char *from, const char *to)
{
    (void)from;
    (void)to;
}

static void allow(const char *from, const char *to)
{
    (void)from;
    (void)to;
}
#endif

int arena_open(struct arena *arena, size_t cap, struct error *err)
{
    size_t bytes = cap ? cap : ARENA_ALIGN;
    void *base = bytes == SIZE_MAX ? MAP_FAILED
                                   : mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED)
        return error_set(err, "out of memory: cannot reserve %zu bytes: %s", bytes,
                         strerror(errno ? errno : ENOMEM));
#ifdef MADV_HUGEPAGE
    (void)madvise(base, bytes, MADV_HUGEPAGE); // fewer TLB misses; only advice
#endif
    *arena = (struct arena){ .base = base, .cap = bytes };
    return 0;
}

void *arena_take(struct arena *arena, size_t count, size_t size)
{
    size_t asked = size_mul(count, size);
    size_t bytes = asked > SIZE_MAX - ARENA_ALIGN
                       ? SIZE_MAX
                       : (asked + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    size_t before = arena->used, start = before > 0 ? size_add(before, ARENA_APART) : 0;

    arena->used = size_add(start, bytes);
    if (arena->used > arena->peak)
        arena->peak = arena->used;
    if (!arena->base)
        return NULL;
    if (arena->used > arena->cap)
        BUG("arena of %zu bytes is full: %zu more were asked for", arena->cap, bytes);
    forbid(arena->base + before, arena->base + start);
    allow(arena->base + start, arena->base + start + asked);
    forbid(arena->base + start + asked, arena->base + arena->used);
    return arena->base + start;
}

void arena_rewind(struct arena *arena, size_t used)
{
    if (used > arena->used)
        BUG("arena rewound forward, from %zu to %zu", arena->used, used);
    if (arena->base)
        forbid(arena->base + used, arena->base + arena->used);
    arena->used = used;
}

void arena_close(struct arena *arena)
{
    if (arena->base) {
        allow(arena->base, arena->base + arena->cap);
        (void)munmap(arena->base, arena->cap);
    }
    *arena = (struct arena){ 0 };
}
