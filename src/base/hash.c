/*
 * base/hash.c: XXH3 in its 128-bit form.
 */
#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static struct hash from_xxh(XXH128_hash_t h)
{
    return (struct hash){ .lo = h.low64, .hi = h.high64 };
}

struct hash hash_bytes(const void *bytes, size_t len)
{
    return from_xxh(XXH3_128bits(bytes, len));
}

struct hash hash_chain(struct hash a, const void *bytes, size_t len)
{
    struct hash b = hash_bytes(bytes, len);
    uint64_t words[5] = { a.lo, a.hi, b.lo, b.hi, (uint64_t)len };

    return hash_bytes(words, sizeof(words));
}

int hash_file(struct hash *hash, const char *path, struct error *err)
{
    char buf[1 << 16];
    FILE *file = fopen(path, "rb");
    XXH3_state_t *state = XXH3_createState();
    size_t got;
    int rc = -1;

    if (!file || !state) {
        (void)error_set(err, "cannot read '%s': %s", path, strerror(errno));
        goto out;
    }
    (void)XXH3_128bits_reset(state);
    while ((got = fread(buf, 1, sizeof(buf), file)) > 0)
        (void)XXH3_128bits_update(state, buf, got);
    if (ferror(file)) {
        (void)error_set(err, "cannot read '%s': %s", path, strerror(errno));
        goto out;
    }
    *hash = from_xxh(XXH3_128bits_digest(state));
    rc = 0;
out:
    (void)XXH3_freeState(state);
    if (file)
        (void)fclose(file);
    return rc;
}

int hash_equal(struct hash a, struct hash b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

void hash_text(struct hash hash, char text[HASH_TEXT_MAX])
{
    (void)snprintf(text, HASH_TEXT_MAX, "%016llx%016llx", (unsigned long long)hash.hi,
                   (unsigned long long)hash.lo);
}
