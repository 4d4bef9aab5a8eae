/*
 * text/charset.c: sets of code points as bits.
 */
#include "charset.h"

#include <string.h>

void charset_add(struct charset *set, uint32_t first, uint32_t last)
{
    for (uint32_t c = first; c <= last; c++) {
        if ((c & 63) == 0 && last - c >= 63) {
            set->bits[c >> 6] = UINT64_MAX;
            c += 63;
        } else {
            set->bits[c >> 6] |= 1ull << (c & 63);
        }
    }
}

void charset_add_set(struct charset *set, const struct charset *other)
{
    for (size_t i = 0; i < CHARSET_WORDS; i++)
        set->bits[i] |= other->bits[i];
}

void charset_keep(struct charset *set, const struct charset *other)
{
    for (size_t i = 0; i < CHARSET_WORDS; i++)
        set->bits[i] &= other->bits[i];
}

void charset_invert(struct charset *set)
{
    for (size_t i = 0; i < CHARSET_WORDS; i++)
        set->bits[i] = ~set->bits[i];
}

/* The characters of a block of the class table that are in these categories or have a flag. */
static void block_bits(const uint16_t class[256], uint32_t categories, uint16_t flags,
                       uint64_t bits[4])
{
    memset(bits, 0, 4 * sizeof(*bits));
    for (int i = 0; i < 256; i++)
        if (unicode_in(class[i], categories) || (class[i] & flags))
            bits[i >> 6] |= 1ull << (i & 63);
}

/* Adds the characters of these categories and those with any of these flags. */
static void add_classes(struct charset *set, uint32_t categories, uint16_t flags,
                        const struct unicode_classes *uc)
{
    uint64_t bits[4] = { 0 };
    int known = -1; // the block that bits is of; neighbours are often alike

    for (size_t b = 0; b < UNICODE_END >> 8; b++) {
        if (uc->block[b] != known) {
            known = uc->block[b];
            block_bits(uc->class[known], categories, flags, bits);
        }
        for (size_t i = 0; i < 4; i++)
            set->bits[4 * b + i] |= bits[i];
    }
}

/* \w of Oniguruma: without the joiners, with the powers and fractions of Latin-1. */
static void add_words(struct charset *set, const struct unicode_classes *uc)
{
    static const unsigned char latin[] = { 0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE };

    add_classes(set, 0, UC_WORD, uc);
    set->bits[0x200C >> 6] &= ~(3ull << (0x200C & 63));
    for (size_t i = 0; i < sizeof(latin); i++)
        charset_add(set, latin[i], latin[i]);
}

void charset_add_kind(struct charset *set, char kind, const struct unicode_classes *uc)
{
    if (kind == 's')
        add_classes(set, 0, UC_SPACE, uc);
    else if (kind == 'd')
        add_classes(set, 1u << CAT_ND, 0, uc);
    else
        add_words(set, uc);
}

static const char category_names[CAT_COUNT][3] = { "Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc",
                                                   "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
                                                   "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs",
                                                   "Zl", "Zp", "Cc", "Cf", "Co" };

int charset_add_property(struct charset *set, const char *name, size_t len,
                         const struct unicode_classes *uc)
{
    uint32_t categories = 0;

    if (len == 3 && memcmp(name, "Han", 3) == 0) {
        add_classes(set, 0, UC_HAN, uc);
        return 0;
    }
    if (len == 0 || len > 2)
        return -1;
    for (int i = 0; i < CAT_COUNT; i++)
        if (memcmp(category_names[i], name, len) == 0)
            categories |= 1u << i;
    if (!categories || name[0] == 'C') // surrogates are no characters of a text: C* would be vague
        return -1;
    add_classes(set, categories, 0, uc);
    return 0;
}

void charset_add_caseless(struct charset *set, uint32_t c)
{
    charset_add(set, c, c);
    if ((c | 0x20) < 'a' || (c | 0x20) > 'z')
        return;
    charset_add(set, c ^ 0x20, c ^ 0x20);
    if ((c | 0x20) == 's')
        charset_add(set, 0x17F, 0x17F); // long s
    if ((c | 0x20) == 'k')
        charset_add(set, 0x212A, 0x212A); // the sign of kelvin
}
