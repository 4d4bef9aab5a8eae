/*
 * words.c: amounts with units, limits in words, and text as YAML.
 */
#include "config_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 60 // bytes of a value in a message

int bytes_read(const char *text, int64_t *bytes)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {
        { "B", 1 },        { "KB", 1e3 },     { "MB", 1e6 },     { "GB", 1e9 },   { "TB", 1e12 },
        { "K", 0x1p10 },   { "M", 0x1p20 },   { "G", 0x1p30 },   { "T", 0x1p40 }, { "KiB", 0x1p10 },
        { "MiB", 0x1p20 }, { "GiB", 0x1p30 }, { "TiB", 0x1p40 },
    };
    char *end;
    double f;
    size_t i;

    if (*text < '0' || *text > '9' || strpbrk(text, "xXpP"))
        return -1;
    f = strtod(text, &end);
    while (*end == ' ')
        end++;
    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) != 0)
            continue;
        f = floor(f * units[i].factor);
        if (f > 1e18)
            return -1;
        *bytes = (int64_t)f;
        return 0;
    }
    return -1;
}

/* Up to nine digits; -1 when there are none or more. */
static int digits_read(const char **p, int64_t *n)
{
    int count = 0;

    for (*n = 0; **p >= '0' && **p <= '9'; (*p)++, count++) {
        if (count == 9)
            return -1;
        *n = *n * 10 + (**p - '0');
    }
    return count > 0 ? 0 : -1;
}

/* "1-12:00:00", "12:00:00", "30:00": days, hours, minutes, seconds. */
static int clock_read(const char *p, int64_t *seconds)
{
    int64_t n, sum = 0;
    int parts = 0;

    *seconds = 0;
    if (strchr(p, '-')) {
        if (digits_read(&p, &n) < 0 || *p++ != '-')
            return -1;
        *seconds = n * 86400;
    }
    for (;;) {
        if (digits_read(&p, &n) < 0 || ++parts > 3 || (parts > 1 && n > 59))
            return -1;
        sum = sum * 60 + n;
        if (*p != ':')
            break;
        p++;
    }
    if (*p != '\0' || parts < 2 || (*seconds > 0 && parts < 3))
        return -1;
    *seconds += sum;
    return 0;
}

int seconds_read(const char *text, int64_t *seconds)
{
    static const char units[] = "dhms";
    static const int64_t factors[] = { 86400, 3600, 60, 1 };
    const char *p = text, *unit, *last = units;
    int64_t n;

    if (strchr(text, ':'))
        return clock_read(text, seconds);
    *seconds = 0;
    do {
        if (digits_read(&p, &n) < 0 || *p == '\0')
            return -1;
        unit = strchr(last, *p++);
        if (!unit)
            return -1;
        *seconds += n * factors[unit - units];
        last = unit + 1;
    } while (*p);
    return 0;
}

/* 65536 and not 65536.0, 1e+18 as 1000000000000000000. */
static void number_print(double f, struct strbuf *out)
{
    if (f == floor(f) && fabs(f) < 1e15)
        strbuf_printf(out, "%.0f", f);
    else
        strbuf_printf(out, "%g", f);
}

static void words_print(const char *words, struct strbuf *out)
{
    for (; *words; words++) {
        if (*words == ' ')
            strbuf_putc(out, ',');
        strbuf_putc(out, *words);
    }
}

void key_limits_print(const struct config_key *key, struct strbuf *out)
{
    if (key->choices) {
        words_print(key->choices, out);
        return;
    }
    if (key->min == 0 && key->max == 0)
        return;
    if (key->max >= 1e9 && key->max != 4294967295.0) {
        strbuf_puts(out, key->flags & KEY_ABOVE_MIN ? "more than " : "");
        number_print(key->min, out);
        strbuf_puts(out, key->flags & KEY_ABOVE_MIN ? "" : " or more");
        return;
    }
    if (key->flags & (KEY_ABOVE_MIN | KEY_BELOW_MAX)) {
        strbuf_puts(out, key->flags & KEY_ABOVE_MIN ? "more than " : "");
        number_print(key->min, out);
        strbuf_puts(out, key->flags & KEY_ABOVE_MIN ? " and " : " or more and ");
        strbuf_puts(out, key->flags & KEY_BELOW_MAX ? "less than " : "at most ");
    } else {
        number_print(key->min, out);
        strbuf_puts(out, " to ");
    }
    number_print(key->max, out);
}

/* Bytes of text to show, cut before a character that would be split. */
static size_t shown_len(const char *text)
{
    size_t len = strlen(text);

    if (len <= SHOWN_MAX)
        return len;
    len = SHOWN_MAX;
    while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
        len--;
    return len;
}

void resolved_print(const struct resolved *resolved, struct strbuf *out)
{
    const struct scalar *s = &resolved->scalar;
    const char *quote = s->kind == SCALAR_TEXT ? "'" : "";
    size_t len;

    if (resolved->node) {
        strbuf_puts(out, resolved->node->kind == NODE_MAP ? "a mapping" : "a list");
    } else if (s->kind == SCALAR_NULL) {
        strbuf_puts(out, "null");
    } else if (s->text[0] == '\0') {
        strbuf_puts(out, "empty");
    } else {
        len = shown_len(s->text);
        strbuf_puts(out, quote);
        for (size_t i = 0; i < len; i++)
            strbuf_putc(out, (unsigned char)s->text[i] < 0x20 ? ' ' : s->text[i]);
        strbuf_puts(out, s->text[len] ? "..." : "");
        strbuf_puts(out, quote);
    }
}

/* A word that needs no quotes: starts with a letter, / or ., and holds nothing special. */
static int is_plain(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./";
    struct scalar scalar;

    scalar_read(&scalar, text, 0);
    return scalar.kind == SCALAR_TEXT && text[0] && text[0] != '-' &&
           text[strspn(text, plain)] == '\0' && strcmp(text, "...") != 0;
}

/* The code point at *p, moving past it; text is valid UTF-8. */
static unsigned long code_point(const unsigned char **p)
{
    unsigned long c = *(*p)++;
    int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;

    if (more)
        c &= 0x3FUL >> more;
    for (; more > 0 && (**p & 0xC0) == 0x80; more--)
        c = c << 6 | (*(*p)++ & 0x3F);
    return c;
}

static void char_print(const unsigned char **p, struct strbuf *out)
{
    const unsigned char *start = *p;
    unsigned long c = code_point(p);

    if (c == '"' || c == '\\')
        strbuf_printf(out, "\\%c", (int)c);
    else if (c == '\n')
        strbuf_puts(out, "\\n");
    else if (c == '\t')
        strbuf_puts(out, "\\t");
    else if (c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 || c == 0xFEFF ||
             (c >= 0xFFFE && c <= 0xFFFF))
        strbuf_printf(out, "\\u%04lX", c);
    else
        strbuf_add(out, start, (size_t)(*p - start));
}

/* Backslashes right before a reference are doubled and one more added, so that it stays text. */
static void escape_references(const char *text, struct strbuf *out)
{
    size_t slashes = 0;

    for (; *text; text++) {
        if (text[0] == '$' && text[1] == '{') {
            for (; slashes > 0; slashes--)
                strbuf_putc(out, '\\');
            strbuf_putc(out, '\\');
        }
        slashes = *text == '\\' ? slashes + 1 : 0;
        strbuf_putc(out, *text);
    }
}

void key_text_print(const char *text, struct strbuf *out)
{
    const unsigned char *p = (const unsigned char *)text;

    if (is_plain(text)) {
        strbuf_puts(out, text);
        return;
    }
    strbuf_putc(out, '"');
    while (*p)
        char_print(&p, out);
    strbuf_putc(out, '"');
}

void text_print(const char *text, struct strbuf *out)
{
    struct strbuf escaped = { 0 };

    escape_references(text, &escaped);
    if (escaped.failed)
        out->failed = 1;
    key_text_print(strbuf_text(&escaped), out);
    strbuf_release(&escaped);
}
