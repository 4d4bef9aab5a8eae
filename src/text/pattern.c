/*
 * text/pattern.c: regular expressions of tokenizer.json, matched.
 *
 * The library matches them with Oniguruma; we with PCRE2, but not on the
 * text. All that a pattern can ask of a character is whether it is in one of
 * the pattern's sets (a class, an escape, a literal). Characters that are in
 * the same sets are alike, so each is mapped to the number of its kind, one
 * byte, and PCRE2 works on those bytes with a pattern over them:
 *
 *     \s+(?!\S)   ->   [\x01]+(?![\x00])    with \x01 = white space
 *
 * So what a letter is comes from our table, whatever version PCRE2 is; its
 * classes become bit maps, and no UTF-8 is decoded while matching.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pattern_internal.h"

#define SYMBOLS_MAX   250
#define JIT_STACK_MAX (8u << 20)

struct pattern {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    unsigned char *symbol; // [UNICODE_END] kind of a character
    int may_match_empty;
    unsigned char *subject; // kinds of the text in hand
    uint32_t *offset;       // where each character starts, and the end
    size_t subject_cap, offset_cap;
};

/* ------------------------------------------------------------------ symbols */

/* Which of the 64 characters of each word of a set are of one kind. */
struct kinds {
    unsigned char *symbol; // [UNICODE_END]; of a uniform word only the first counts
    unsigned char mixed[CHARSET_WORDS];
    int number[2][256]; // the new kind by being in the set or not, and old kind; -1: none yet
    int count;
};

/* The new number of a kind; -1 when there are too many. */
static int renumber(struct kinds *k, int in, unsigned char *symbol)
{
    int *to = &k->number[in][*symbol];

    if (*to < 0) {
        if (k->count == SYMBOLS_MAX)
            return -1;
        *to = k->count++;
    }
    *symbol = (unsigned char)*to;
    return 0;
}

/* Splits the kinds so far by one more set. */
static int refine(struct kinds *k, const struct charset *set)
{
    memset(k->number, -1, sizeof(k->number));
    k->count = 0;
    for (size_t w = 0; w < CHARSET_WORDS; w++) {
        unsigned char *symbol = k->symbol + 64 * w;
        uint64_t bits = set->bits[w];

        if (!k->mixed[w] && (bits == 0 || bits == UINT64_MAX)) {
            if (renumber(k, bits != 0, symbol) < 0)
                return -1;
            continue;
        }
        if (!k->mixed[w])
            memset(symbol, symbol[0], 64);
        k->mixed[w] = 1;
        for (int i = 0; i < 64; i++)
            if (renumber(k, (int)(bits >> i & 1), symbol + i) < 0)
                return -1;
    }
    return 0;
}

/* An atom as a class over the kinds. */
static void put_class(const struct kinds *k, const struct charset *set, struct strbuf *out)
{
    unsigned char in[256] = { 0 };
    int any = 0;

    for (size_t w = 0; w < CHARSET_WORDS; w++) {
        if (!k->mixed[w])
            in[k->symbol[64 * w]] |= set->bits[w] != 0;
        for (int i = 0; k->mixed[w] && i < 64; i++)
            in[k->symbol[64 * w + (size_t)i]] |= set->bits[w] >> i & 1;
    }
    for (int s = 0; s < 256; s++) {
        if (!in[s])
            continue;
        strbuf_printf(out, "%s\\x%02X", any ? "" : "[", (unsigned)s);
        any = 1;
    }
    strbuf_puts(out, any ? "]" : "(?!)");
}

/* The kinds of all characters into symbol, and the pattern over them into out. */
static int make_symbols(unsigned char *symbol, const struct pattern_source *source,
                        struct strbuf *out, struct error *err)
{
    struct kinds *k = mem_alloc(1, sizeof(*k), err);
    int rc = -1;

    if (!k)
        return -1;
    k->symbol = symbol;
    for (int i = 0; i < source->count; i++) {
        if (refine(k, source->atoms[i]) < 0) {
            (void)error_set(err, "too many different characters and classes");
            goto out;
        }
    }
    for (size_t i = 0; i < source->text.len; i++) {
        if (source->text.text[i] != ATOM_MARK)
            strbuf_putc(out, source->text.text[i]);
        else
            put_class(k, source->atoms[(unsigned char)source->text.text[++i] - 2], out);
    }
    for (size_t w = 0; w < CHARSET_WORDS; w++)
        if (!k->mixed[w])
            memset(symbol + 64 * w, symbol[64 * w], 64);
    rc = strbuf_check(out, err);
out:
    free(k);
    return rc;
}

static int compile(struct pattern *pattern, const char *text, size_t len, struct error *err)
{
    PCRE2_SIZE where;
    int number;
    uint32_t empty = 0;

    pattern->code = pcre2_compile((PCRE2_SPTR)text, len, PCRE2_NEVER_UTF | PCRE2_NEVER_UCP, &number,
                                  &where, NULL);
    if (!pattern->code) {
        PCRE2_UCHAR why[160];

        (void)pcre2_get_error_message(number, why, sizeof(why));
        return error_set(err, "%s", (const char *)why);
    }
    (void)pcre2_pattern_info(pattern->code, PCRE2_INFO_MATCHEMPTY, &empty);
    pattern->may_match_empty = empty != 0;
    pattern->match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    pattern->context = pcre2_match_context_create(NULL);
    if (!pattern->match || !pattern->context)
        return error_set(err, "out of memory");
    if (pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE) == 0) {
        pattern->stack = pcre2_jit_stack_create(32u << 10, JIT_STACK_MAX, NULL);
        if (!pattern->stack)
            return error_set(err, "out of memory");
        pcre2_jit_stack_assign(pattern->context, NULL, pattern->stack);
    }
    return 0;
}

int pattern_open(struct pattern **pattern, const char *text, size_t len, int literal,
                 const struct unicode_classes *uc, struct error *err)
{
    struct pattern_source source = { 0 };
    struct strbuf over = { 0 };
    struct pattern *p = mem_alloc(1, sizeof(*p), err);
    int rc = -1;

    *pattern = NULL;
    if (!p)
        return -1;
    p->symbol = mem_alloc(UNICODE_END, 1, err);
    if (!p->symbol || pattern_translate(&source, text, len, literal, uc, err) < 0)
        goto out;
    if (make_symbols(p->symbol, &source, &over, err) < 0 ||
        compile(p, strbuf_text(&over), over.len, err) < 0) {
        (void)error_wrap(err, "pattern '%.200s'", text);
        goto out;
    }
    *pattern = p;
    p = NULL;
    rc = 0;
out:
    pattern_source_release(&source);
    strbuf_release(&over);
    pattern_close(p);
    return rc;
}

void pattern_close(struct pattern *pattern)
{
    if (!pattern)
        return;
    pcre2_match_data_free(pattern->match);
    pcre2_match_context_free(pattern->context);
    pcre2_jit_stack_free(pattern->stack);
    pcre2_code_free(pattern->code);
    free(pattern->symbol);
    free(pattern->subject);
    free(pattern->offset);
    free(pattern);
}

int pattern_may_match_empty(const struct pattern *pattern)
{
    return pattern->may_match_empty;
}

/* ----------------------------------------------------------------- matching */

int span_add(struct span_list *list, size_t start, size_t end, int match, struct error *err)
{
    if (list->n == list->cap &&
        mem_grow(&list->v, &list->cap, list->n + 1, sizeof(*list->v), err) < 0)
        return -1;
    list->v[list->n++] = (struct span){ .start = start, .end = end, .match = match };
    return 0;
}

/* Maps text to kinds; *n characters. */
static int map_subject(struct pattern *pattern, const char *text, size_t len, size_t *n,
                       struct error *err)
{
    if (mem_grow(&pattern->subject, &pattern->subject_cap, len + 1, 1, err) < 0 ||
        mem_grow(&pattern->offset, &pattern->offset_cap, len + 1, sizeof(*pattern->offset), err) <
            0)
        return -1;
    *n = 0;
    for (size_t at = 0; at < len; (*n)++) {
        size_t width;

        pattern->offset[*n] = (uint32_t)at;
        pattern->subject[*n] = pattern->symbol[utf8_get((const unsigned char *)text + at, &width)];
        at += width;
    }
    pattern->offset[*n] = (uint32_t)len;
    return 0;
}

int pattern_spans(struct pattern *pattern, const char *text, size_t len, struct span_list *spans,
                  struct error *err)
{
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(pattern->match);
    size_t n, at = 0, done = 0;
    size_t matched = SIZE_MAX; // end of the last match

    spans->n = 0;
    if (map_subject(pattern, text, len, &n, err) < 0)
        return -1;
    while (at <= n && n > 0) {
        int rc = pcre2_match(pattern->code, pattern->subject, n, at, 0, pattern->match,
                             pattern->context);

        if (rc == PCRE2_ERROR_NOMATCH)
            break;
        if (rc < 0)
            return error_set(err,
                             "a pattern of the tokenizer needs too much work on this text "
                             "(PCRE2 error %d)",
                             rc);
        if (found[0] == found[1] && found[1] == matched) { // nothing right after a match
            at++;
            continue;
        }
        if (found[0] > done &&
            span_add(spans, pattern->offset[done], pattern->offset[found[0]], 0, err) < 0)
            return -1;
        if (span_add(spans, pattern->offset[found[0]], pattern->offset[found[1]], 1, err) < 0)
            return -1;
        at = matched = done = found[1];
    }
    if (done < n && span_add(spans, pattern->offset[done], len, 0, err) < 0)
        return -1;
    return 0;
}
