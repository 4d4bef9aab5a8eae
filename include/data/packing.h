/*
 * data/packing.h: which samples share a row.
 *
 * Rows of a data set are taken in windows: the set is cut into workers
 * contiguous shards, each shard into windows of window rows, as the datasets
 * library maps a function over batches. Within a window the valid samples
 * are put into bins of capacity tokens by LLaMA-Factory's greedy knapsack:
 * open a bin, take the longest sample that fits until none does, close it.
 * Of samples of equal length the last is used first. The result depends on
 * the lengths alone, never on ranks.
 *
 * Local.
 * Source: LLaMA-Factory data/processor/processor_utils.py, datasets
 * Dataset.shard(contiguous=True); tests/golden/data/packing.json.
 */
#ifndef DATA_PACKING_H
#define DATA_PACKING_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Row i of the packed set is made of member[first[i]], ..., member[first[i + 1] - 1], in order. */
struct packing {
    int64_t *member; // indices of samples
    size_t *first;   // [rows + 1]
    size_t rows;
    size_t dropped; // samples longer than capacity
    size_t member_count, member_cap, first_cap;
};

/*
 * length[i] is the number of tokens of row i of the set, -1 for a row that
 * was dropped. sample[i] (NULL: i) is what to write into member. capacity is
 * cutoff_len - 1. workers (preprocessing_num_workers) and window
 * (preprocessing_batch_size) of 0 mean 1 and 1000.
 */
int packing_plan(struct packing *packing, const int32_t *length, const int64_t *sample, size_t n,
                 int capacity, int workers, int window, struct error *err);

/* Every valid row alone: the same struct for a set that is not packed. */
int packing_none(struct packing *packing, const int32_t *length, const int64_t *sample, size_t n,
                 struct error *err);

void packing_release(struct packing *packing);

#endif
