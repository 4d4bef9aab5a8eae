/*
 * base/mem.c: saturating sizes, checked allocation, injected failure.
 *
 * Blocks come from malloc() and are released with free(): no wrapper around
 * free() would do more.
 */
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t size_mul(size_t a, size_t b)
{
    size_t r;

    return __builtin_mul_overflow(a, b, &r) ? SIZE_MAX : r;
}

size_t size_mul3(size_t a, size_t b, size_t c)
{
    return size_mul(size_mul(a, b), c);
}

size_t size_add(size_t a, size_t b)
{
    size_t r;

    return __builtin_add_overflow(a, b, &r) ? SIZE_MAX : r;
}

/* Counts down from LOWRANK_FAIL_ALLOC; true once, at the allocation to fail. */
static int injected_failure(void)
{
    static long left = -1;
    const char *text;
    long now;

    if (left == -1) {
        text = getenv("LOWRANK_FAIL_ALLOC");
        left = text ? strtol(text, NULL, 10) : 0;
    }
    if (left <= 0)
        return 0;
    now = __atomic_sub_fetch(&left, 1, __ATOMIC_RELAXED);
    return now == 0;
}

static void *out_of_memory(size_t bytes, struct error *err)
{
    if (bytes == SIZE_MAX)
        (void)error_set(err, "out of memory: a size is beyond what can be addressed");
    else
        (void)error_set(err, "out of memory: cannot get %zu bytes", bytes);
    return NULL;
}

void *mem_alloc(size_t count, size_t size, struct error *err)
{
    size_t bytes = size_mul(count, size);
    void *block = NULL;

    if (bytes != SIZE_MAX && !injected_failure())
        block = calloc(1, bytes ? bytes : 1);
    return block ? block : out_of_memory(bytes, err);
}

void *mem_realloc(void *block, size_t count, size_t size, struct error *err)
{
    size_t bytes = size_mul(count, size);
    void *grown = NULL;

    if (bytes != SIZE_MAX && !injected_failure())
        grown = realloc(block, bytes ? bytes : 1);
    return grown ? grown : out_of_memory(bytes, err);
}

int mem_grow(void *array, size_t *cap, size_t need, size_t size, struct error *err)
{
    void **slot = array;
    size_t want = size_add(*cap, *cap / 2);
    void *grown;

    if (need <= *cap)
        return 0;
    if (want < need)
        want = need;
    if (want < 16)
        want = 16;
    grown = mem_realloc(*slot, want, size, err);
    if (!grown)
        return -1;
    *slot = grown;
    *cap = want;
    return 0;
}

char *mem_strndup(const char *s, size_t len, struct error *err)
{
    char *copy = mem_alloc(size_add(len, 1), 1, err);

    if (copy && len)
        memcpy(copy, s, len);
    return copy;
}

char *mem_strdup(const char *s, struct error *err)
{
    return mem_strndup(s, strlen(s), err);
}
