/*
 * base/number.h: numbers in JSON as Python's json.dumps writes them.
 *
 * Local; appends to a strbuf, whose failure is checked there.
 */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include "base/strbuf.h"

/*
 * The shortest decimal that reads back as x, in Python's form: 1e-05, 0.0001,
 * 2.0, 1e+16; NaN, Infinity and -Infinity as json.dumps writes them.
 */
void number_add(struct strbuf *sb, double x);

/* Python's round(x, digits): exact decimal value, half to even; digits 0 to 15. */
double number_round(double x, int digits);

/* Whole seconds as Python's str(timedelta): 0:01:02, 1 day, 2:03:04. */
void number_add_duration(struct strbuf *sb, double seconds);

#endif
