/*
 * base/number.c: Python's forms of numbers.
 */
#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 17  // that any double needs
#define FIXED_MAX  340 // characters of the largest double with 15 decimals

/* The fewest digits that read back as x > 0, and the power of ten of the first; returns how many. */
static int shortest(char digits[DIGITS_MAX + 1], int *exponent, double x)
{
    char text[32];
    int count = 0;

    for (int precision = 0; precision < DIGITS_MAX; precision++) {
        (void)snprintf(text, sizeof(text), "%.*e", precision, x);
        if (strtod(text, NULL) == x)
            break;
    }
    *exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    for (const char *s = text; *s != 'e'; s++) {
        if (*s != '.')
            digits[count++] = *s;
    }
    digits[count] = '\0';
    return count;
}

static void add_plain(struct strbuf *sb, const char *digits, int count, int exponent)
{
    for (int place = exponent < 0 ? 0 : exponent; place > exponent; place--)
        strbuf_puts(sb, place == 0 ? "0." : "0");
    for (int i = 0; i < count || i <= exponent; i++) {
        if (i > 0 && i == exponent + 1)
            strbuf_putc(sb, '.');
        strbuf_putc(sb, i < count ? digits[i] : '0');
    }
    if (count <= exponent + 1)
        strbuf_puts(sb, ".0");
}

void number_add(struct strbuf *sb, double x)
{
    char digits[DIGITS_MAX + 1];
    int exponent, count;

    if (isnan(x)) {
        strbuf_puts(sb, "NaN");
        return;
    }
    if (signbit(x))
        strbuf_putc(sb, '-');
    if (isinf(x)) {
        strbuf_puts(sb, "Infinity");
        return;
    }
    count = shortest(digits, &exponent, fabs(x));
    if (exponent >= -4 && exponent < 16) {
        add_plain(sb, digits, count, exponent);
        return;
    }
    strbuf_putc(sb, digits[0]);
    if (count > 1)
        strbuf_printf(sb, ".%s", digits + 1);
    strbuf_printf(sb, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
}

double number_round(double x, int digits)
{
    char text[FIXED_MAX];

    if (!isfinite(x))
        return x;
    (void)snprintf(text, sizeof(text), "%.*f", digits, x);
    return strtod(text, NULL);
}

void number_add_duration(struct strbuf *sb, double seconds)
{
    long long s = seconds > 0 && seconds < 1e15 ? (long long)seconds : 0;
    long long days = s / 86400;

    if (days > 0)
        strbuf_printf(sb, "%lld day%s, ", days, days == 1 ? "" : "s");
    strbuf_printf(sb, "%lld:%02lld:%02lld", s / 3600 % 24, s / 60 % 60, s % 60);
}
