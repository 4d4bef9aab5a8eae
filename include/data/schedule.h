/*
 * data/schedule.h: which rows step k computes, and which of them are mine.
 *
 * A step is a list of global_batch consecutive rows of the epoch's
 * permutation; global_batch = per_device_train_batch_size x ranks x
 * gradient_accumulation_steps, or what the user gives outright. The last
 * step of an epoch takes the rows that are left. LLaMA-Factory on W ranks
 * gives batch i of the permutation to rank i mod W, so its updates hold the
 * same rows as ours, except that it fills the epoch's last batches by wrapping
 * to its start and trains those rows twice; we do not, for the list must not
 * depend on the number of ranks. On one rank there is no difference.
 *
 * Steps count from 0, epochs from 0. Everything follows from (rows, seed,
 * settings), so a resumed run needs the step's number only.
 *
 * Local; the result is the same on all ranks.
 */
#ifndef DATA_SCHEDULE_H
#define DATA_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct schedule_params {
    size_t rows;             // rows of the training set
    int64_t global_batch;    // rows of a step
    double num_train_epochs; // used when max_steps <= 0; may be fractional
    int64_t max_steps;
    uint64_t seed; // data_seed, or seed
    int shuffle;   // 0 with disable_shuffling
};

struct schedule {
    struct schedule_params params;
    int64_t steps_per_epoch; // ceil(rows / global_batch)
    int64_t total_steps;     // max_steps, or ceil(num_train_epochs * steps_per_epoch)
    int64_t epochs;          // epochs begun: ceil(total_steps / steps_per_epoch)
    int64_t *order;          // [rows] permutation of order_epoch
    int64_t order_of;        // the epoch that order holds, -1 at first
};

/* -1 when there are no rows, the batch is below 1 or nothing would be trained. */
int schedule_open(struct schedule *schedule, const struct schedule_params *params,
                  struct error *err);

/*
 * The rows of a step: *rows points into the schedule (valid until the next
 * call), *count is how many. *epoch (may be NULL) is the step's epoch. step >= 0,
 * also beyond total_steps. Cannot fail; O(rows) when the epoch changes.
 */
void schedule_step(struct schedule *schedule, int64_t step, const int64_t **rows, size_t *count,
                   int64_t *epoch);

/* HF's "epoch" after step + 1 steps: (step + 1) / steps_per_epoch. */
double schedule_epoch_after(const struct schedule *schedule, int64_t step);

void schedule_close(struct schedule *schedule);

/*
 * Cuts count items into size contiguous runs so that the dearest run is as
 * cheap as can be; run r is [bounds[r], bounds[r + 1]). Of the cuts with that
 * maximum the one that fills ranks from the first on is taken; the last runs
 * may be empty. cost[i] >= 0. bounds: [size + 1]. O(count * size) at most;
 * allocates nothing.
 */
void schedule_cut(size_t *bounds, int size, const double *cost, size_t count);

/* Of schedule_deal(). */
struct schedule_item {
    double cost;
    size_t index;
};

struct schedule_share {
    double load;
    int rank;
};

/*
 * Deals count items to size ranks: the dearest first, each to the rank that
 * has the least so far (the lowest of equals); the largest share is then at most
 * 4/3 of the best possible one (Graham 1969). Where it is still more than 0.2 %
 * above schedule_least_share(), the dearest rank swaps an item for a cheaper one
 * of another rank, or gives it away, or, where no swap helps and they are at most
 * 12, its items and the lightest rank's are divided in the best of all ways, as
 * long as that helps, 32 times at most. owner[i] is item i's rank, a function of
 * the costs alone. Sums are exact, so a step's rows need not lie side by side.
 * O(count log(count + size)), each swap O(count) for each item of the dearest
 * rank, each division 2^11 sums.
 *
 *   owner [count] out; items [count]: scratch; cost[i] >= 0
 *   shares [size] out: the load of each rank
 *
 * Returns the largest share. Allocates nothing.
 */
double schedule_deal(int *owner, int size, const double *cost, size_t count,
                     struct schedule_item *items, struct schedule_share *shares);

/*
 * What the largest share is at least, however the items are dealt: the mean of
 * the ranks, or the dearest item where that is more, since an item is not cut.
 */
double schedule_least_share(int size, const double *cost, size_t count);

#endif
