/*
 * train/train.h: a whole run: set up, train, evaluate, save, stop.
 *
 * Everything here is collective.
 */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "config/config.h"
#include "dist/dist.h"

/* What a run comes to, besides -1. */
enum train_result {
    TRAIN_DONE = 0,
    TRAIN_INTERRUPTED = 1, // a signal or the time limit: the state is saved, run it again
};

/*
 * Trains as cfg says, or goes on with the run that output_dir holds. Returns
 * an enum train_result, or -1 with the same err on all ranks.
 */
int train_run(struct dist *dist, const struct config *cfg, struct error *err);

/*
 * Reads and validates everything that training would read, writes nothing,
 * and prints the plan to standard output: rows, steps, tokens, balance,
 * memory per rank and per node, traffic per step; for cfg->ranks ranks, each
 * like those that run, or for those that run. With cfg->ranks also a forecast
 * of the step time on up to 1,024 ranks. 0 or -1.
 */
int train_check(struct dist *dist, const struct config *cfg, struct error *err);

#endif
