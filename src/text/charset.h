/*
 * text/charset.h: sets of code points, as a pattern's classes mean them.
 */
#ifndef TEXT_CHARSET_H
#define TEXT_CHARSET_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "unicode.h"

#define CHARSET_WORDS (UNICODE_END / 64)

struct charset {
    uint64_t bits[CHARSET_WORDS];
};

static inline int charset_has(const struct charset *set, uint32_t c)
{
    return (int)(set->bits[c >> 6] >> (c & 63) & 1);
}

void charset_add(struct charset *set, uint32_t first, uint32_t last);
void charset_add_set(struct charset *set, const struct charset *other);
void charset_keep(struct charset *set, const struct charset *other); // intersection
void charset_invert(struct charset *set);

/* Adds white space, digits or word characters, kind 's', 'd' or 'w', as Oniguruma takes them;
 * set must be empty. */
void charset_add_kind(struct charset *set, char kind, const struct unicode_classes *uc);

/* Adds the characters of a property, "L", "Lu", "Han", ...; -1 when the name is not known. */
int charset_add_property(struct charset *set, const char *name, size_t len,
                         const struct unicode_classes *uc);

/* Adds what an ASCII letter also matches when case does not count. */
void charset_add_caseless(struct charset *set, uint32_t c);

#endif
