/*
 * report/forecast.h: how long a step takes on N ranks.
 *
 *     T(N) = largest / rate + overhead + max(R / 10, R / chunks, R - backward)
 *
 *     largest   operations of the rank that has the most, as the rows are dealt; where its threads
 *               have rows of their own, their number times those of the dearest
 *     backward  largest / passes / 2 / rate: what the reduction can hide behind, half of a pass
 *     R         16 P (nodes - 1) / nodes / link  +  16 P (m - 1) / node
 *               +  2 (f0 - 1 + f1 - 1 + ...) ceil(chunks / window) latency
 *
 *     P         parameters of the adapter, sums of 8 bytes each way
 *     m         ranks of a node;  f0 f1 ... = N  prime factors;  chunks, window: dist/sum.h
 *
 * Efficiency is T(1) / (N T(N)) for the same rows. Where the constants come
 * from, and how well they fit: docs/scaling.md.
 *
 * Seconds, operations (floating point), bytes. Local; cannot fail.
 */
#ifndef REPORT_FORECAST_H
#define REPORT_FORECAST_H

#include <stddef.h>

struct forecast_machine {
    double rate;       // operations a second of one rank
    double overhead_s; // of a step, on every rank: optimizer, state, logs
    double link;       // bytes a second that a node sends, and gets
    double node;       // bytes a second that the ranks of a node exchange, all together
    double latency_s;  // of a message
};

struct forecast_step {
    int ranks, ranks_per_node;
    size_t parameters;
    double operations, largest; // of all rows, of the rank that has the most
    double passes;              // of that rank; 1 or more
};

double forecast_reduction_s(const struct forecast_machine *machine,
                            const struct forecast_step *step);
double forecast_step_s(const struct forecast_machine *machine, const struct forecast_step *step);
double forecast_efficiency(const struct forecast_machine *machine,
                           const struct forecast_step *step);

#endif
