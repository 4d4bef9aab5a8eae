/*
 * base/error.c: messages of bounded length, never cut inside a UTF-8 character.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void (*bug_handler)(void);

/* Drops a character whose last bytes did not fit. */
static void trim_partial_utf8(char *s)
{
    size_t len = strlen(s);
    size_t lead = len;
    size_t need;
    unsigned char c;

    if (len + 1 < ERROR_MSG_MAX)
        return;
    while (lead > 0 && ((unsigned char)s[lead - 1] & 0xC0) == 0x80)
        lead--;
    if (lead == 0)
        return;
    c = (unsigned char)s[lead - 1];
    need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    if (len - (lead - 1) < need)
        s[lead - 1] = '\0';
}

int error_is_memory(const struct error *err)
{
    return strstr(err->msg, "out of memory") != NULL;
}

int error_set(struct error *err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    trim_partial_utf8(err->msg);
    return -1;
}

int error_wrap(struct error *err, const char *fmt, ...)
{
    char outer[ERROR_MSG_MAX];
    char inner[ERROR_MSG_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(outer, sizeof(outer), fmt, ap);
    va_end(ap);
    memcpy(inner, err->msg, sizeof(inner));
    return error_set(err, "%s: %s", outer, inner);
}

void bug_set_handler(void (*handler)(void))
{
    bug_handler = handler;
}

void bug_report(const char *file, int line, const char *fmt, ...)
{
    char text[ERROR_MSG_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    (void)fprintf(stderr, "lowrank: bug at %s:%d: %s\n", file, line, text);
    (void)fflush(stderr);
    if (bug_handler)
        bug_handler();
    abort();
}
