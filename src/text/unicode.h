/*
 * text/unicode.h: UTF-8 and character classes, one Unicode version for all.
 *
 * PCRE2 and utf8proc know the Unicode of the day they were built; ids must
 * not depend on that. So what a letter, a digit or a space is comes from a
 * table of our own, measured from the `tokenizers` library.
 */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define UNICODE_END 0x110000

/* A class: the general category in the low bits, and flags. */
#define UC_CATEGORY 0x1F
#define UC_SPACE    0x20  // white space
#define UC_WORD     0x40  // \w of Rust's regular expressions
#define UC_PUNCT    0x80  // what the pre-tokenizer Punctuation splits at
#define UC_PLAIN    0x100 // NFC leaves it alone and never joins it to what stands before
#define UC_INERT    0x200 // no normalization form touches it or what is beside it
#define UC_HAN      0x400 // script Han

/* clang-format off */
enum unicode_category {
    CAT_CN, CAT_LU, CAT_LL, CAT_LT, CAT_LM, CAT_LO, CAT_MN, CAT_MC, CAT_ME, CAT_ND, CAT_NL, CAT_NO,
    CAT_PC, CAT_PD, CAT_PS, CAT_PE, CAT_PI, CAT_PF, CAT_PO, CAT_SM, CAT_SC, CAT_SK, CAT_SO, CAT_ZS,
    CAT_ZL, CAT_ZP, CAT_CC, CAT_CF, CAT_CO,
    CAT_COUNT
};
/* clang-format on */

/* Bit sets of categories. */
#define CATS_L 0x3Eu  // Lu to Lo
#define CATS_N 0xE00u // Nd to No

struct unicode_run {
    uint32_t count; // code points
    uint16_t class;
};

struct unicode_lower_run {
    int32_t first, count, step, delta;
};

extern const struct unicode_run unicode_runs[];
extern const int unicode_run_count;
extern const struct unicode_lower_run unicode_lower_runs[];
extern const int unicode_lower_run_count;

/* Classes by code point in two steps: equal blocks of 256 are kept once. */
struct unicode_classes {
    uint16_t block[UNICODE_END >> 8];
    uint16_t (*class)[256];
    int blocks;
};

int unicode_classes_init(struct unicode_classes *uc, struct error *err);
void unicode_classes_release(struct unicode_classes *uc);

static inline uint16_t unicode_class(const struct unicode_classes *uc, uint32_t c)
{
    return uc->class[uc->block[c >> 8]][c & 0xFF];
}

static inline int unicode_in(uint16_t class, uint32_t categories)
{
    return (int)(categories >> (class & UC_CATEGORY) & 1);
}

/* Lower case of c when that is one character, else c. */
uint32_t unicode_lower(uint32_t c);

/* Offset of the first byte that is not UTF-8, or len. */
size_t utf8_invalid_at(const char *text, size_t len);

/* The character at p, which must be in valid UTF-8, and its length. */
static inline uint32_t utf8_get(const unsigned char *p, size_t *n)
{
    if (p[0] < 0x80) {
        *n = 1;
        return p[0];
    }
    if (p[0] < 0xE0) {
        *n = 2;
        return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F);
    }
    if (p[0] < 0xF0) {
        *n = 3;
        return (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    }
    *n = 4;
    return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 |
           (uint32_t)(p[2] & 0x3F) << 6 | (p[3] & 0x3F);
}

/* Start of the character before text[at], at > 0. */
static inline size_t utf8_before(const char *text, size_t at)
{
    do
        at--;
    while (((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

/* Writes c as 1 to 4 bytes; returns how many. */
size_t utf8_put(char *out, uint32_t c);

#endif
