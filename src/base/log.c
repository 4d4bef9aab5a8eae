/*
 * base/log.c: lines on standard error, one writer per line.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static int enabled;
static int bar_shown;

void log_enable(int on)
{
    enabled = on;
}

int log_has_terminal(void)
{
    return enabled && isatty(STDERR_FILENO);
}

static void print_line(const char *start, const char *fmt, va_list ap, const char *end)
{
    if (bar_shown)
        (void)fputs("\r\033[K", stderr);
    (void)fputs(start, stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputs(end, stderr);
    (void)fflush(stderr);
    bar_shown = end[0] == '\0';
}

void log_info(const char *fmt, ...)
{
    va_list ap;

    if (!enabled)
        return;
    va_start(ap, fmt);
    print_line("", fmt, ap, "\n");
    va_end(ap);
}

void log_warn(const char *fmt, ...)
{
    va_list ap;

    if (!enabled)
        return;
    va_start(ap, fmt);
    print_line("warning: ", fmt, ap, "\n");
    va_end(ap);
}

void log_bar(const char *fmt, ...)
{
    va_list ap;

    if (!log_has_terminal())
        return;
    va_start(ap, fmt);
    print_line("", fmt, ap, "");
    va_end(ap);
}
