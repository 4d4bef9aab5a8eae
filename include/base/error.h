/*
 * base/error.h: how a failure travels from where it happens to main().
 *
 * A function that can fail takes `struct error *err` last and returns 0, or
 * -1 with err filled in; it prints nothing. A message is lower case, without
 * a full stop, names its subject in single quotes and says what to do.
 *
 * Everything here is local.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#define ERROR_MSG_MAX 1024

struct error {
    char msg[ERROR_MSG_MAX]; // cut at a character boundary when longer
};

/* Sets the message; returns -1, so that `return error_set(err, ...)` reads well. */
int error_set(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "<new text>: " before the message that is there; returns -1. */
int error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* True when the message is that memory ran out, which says nothing about what was being read. */
int error_is_memory(const struct error *err);

/*
 * A defect of the program itself: prints one line with file and line, then
 * ends the process through the handler that dist installs (MPI_Abort), or
 * abort() before that.
 */
#define BUG(...) bug_report(__FILE__, __LINE__, __VA_ARGS__)

void bug_report(const char *file, int line, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/* handler: called after the line is printed; must not return. Keeps handler. */
void bug_set_handler(void (*handler)(void));

#endif
