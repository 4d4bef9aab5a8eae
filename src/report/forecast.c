/*
 * report/forecast.c: the formula of the step time.
 */
#include "report/forecast.h"

#include <math.h>

#include "dist/sum.h"

#define ALWAYS_LEFT 0.1 // of the reduction: what no backward pass hides, as measured

static double chunks(const struct forecast_step *step)
{
    return ceil((double)step->parameters / DIST_SUM_CHUNK);
}

/* Messages that follow each other in the sum of a chunk. */
static double messages(int ranks)
{
    int digit[DIST_SUM_DIGITS], n = dist_sum_digits(digit, ranks, 1);
    double sum = 0.0;

    for (int i = 0; i < n; i++)
        sum += 2.0 * (digit[i] - 1);
    return sum;
}

double forecast_reduction_s(const struct forecast_machine *machine,
                            const struct forecast_step *step)
{
    double m = fmin(step->ranks, step->ranks_per_node), nodes = ceil(step->ranks / m);
    double bytes = 16.0 * (double)step->parameters;
    double rounds = ceil(chunks(step) / DIST_SUM_WINDOW);

    return bytes * (nodes - 1.0) / nodes / machine->link + bytes * (m - 1.0) / machine->node +
           messages(step->ranks) * rounds * machine->latency_s;
}

double forecast_step_s(const struct forecast_machine *machine, const struct forecast_step *step)
{
    double reduction = forecast_reduction_s(machine, step);
    double compute = step->largest / machine->rate, backward = compute / step->passes / 2.0;
    double left = reduction * fmax(ALWAYS_LEFT, 1.0 / fmax(chunks(step), 1.0));

    return compute + machine->overhead_s + fmax(left, reduction - backward);
}

double forecast_efficiency(const struct forecast_machine *machine, const struct forecast_step *step)
{
    double alone = step->operations / machine->rate + machine->overhead_s;

    return alone / (step->ranks * forecast_step_s(machine, step));
}
