/*
 * dist/signal.h: being asked to stop.
 *
 * SIGTERM, SIGUSR1 and SIGINT set a flag and nothing else; system calls go on, and
 * a second SIGINT ends the process as if nobody caught it. The
 * flag is looked at between passes, in every phase. Often only one rank gets
 * the signal, so a rank never acts on its own flag: it puts it into the
 * reduction it makes anyway, or asks signal_any_stop().
 */
#ifndef DIST_SIGNAL_H
#define DIST_SIGNAL_H

#include "base/error.h"
#include "dist/dist.h"

/* These signals, from now until the process ends. Local. */
int signal_install(struct error *err);

/* The signal that came first, or 0. Later ones change nothing. Local. */
int signal_stop_requested(void);

/* Sets the flag as if this signal had come; for time limits. Local. */
void signal_request_stop(int signal_number);

/* "SIGTERM", "SIGUSR1", "SIGINT", "time limit" (SIGALRM) or "signal". Local. */
const char *signal_name(int signal_number);

/* The highest signal number that any rank has seen, 0 when none has: same answer on all. Collective. */
int signal_any_stop(const struct dist *dist);

#endif
