/*
 * scalar.c: what a word in a YAML file means.
 *
 * PyYAML resolves plain words by YAML 1.1's patterns: yes/no/on/off are
 * booleans, 010 is octal, 1:30 is sexagesimal. OmegaConf adds floats without
 * a point, 1e-4. Words that match no pattern are text. The patterns here are
 * the union of the two, matched by hand.
 */
#include "config_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 128 // longest text taken for a number

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return 1;
    return 0;
}

/* Past digits and underscores, the first a digit; NULL when the first is none. */
static const char *skip_digits(const char *s)
{
    if (!is_digit(*s))
        return NULL;
    while (is_digit(*s) || *s == '_')
        s++;
    return s;
}

static const char *skip_exponent(const char *s, int sign_needed)
{
    if (*s != 'e' && *s != 'E')
        return NULL;
    s++;
    if (*s == '-' || *s == '+')
        s++;
    else if (sign_needed)
        return NULL;
    if (!is_digit(*s))
        return NULL;
    while (is_digit(*s))
        s++;
    return s;
}

/* Past one or more ":59"; NULL when there is none. */
static const char *skip_sixties(const char *s)
{
    const char *start = s;

    while (*s == ':' && is_digit(s[1])) {
        if (is_digit(s[2]) && s[1] <= '5')
            s += 3;
        else
            s += 2;
    }
    return s == start ? NULL : s;
}

/* True when s is empty, or an exponent and nothing more. */
static int ends_float(const char *s, int sign_needed)
{
    const char *end = skip_exponent(s, sign_needed);

    return *s == '\0' || (end && *end == '\0');
}

static int looks_like_float(const char *text)
{
    static const char *const special[] = { ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL };
    static const char *const infinite[] = { ".inf", ".Inf", ".INF", NULL };
    const char *s = text, *end;

    if (one_of(text, special))
        return 1;
    if (*s == '-' || *s == '+')
        s++;
    if (one_of(s, infinite))
        return 1;
    if (*text == '.') {
        s = skip_digits(text + 1);
        return s && ends_float(s, 1);
    }
    s = skip_digits(s);
    if (!s)
        return 0;
    if (*s == 'e' || *s == 'E')
        return s[-1] != '_' && !strstr(text, "__") && ends_float(s, 0);
    if (*s != '.' && *s != ':')
        return 0;
    if (*s == ':') {
        end = skip_sixties(s);
        if (!end || *end != '.')
            return 0;
        s = end + 1 + strspn(end + 1, "0123456789_");
        return *s == '\0';
    }
    s++;
    s += strspn(s, "0123456789_");
    return ends_float(s, 0);
}

/* The base of an int, 60 for sexagesimal; 0 when it is none. */
static int int_base(const char *text)
{
    const char *s = text;
    const char *digits = "0123456789_";
    int base = 10;

    if (*s == '-' || *s == '+')
        s++;
    if (*s == '0' && s[1] == 'b') {
        base = 2, digits = "01_", s += 2;
    } else if (*s == '0' && s[1] == 'x') {
        base = 16, digits = "0123456789abcdefABCDEF_", s += 2;
    } else if (*s == '0') {
        base = s[1] ? 8 : 10, digits = "01234567_";
    } else if (!is_digit(*s)) {
        return 0;
    }
    if (strspn(s, "_") == strlen(s))
        return 0;
    s += strspn(s, digits);
    if (*s == '\0')
        return base;
    s = base == 10 && *text != '0' ? skip_sixties(s) : NULL;
    return s && *s == '\0' ? 60 : 0;
}

/* Sign and underscores removed; -1 when too long. */
static int plain_digits(const char *text, char out[NUMBER_MAX], int *negative)
{
    size_t n = 0;

    *negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    for (; *text; text++) {
        if (*text == '_')
            continue;
        if (n + 1 >= NUMBER_MAX)
            return -1;
        out[n++] = *text;
    }
    out[n] = '\0';
    return 0;
}

/* Digits in base 60 separated by colons. */
static double read_sixties(const char *digits)
{
    double sum = 0;
    char *end;

    for (;;) {
        sum = sum * 60 + strtod(digits, &end);
        if (*end != ':')
            return sum;
        digits = end + 1;
    }
}

static void read_int(struct scalar *scalar, const char *text, int base)
{
    char digits[NUMBER_MAX];
    unsigned long long u;
    int negative, long_text = plain_digits(text, digits, &negative) < 0;

    scalar->kind = SCALAR_INT;
    if (!long_text && base == 60) {
        scalar->f = read_sixties(digits);
        scalar->big = scalar->f > 9e15;
        scalar->i = scalar->big ? INT64_MAX : (int64_t)scalar->f;
    } else {
        errno = 0;
        u = long_text ? 0 : strtoull(base == 2 || base == 16 ? digits + 2 : digits, NULL, base);
        scalar->big = long_text || errno == ERANGE || u > INT64_MAX;
        scalar->i = scalar->big ? INT64_MAX : (int64_t)u;
        scalar->f = scalar->big ? HUGE_VAL : (double)u;
        if (scalar->big && !long_text && base == 10)
            scalar->f = strtod(digits, NULL);
    }
    if (negative) {
        scalar->i = -scalar->i;
        scalar->f = -scalar->f;
    }
}

static int read_float(struct scalar *scalar, const char *text)
{
    char digits[NUMBER_MAX];
    int negative;

    if (plain_digits(text, digits, &negative) < 0)
        return -1;
    scalar->kind = SCALAR_FLOAT;
    if (digits[0] == '.' && (digits[1] == 'i' || digits[1] == 'I'))
        scalar->f = HUGE_VAL;
    else if (digits[0] == '.' && (digits[1] == 'n' || digits[1] == 'N'))
        scalar->f = NAN;
    else
        scalar->f = strchr(digits, ':') ? read_sixties(digits) : strtod(digits, NULL);
    if (negative)
        scalar->f = -scalar->f;
    return 0;
}

void scalar_read(struct scalar *scalar, const char *text, int quoted)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const yes[] = { "yes",  "Yes", "YES", "true", "True",
                                       "TRUE", "on",  "On",  "ON",   NULL };
    static const char *const no[] = { "no",    "No",  "NO",  "false", "False",
                                      "FALSE", "off", "Off", "OFF",   NULL };
    int base;

    memset(scalar, 0, sizeof(*scalar));
    scalar->text = text;
    scalar->kind = SCALAR_TEXT;
    if (quoted)
        return;
    if (one_of(text, nulls)) {
        scalar->kind = SCALAR_NULL;
    } else if (one_of(text, yes) || one_of(text, no)) {
        scalar->kind = SCALAR_BOOL;
        scalar->i = one_of(text, yes);
    } else if (looks_like_float(text)) {
        (void)read_float(scalar, text);
    } else {
        base = int_base(text);
        if (base)
            read_int(scalar, text, base);
    }
}

/* Mantissa digits and decimal exponent of "%.17e"-like text, in Python's form. */
static void print_shortest(const char *e_text, struct strbuf *out)
{
    char digits[32] = "0";
    const char *e = strchr(e_text, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10);
    int n = 0, i;

    if (*e_text == '-')
        strbuf_putc(out, *e_text++);
    for (; e_text < e; e_text++)
        if (is_digit(*e_text))
            digits[n++] = *e_text;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (exponent < -4 || exponent >= 16) {
        strbuf_putc(out, digits[0]);
        if (n > 1) {
            strbuf_putc(out, '.');
            strbuf_add(out, digits + 1, (size_t)n - 1);
        }
        strbuf_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    if (exponent < 0)
        strbuf_puts(out, "0.");
    for (i = exponent + 1; i < 0; i++)
        strbuf_putc(out, '0');
    for (i = 0; i < n || i <= exponent; i++) {
        strbuf_putc(out, i < n ? digits[i] : '0');
        if (i == exponent)
            strbuf_putc(out, '.');
    }
    if (exponent >= 0 && n <= exponent + 1)
        strbuf_putc(out, '0');
}

void scalar_print_double(double f, struct strbuf *out)
{
    char text[40];
    int precision;

    if (isnan(f) || isinf(f)) {
        strbuf_puts(out, isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
        return;
    }
    for (precision = 0; precision <= 16; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, f);
        if (strtod(text, NULL) == f)
            break;
    }
    print_shortest(text, out);
}

void scalar_print(const struct scalar *scalar, struct strbuf *out)
{
    switch (scalar->kind) {
    case SCALAR_NULL:
        strbuf_puts(out, "None");
        break;
    case SCALAR_BOOL:
        strbuf_puts(out, scalar->i ? "True" : "False");
        break;
    case SCALAR_INT:
        if (scalar->big)
            strbuf_puts(out, scalar->text);
        else
            strbuf_printf(out, "%lld", (long long)scalar->i);
        break;
    case SCALAR_FLOAT:
        scalar_print_double(scalar->f, out);
        break;
    case SCALAR_TEXT:
        strbuf_puts(out, scalar->text);
        break;
    }
}
