/*
 * report/loss_meter.h: the mean loss between two lines of the log, and of the
 * whole run.
 *
 * As in transformers with logging_nan_inf_filter, an update whose loss is not
 * finite counts as one with the mean of the updates since the last line; the
 * update itself is another's matter. The meter is part of a checkpoint, so that
 * a resumed run logs the same means.
 *
 * Local; cannot fail but where it says so.
 */
#ifndef REPORT_LOSS_METER_H
#define REPORT_LOSS_METER_H

#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

/* { 0 } is the start of a run. */
struct loss_meter {
    double sum;    // of the updates since the last line
    int64_t count; // of them
    double total;  // of all updates up to the last line
    int64_t steps; // all updates
};

/* One update's loss. */
void loss_meter_add(struct loss_meter *meter, double loss);

/* The mean since the last line; starts the next. 0 when there was no update. */
double loss_meter_take(struct loss_meter *meter);

/* The mean of the whole run so far: train_loss. */
double loss_meter_mean(const struct loss_meter *meter);

/* One line of text that loses nothing, and back. */
void loss_meter_write(const struct loss_meter *meter, struct strbuf *out);
int loss_meter_read(struct loss_meter *meter, const char *text, struct error *err);

#endif
