/*
 * text/pattern_read.c: regular expressions of tokenizer.json, read.
 *
 * Accepted is the part of Oniguruma's syntax that means the same to PCRE2:
 * literals, escapes, classes with nesting and &&, \p{}, groups, (?i:),
 * look-around, alternatives and quantifiers. The rest is refused by name.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pattern_internal.h"

#define DEPTH_MAX   32
#define PATTERN_MAX 8192 // bytes

/* A pattern being translated. */
struct reader {
    const char *text;
    size_t len, at;
    const struct unicode_classes *uc;
    struct pattern_source *out;
    int depth;
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

    while (number < r->out->count && memcmp(r->out->atoms[number], set, sizeof(*set)) != 0)
        number++;
    if (number < r->out->count) {
        free(set);
    } else if (r->out->count == ATOMS_MAX) {
        free(set);
        return refuse(r, "too many different characters and classes");
    } else {
        r->out->atoms[r->out->count++] = set;
    }
    strbuf_putc(&r->out->text, ATOM_MARK);
    strbuf_putc(&r->out->text, (char)(number + 2));
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
    strbuf_add(&r->out->text, r->text + start, r->at - start);
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
    strbuf_putc(&r->out->text, '(');
    strbuf_puts(&r->out->text, opening[i] && strcmp(opening[i], "?i:") != 0 ? opening[i] : "?:");
    r->at += opening[i] ? strlen(opening[i]) : 0;
    if (read_alternatives(r, caseless) < 0)
        return -1;
    if (peek(r) != ')')
        return refuse(r, "'(' without ')'");
    r->at++;
    r->depth--;
    strbuf_putc(&r->out->text, ')');
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
            strbuf_putc(&r->out->text, '|');
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

int pattern_translate(struct pattern_source *source, const char *text, size_t len, int literal,
                      const struct unicode_classes *uc, struct error *err)
{
    struct reader r = { .text = text, .len = len, .uc = uc, .out = source, .err = err };

    if (len > PATTERN_MAX)
        return error_set(err, "a pattern of %zu bytes; at most %d are supported", len, PATTERN_MAX);
    if ((literal ? read_literal(&r) : read_alternatives(&r, 0)) < 0)
        return -1;
    if (more(&r))
        return refuse(&r, "')' without '('");
    return strbuf_check(&source->text, err);
}

void pattern_source_release(struct pattern_source *source)
{
    for (int i = 0; i < source->count; i++)
        free(source->atoms[i]);
    strbuf_release(&source->text);
    *source = (struct pattern_source){ 0 };
}
