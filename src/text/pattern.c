/*
 * text/pattern.c: regular expressions of tokenizer.json.
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
 *
 * Accepted is the part of the syntax that means the same in both: literals,
 * escapes, classes with nesting and &&, \p{}, groups, (?i:), look-around,
 * alternatives and quantifiers. The rest is refused by name.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "charset.h"
#include "text_internal.h"

#define ATOMS_MAX     64
#define DEPTH_MAX     32
#define SYMBOLS_MAX   250
#define PATTERN_MAX   8192
#define ATOM_MARK     '\1' // in the translated pattern, before the number of an atom + 2
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

/* A pattern being translated. */
struct reader {
    const char *text;
    size_t len, at;
    const struct unicode_classes *uc;
    struct charset *atoms[ATOMS_MAX];
    int count;
    int depth;
    struct strbuf out;
    uint32_t last_caseless; // the caseless letter just read, for pairs that fold to one
    struct error *err;
};

static int refuse(struct reader *r, const char *why)
{
    return error_set(r->err, "pattern '%.200s': %s at byte %zu", r->text, why, r->at);
}

static int more(const struct reader *r)
{
    return r->at < r->len;
}

static char peek(const struct reader *r)
{
    return more(r) ? r->text[r->at] : '\0';
}

static int starts(const struct reader *r, const char *with)
{
    size_t n = strlen(with);

    return r->len - r->at >= n && memcmp(r->text + r->at, with, n) == 0;
}

static uint32_t next_char(struct reader *r)
{
    size_t n;
    uint32_t c = utf8_get((const unsigned char *)r->text + r->at, &n);

    r->at += n;
    return c;
}

/* ------------------------------------------------------------------ escapes */

/* Hexadecimal digits, at least min and at most max of them. */
static int read_hex(struct reader *r, int min, int max, uint32_t *value)
{
    int n = 0;

    *value = 0;
    for (; n < max && more(r); n++, r->at++) {
        char c = r->text[r->at];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0)
            break;
        *value = *value << 4 | (uint32_t)digit;
    }
    if (n < min || *value >= UNICODE_END)
        return refuse(r, "a code point that is none");
    return 0;
}

static int read_property(struct reader *r, struct charset *set, int invert)
{
    size_t start;

    if (peek(r) != '{')
        return refuse(r, "'\\p' without '{'");
    r->at++;
    if (peek(r) == '^') {
        invert = !invert;
        r->at++;
    }
    start = r->at;
    while (more(r) && peek(r) != '}')
        r->at++;
    if (!more(r) || charset_add_property(set, r->text + start, r->at - start, r->uc) < 0)
        return refuse(r, "a property that is not supported");
    r->at++;
    if (invert)
        charset_invert(set);
    return 0;
}

static int read_code_point(struct reader *r, char kind, uint32_t *c)
{
    if (kind == 'u')
        return read_hex(r, 4, 4, c);
    if (peek(r) != '{') {
        if (read_hex(r, 1, 2, c) < 0)
            return -1;
        return *c < 0x80 ? 0 : refuse(r, "'\\x' with a byte that is no character");
    }
    r->at++;
    if (read_hex(r, 1, 8, c) < 0)
        return -1;
    if (peek(r) != '}')
        return refuse(r, "'\\x{' without '}'");
    r->at++;
    return 0;
}

/* After a backslash: a set (*is_set = 1) or a character *c. set is empty before. */
static int read_escape(struct reader *r, struct charset *set, int *is_set, uint32_t *c)
{
    static const char letters[] = "nrtfvae";
    static const char values[] = "\n\r\t\f\v\a\033";
    char kind = peek(r);
    const char *found;

    *is_set = 0;
    if (!more(r) || (unsigned char)kind >= 0x80)
        return refuse(r, "a backslash before nothing known");
    r->at++;
    if (kind == 'p' || kind == 'P') {
        *is_set = 1;
        return read_property(r, set, kind == 'P');
    }
    if (strchr("sdwSDW", kind)) {
        *is_set = 1;
        charset_add_kind(set, (char)(kind | 0x20), r->uc);
        if (kind < 'a')
            charset_invert(set);
        return 0;
    }
    if (kind == 'x' || kind == 'u')
        return read_code_point(r, kind, c);
    found = strchr(letters, kind);
    if (found) {
        *c = (unsigned char)values[found - letters];
        return 0;
    }
    if ((kind >= '0' && kind <= '9') || ((kind | 0x20) >= 'a' && (kind | 0x20) <= 'z'))
        return refuse(r, "an escape that is not supported");
    *c = (unsigned char)kind;
    return 0;
}

/* ------------------------------------------------------------------ classes */

static int read_class(struct reader *r, struct charset *set, int caseless);

/* A single character of a class as the end of a range. */
static int read_range_end(struct reader *r, uint32_t *last)
{
    struct charset *ignored;
    int is_set = 0;
    int rc = 0;

    if (peek(r) != '\\') {
        *last = next_char(r);
        return 0;
    }
    r->at++;
    ignored = mem_alloc(1, sizeof(*ignored), r->err);
    if (!ignored)
        return -1;
    rc = read_escape(r, ignored, &is_set, last);
    free(ignored);
    if (rc == 0 && is_set)
        rc = refuse(r, "a range that ends in a set");
    return rc;
}

/* One member of a class: character, range, escape or class within. part is empty before. */
static int read_member(struct reader *r, struct charset *part, int caseless)
{
    uint32_t c = 0;
    uint32_t last;
    int is_set = 0;

    if (starts(r, "[:"))
        return refuse(r, "a POSIX class, which is not supported");
    if (peek(r) == '[') {
        r->at++;
        return read_class(r, part, caseless);
    }
    if (peek(r) == '\\') {
        r->at++;
        if (read_escape(r, part, &is_set, &c) < 0)
            return -1;
    } else {
        c = next_char(r);
    }
    if (is_set)
        return 0;
    last = c;
    if (peek(r) == '-' && r->at + 1 < r->len && r->text[r->at + 1] != ']') {
        r->at++;
        if (peek(r) == '[')
            return refuse(r, "a range that ends in a class");
        if (read_range_end(r, &last) < 0)
            return -1;
    }
    if (last < c)
        return refuse(r, "a range that runs backwards");
    if (caseless && (last != c || c >= 0x80))
        return refuse(r, "a class under (?i), which is not supported");
    if (caseless)
        charset_add_caseless(part, c);
    else
        charset_add(part, c, last);
    return 0;
}

/* After "[": up to its "]". a && b && c: members collect in one side, sides are intersected. */
static int read_class(struct reader *r, struct charset *set, int caseless)
{
    struct charset *side = mem_alloc(2, sizeof(*side), r->err);
    struct charset *part = side ? side + 1 : NULL;
    int invert = 0;
    int sides = 0;
    int members = 0;
    int rc = -1;

    if (!side)
        return -1;
    if (++r->depth > DEPTH_MAX) {
        (void)refuse(r, "nesting that is too deep");
        goto out;
    }
    if (peek(r) == '^') {
        invert = 1;
        r->at++;
    }
    while (more(r) && (peek(r) != ']' || members == 0)) {
        if (peek(r) == ']' || (members == 0 && starts(r, "&&"))) {
            (void)refuse(r, "an empty class");
            goto out;
        }
        if (starts(r, "&&")) {
            if (sides++ == 0)
                *set = *side;
            else
                charset_keep(set, side);
            memset(side, 0, sizeof(*side));
            r->at += 2;
            members = 0;
            continue;
        }
        memset(part, 0, sizeof(*part));
        if (read_member(r, part, caseless) < 0)
            goto out;
        charset_add_set(side, part);
        members++;
    }
    if (!more(r)) {
        (void)refuse(r, "'[' without ']'");
        goto out;
    }
    r->at++;
    if (sides == 0)
        *set = *side;
    else
        charset_keep(set, side);
    if (invert)
        charset_invert(set);
    rc = 0;
out:
    r->depth--;
    free(side);
    return rc;
}

/* -------------------------------------------------------------------- atoms */

/* Writes an atom that stands for set; takes set. */
static int put_atom(struct reader *r, struct charset *set)
{
    int number = 0;

    while (number < r->count && memcmp(r->atoms[number], set, sizeof(*set)) != 0)
        number++;
    if (number < r->count) {
        free(set);
    } else if (r->count == ATOMS_MAX) {
        free(set);
        return refuse(r, "too many different characters and classes");
    } else {
        r->atoms[r->count++] = set;
    }
    strbuf_putc(&r->out, ATOM_MARK);
    strbuf_putc(&r->out, (char)(number + 2));
    return 0;
}

/* Letters that fold together with their neighbour (ss, st, ff, fi, fl, ...) mean more than two. */
static int check_fold(struct reader *r, uint32_t c)
{
    uint32_t before = r->last_caseless;

    c |= 0x20;
    r->last_caseless = c;
    if ((before == 's' && (c == 's' || c == 't')) ||
        (before == 'f' && (c == 'f' || c == 'i' || c == 'l')))
        return refuse(r, "letters under (?i) that fold to one, which is not supported");
    return 0;
}

static int read_atom(struct reader *r, int caseless)
{
    struct charset *set = mem_alloc(1, sizeof(*set), r->err);
    uint32_t before = r->last_caseless;
    uint32_t c = 0;
    int is_set = 0;
    int rc = 0;

    if (!set)
        return -1;
    r->last_caseless = 0;
    if (peek(r) == '[') {
        r->at++;
        rc = read_class(r, set, caseless);
        is_set = 1;
    } else if (peek(r) == '\\') {
        r->at++;
        rc = read_escape(r, set, &is_set, &c);
    } else if (peek(r) == '.') {
        r->at++;
        charset_add(set, '\n', '\n');
        charset_invert(set);
        is_set = 1;
    } else {
        c = next_char(r);
    }
    if (rc == 0 && !is_set && caseless && c >= 0x80)
        rc = refuse(r, "a character under (?i), which is not supported");
    if (rc == 0 && !is_set && caseless) {
        r->last_caseless = before;
        rc = check_fold(r, c);
        charset_add_caseless(set, c);
    } else if (rc == 0 && !is_set) {
        charset_add(set, c, c);
    }
    if (rc < 0) {
        free(set);
        return -1;
    }
    return put_atom(r, set);
}

/* ?, *, +, {n}, {n,}, {n,m} and what may follow them; nothing is fine too. */
static int read_quantifier(struct reader *r)
{
    char kind = peek(r);
    size_t start = r->at;
    uint32_t n[2] = { 0, 0 };
    int which = 0;
    int digits = 0;

    if (!more(r) || !strchr("?*+{", kind))
        return 0;
    r->last_caseless = 0;
    r->at++;
    if (kind == '{') {
        for (; more(r) && peek(r) != '}'; r->at++) {
            char c = peek(r);

            if (c == ',' && which == 0 && digits) {
                which = 1;
                continue;
            }
            if (c < '0' || c > '9' || (n[which] = n[which] * 10 + (uint32_t)(c - '0')) > 1000)
                return refuse(r, "a repetition that is not supported");
            digits = 1;
        }
        if (!more(r) || !digits)
            return refuse(r, "a repetition that is not supported");
        r->at++;
        if (which && r->text[r->at - 2] != ',' && n[1] < n[0])
            return refuse(r, "a repetition that runs backwards");
    }
    if (peek(r) == '?' || (peek(r) == '+' && kind != '{'))
        r->at++;
    strbuf_add(&r->out, r->text + start, r->at - start);
    if (more(r) && strchr("?*+{", peek(r)))
        return refuse(r, "a repetition of a repetition");
    return 0;
}

static int read_alternatives(struct reader *r, int caseless);

/* After "(": up to its ")". */
static int read_group(struct reader *r, int caseless)
{
    static const char *const opening[] = { "?:", "?=", "?!", "?<=", "?<!", "?>", "?i:", NULL };
    int i = 0;

    if (++r->depth > DEPTH_MAX)
        return refuse(r, "nesting that is too deep");
    while (opening[i] && !starts(r, opening[i]))
        i++;
    if (!opening[i] && peek(r) == '?')
        return refuse(r, "a group that is not supported");
    if (opening[i] && strcmp(opening[i], "?i:") == 0)
        caseless = 1;
    strbuf_putc(&r->out, '(');
    strbuf_puts(&r->out, opening[i] && strcmp(opening[i], "?i:") != 0 ? opening[i] : "?:");
    r->at += opening[i] ? strlen(opening[i]) : 0;
    if (read_alternatives(r, caseless) < 0)
        return -1;
    if (peek(r) != ')')
        return refuse(r, "'(' without ')'");
    r->at++;
    r->depth--;
    strbuf_putc(&r->out, ')');
    return 0;
}

static int read_alternatives(struct reader *r, int caseless)
{
    while (more(r) && peek(r) != ')') {
        char c = peek(r);
        int rc;

        if (c == '|') {
            r->at++;
            r->last_caseless = 0;
            strbuf_putc(&r->out, '|');
            continue;
        }
        if (c == '^' || c == '$' || strchr("?*+{", c))
            return refuse(r, "an operator that is not supported");
        if (c == '(') {
            r->at++;
            r->last_caseless = 0;
            rc = read_group(r, caseless);
            r->last_caseless = 0;
        } else {
            rc = read_atom(r, caseless);
        }
        if (rc < 0 || read_quantifier(r) < 0)
            return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------ symbols */

/* Splits the kinds so far by one more set. */
static int refine(struct pattern *pattern, const struct charset *set, int *count)
{
    int number[2][256];

    memset(number, -1, sizeof(number));
    *count = 0;
    for (uint32_t c = 0; c < UNICODE_END; c++) {
        int *to = &number[charset_has(set, c)][pattern->symbol[c]];

        if (*to < 0) {
            if (*count == SYMBOLS_MAX)
                return -1;
            *to = (*count)++;
        }
        pattern->symbol[c] = (unsigned char)*to;
    }
    return 0;
}

/* An atom as a class over the kinds. */
static void put_class(const struct pattern *pattern, const struct charset *set, struct strbuf *out)
{
    unsigned char in[256] = { 0 };
    int any = 0;

    for (uint32_t c = 0; c < UNICODE_END; c++)
        if (charset_has(set, c))
            in[pattern->symbol[c]] = 1;
    for (int s = 0; s < 256; s++) {
        if (!in[s])
            continue;
        strbuf_printf(out, "%s\\x%02X", any ? "" : "[", (unsigned)s);
        any = 1;
    }
    strbuf_puts(out, any ? "]" : "(?!)");
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

/* The translated pattern with its atoms written out. */
static int finish(struct pattern *pattern, struct reader *r)
{
    struct strbuf out = { 0 };
    int count = 1;
    int rc = 0;

    for (int i = 0; i < r->count && rc == 0; i++)
        if (refine(pattern, r->atoms[i], &count) < 0)
            rc = refuse(r, "too many different characters and classes");
    for (size_t i = 0; i < r->out.len && rc == 0; i++) {
        if (r->out.text[i] != ATOM_MARK)
            strbuf_putc(&out, r->out.text[i]);
        else
            put_class(pattern, r->atoms[(unsigned char)r->out.text[++i] - 2], &out);
    }
    if (rc == 0)
        rc = strbuf_check(&out, r->err);
    if (rc == 0 && compile(pattern, strbuf_text(&out), out.len, r->err) < 0)
        rc = error_wrap(r->err, "pattern '%.200s'", r->text);
    strbuf_release(&out);
    return rc;
}

static int read_literal(struct reader *r)
{
    while (more(r)) {
        struct charset *set = mem_alloc(1, sizeof(*set), r->err);
        uint32_t c;

        if (!set)
            return -1;
        c = next_char(r);
        charset_add(set, c, c);
        if (put_atom(r, set) < 0)
            return -1;
    }
    return 0;
}

int pattern_open(struct pattern **pattern, const char *text, size_t len, int literal,
                 const struct unicode_classes *uc, struct error *err)
{
    struct reader r = { .text = text, .len = len, .uc = uc, .err = err };
    struct pattern *p = mem_alloc(1, sizeof(*p), err);
    int rc = -1;

    *pattern = NULL;
    if (!p)
        return -1;
    if (len > PATTERN_MAX) {
        (void)error_set(err, "a pattern of %zu bytes; at most %d are supported", len, PATTERN_MAX);
        goto out;
    }
    p->symbol = mem_alloc(UNICODE_END, 1, err);
    if (!p->symbol)
        goto out;
    if ((literal ? read_literal(&r) : read_alternatives(&r, 0)) < 0)
        goto out;
    if (more(&r)) {
        (void)refuse(&r, "')' without '('");
        goto out;
    }
    if (strbuf_check(&r.out, err) < 0 || finish(p, &r) < 0)
        goto out;
    *pattern = p;
    p = NULL;
    rc = 0;
out:
    for (int i = 0; i < r.count; i++)
        free(r.atoms[i]);
    strbuf_release(&r.out);
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
