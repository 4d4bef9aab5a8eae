/*
 * text/scan.c: the common pre-tokenizer patterns, cut by hand.
 *
 * Three patterns cut nearly all byte-level text: GPT-2's, and those of Llama
 * 3 and Qwen 2, which differ in the number of digits only:
 *
 *   GPT-2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   Llama 3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *            | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *
 * Every character is a letter, a digit, a space or another, each starts some
 * alternative, and no alternative has to give back more than one character:
 * so the word is found in one pass. The steps below stand in the order of the
 * alternatives. Tests hold this against pattern.c on the same text.
 */
#include <string.h>

#include "text_internal.h"

enum { SCAN_OTHER, SCAN_LETTER, SCAN_DIGIT, SCAN_SPACE };

static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char llama3_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char qwen2_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

static unsigned char kind_of(uint16_t class)
{
    if (class & UC_SPACE)
        return SCAN_SPACE;
    if (unicode_in(class, CATS_L))
        return SCAN_LETTER;
    return unicode_in(class, CATS_N) ? SCAN_DIGIT : SCAN_OTHER;
}

void scan_table_init(struct scan_table *table, const struct unicode_classes *uc)
{
    table->uc = uc;
    for (uint32_t c = 0; c < 0x10000; c++)
        table->kind[c] = kind_of(unicode_class(uc, c));
}

static int same_text(const char *a, size_t len, const char *b)
{
    return len == strlen(b) && memcmp(a, b, len) == 0;
}

void scan_rules_find(struct scan_rules *rules, const char *pattern, size_t len)
{
    *rules = (struct scan_rules){ 0 };
    if (same_text(pattern, len, gpt2_pattern)) {
        rules->on = 1;
        return;
    }
    if (same_text(pattern, len, llama3_pattern))
        rules->digits_max = 3;
    else if (same_text(pattern, len, qwen2_pattern))
        rules->digits_max = 1;
    else
        return;
    rules->on = rules->caseless = rules->any_lead = rules->newlines = 1;
}

static inline int kind_at(const struct scan_table *table, const unsigned char *p, size_t *n)
{
    uint32_t c = utf8_get(p, n);

    return c < 0x10000 ? table->kind[c] : kind_of(unicode_class(table->uc, c));
}

int scan_is_digit(const struct scan_table *table, const unsigned char *p, size_t *n)
{
    return kind_at(table, p, n) == SCAN_DIGIT;
}

/* Past the characters of this kind, at most max of them. */
static inline const unsigned char *skip_kind(const struct scan_table *table, const unsigned char *p,
                                             const unsigned char *end, int kind, int max)
{
    size_t n;

    for (int i = 0; i < max && p < end; i++, p += n)
        if (kind_at(table, p, &n) != kind)
            break;
    return p;
}

static const unsigned char *skip_newlines(const unsigned char *p, const unsigned char *end)
{
    while (p < end && (*p == '\r' || *p == '\n'))
        p++;
    return p;
}

/* 's 't 're 've 'm 'll 'd after the apostrophe at p[0]; the length with it, or 0. */
static size_t contraction(const unsigned char *p, const unsigned char *end, int caseless)
{
    unsigned char fold = caseless ? 0x20 : 0;
    unsigned char a, b;

    if (end - p < 2)
        return 0;
    a = p[1] | fold;
    if (p[1] < 0x80 && (a == 's' || a == 't' || a == 'm' || a == 'd'))
        return 2;
    if (end - p < 3)
        return 0;
    if (caseless && p[1] == 0xC5 && p[2] == 0xBF) // long s, whose capital is S
        return 3;
    if (p[1] >= 0x80 || p[2] >= 0x80)
        return 0;
    b = p[2] | fold;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s*[\r\n]+ | \s+(?!\S) | \s+ for a run of spaces that starts at p. */
static const unsigned char *space_run(const struct scan_table *table,
                                      const struct scan_rules *rules, const unsigned char *p,
                                      const unsigned char *end)
{
    const unsigned char *at = p;
    const unsigned char *newline = NULL;
    const unsigned char *last = p;
    size_t n;

    while (at < end && kind_at(table, at, &n) == SCAN_SPACE) {
        last = at;
        at += n;
        if (*last == '\r' || *last == '\n')
            newline = at;
    }
    if (rules->newlines && newline)
        return newline;
    return at < end && last > p ? last : at;
}

/* A word of one kind, which the first character after the lead decides. */
static const unsigned char *run_from(const struct scan_table *table, const struct scan_rules *rules,
                                     const unsigned char *p, const unsigned char *end, int kind)
{
    if (kind == SCAN_LETTER || (kind == SCAN_DIGIT && !rules->digits_max))
        return skip_kind(table, p, end, kind, TEXT_LEN_MAX);
    if (kind == SCAN_DIGIT)
        return skip_kind(table, p, end, kind, rules->digits_max);
    p = skip_kind(table, p, end, SCAN_OTHER, TEXT_LEN_MAX);
    return rules->newlines ? skip_newlines(p, end) : p;
}

const unsigned char *scan_word(const struct scan_table *table, const struct scan_rules *rules,
                               const unsigned char *p, const unsigned char *end)
{
    size_t n, n2;
    int kind = kind_at(table, p, &n);
    int next = p + n < end ? kind_at(table, p + n, &n2) : SCAN_SPACE;

    if (kind == SCAN_LETTER || kind == SCAN_DIGIT)
        return run_from(table, rules, p, end, kind);
    if (*p == '\'') {
        size_t len = contraction(p, end, rules->caseless);

        if (len)
            return p + len;
    }
    if (next == SCAN_LETTER && (*p == ' ' || (rules->any_lead && *p != '\r' && *p != '\n')))
        return run_from(table, rules, p + n, end, SCAN_LETTER);
    if (*p == ' ' && next == SCAN_DIGIT && !rules->digits_max)
        return run_from(table, rules, p + n, end, SCAN_DIGIT);
    if (kind == SCAN_OTHER)
        return run_from(table, rules, p, end, SCAN_OTHER);
    if (*p == ' ' && next == SCAN_OTHER)
        return run_from(table, rules, p + n, end, SCAN_OTHER);
    return space_run(table, rules, p, end);
}
