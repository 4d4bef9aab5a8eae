/*
 * base/strbuf.c: growable strings with one check at the end.
 */
#include "base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void strbuf_add(struct strbuf *sb, const void *bytes, size_t len)
{
    struct error ignored;

    if (sb->failed)
        return;
    if (mem_grow(&sb->text, &sb->cap, size_add(size_add(sb->len, len), 1), 1, &ignored) < 0) {
        sb->failed = 1;
        return;
    }
    if (len)
        memcpy(sb->text + sb->len, bytes, len);
    sb->len += len;
    sb->text[sb->len] = '\0';
}

void strbuf_puts(struct strbuf *sb, const char *s)
{
    strbuf_add(sb, s, strlen(s));
}

void strbuf_putc(struct strbuf *sb, char c)
{
    strbuf_add(sb, &c, 1);
}

void strbuf_printf(struct strbuf *sb, const char *fmt, ...)
{
    struct error ignored;
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        sb->failed = 1;
    if (sb->failed)
        return;
    if (mem_grow(&sb->text, &sb->cap, sb->len + (size_t)len + 1, 1, &ignored) < 0) {
        sb->failed = 1;
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(sb->text + sb->len, (size_t)len + 1, fmt, ap);
    va_end(ap);
    sb->len += (size_t)len;
}

void strbuf_reset(struct strbuf *sb)
{
    sb->len = 0;
    sb->failed = 0;
    if (sb->text)
        sb->text[0] = '\0';
}

int strbuf_check(const struct strbuf *sb, struct error *err)
{
    return sb->failed ? error_set(err, "out of memory: cannot grow a text of %zu bytes", sb->len)
                      : 0;
}

const char *strbuf_text(const struct strbuf *sb)
{
    return sb->text ? sb->text : "";
}

void strbuf_release(struct strbuf *sb)
{
    free(sb->text);
    *sb = (struct strbuf){ 0 };
}
