/*
 * base/log.h: what the program says while it runs, on standard error.
 *
 * Only the rank that called log_enable(1) speaks; all others are silent, so
 * callers need no test of their rank. Local.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

/* on: this process prints. Before the first call nothing is printed. */
void log_enable(int on);

/* One line; the newline is added. A progress bar on the line is cleared first. */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same with "warning: " before it. */
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Redraws the line at the bottom of a terminal; nothing when standard error is not one. */
void log_bar(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* True when standard error is a terminal and this process prints. */
int log_has_terminal(void);

#endif
