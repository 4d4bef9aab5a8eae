/*
 * What the parts of report share.
 */
#ifndef REPORT_INTERNAL_H
#define REPORT_INTERNAL_H

#include "report/trainer_log.h"

/* count / seconds with 3 decimals, as transformers' speed_metrics. */
double report_rate(double count, double seconds);

/* "SET_what": , the key of a number of an evaluated set; what JSON cannot hold as it is becomes _. */
void report_set_key(struct strbuf *sb, const char *set, const char *what);

/*
 * "key": value of each number of a record, in the order of the keys, each
 * after before and followed by between unless it is the last.
 */
void report_summary(struct strbuf *sb, const struct summary_record *record, int with_step,
                    const char *between);
void report_eval(struct strbuf *sb, const struct eval_record *record, int with_step,
                 const char *between);

#endif
