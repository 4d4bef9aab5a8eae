/*
 * report/loss_meter.c: means of losses.
 */
#include "report/loss_meter.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

void loss_meter_add(struct loss_meter *meter, double loss)
{
    if (isfinite(loss))
        meter->sum += loss;
    else
        meter->sum += meter->sum / (double)(1 + meter->count);
    meter->count++;
    meter->steps++;
}

double loss_meter_take(struct loss_meter *meter)
{
    double mean = meter->count > 0 ? meter->sum / (double)meter->count : 0;

    meter->total += meter->sum;
    meter->sum = 0;
    meter->count = 0;
    return mean;
}

double loss_meter_mean(const struct loss_meter *meter)
{
    return meter->steps > 0 ? (meter->total + meter->sum) / (double)meter->steps : 0;
}

void loss_meter_write(const struct loss_meter *meter, struct strbuf *out)
{
    strbuf_printf(out, "loss_meter %a %" PRId64 " %a %" PRId64 "\n", meter->sum, meter->count,
                  meter->total, meter->steps);
}

int loss_meter_read(struct loss_meter *meter, const char *text, struct error *err)
{
    struct loss_meter read = { 0 };

    if (sscanf(text, "loss_meter %la %" SCNd64 " %la %" SCNd64, &read.sum, &read.count, &read.total,
               &read.steps) != 4 ||
        read.count < 0 || read.steps < read.count)
        return error_set(err, "the checkpoint's loss meter cannot be read");
    *meter = read;
    return 0;
}
