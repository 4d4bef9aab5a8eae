/*
 * base/clock.h: time. Local.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/* Seconds since some fixed moment, never going back. */
double clock_s(void);

#endif
