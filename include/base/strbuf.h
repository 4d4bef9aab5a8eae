/*
 * base/strbuf.h: a string that grows.
 *
 * Appending never fails on the spot: the first failure is remembered and
 * every later append does nothing, so a writer checks once, at the end:
 *
 *     struct strbuf out = { 0 };
 *     strbuf_printf(&out, "%d rows", n);
 *     if (strbuf_check(&out, err) < 0)
 *         goto fail;
 *
 * Local.
 */
#ifndef BASE_STRBUF_H
#define BASE_STRBUF_H

#include <stddef.h>

#include "base/error.h"

struct strbuf {
    char *text; // NULL while empty, else zero-terminated at text[len]
    size_t len, cap;
    int failed;
};

void strbuf_add(struct strbuf *sb, const void *bytes, size_t len);
void strbuf_puts(struct strbuf *sb, const char *s);
void strbuf_putc(struct strbuf *sb, char c);
void strbuf_printf(struct strbuf *sb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Empties it and keeps its memory. */
void strbuf_reset(struct strbuf *sb);

/* -1 with err filled in when an append failed. */
int strbuf_check(const struct strbuf *sb, struct error *err);

/* The text, never NULL; owned by sb. */
const char *strbuf_text(const struct strbuf *sb);

void strbuf_release(struct strbuf *sb);

#endif
