/*
 * data/packing.c: greedy knapsack over windows of a set.
 *
 * The largest length that still fits is found by a forest over lengths: below[k]
 * leads towards the largest length at most k of which a sample is left, and
 * paths are shortened as they are walked. So a window of w samples costs
 * about w + capacity steps, however large it is.
 */
#include "data/packing.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define WINDOW_DEFAULT 1000

struct bins {
    int capacity;
    int32_t *below; // [capacity + 2] by length + 1; 0: nothing fits
    int64_t *head;  // [capacity + 1] last sample of that length in the window, -1: none
    int64_t *prev;  // [n] the one before it
};

static int bins_init(struct bins *bins, int capacity, size_t n, struct error *err)
{
    const size_t lengths = (size_t)capacity + 2;

    bins->capacity = capacity;
    bins->below = mem_alloc(lengths, sizeof(*bins->below), err);
    if (!bins->below)
        return -1;
    bins->head = mem_alloc(lengths, sizeof(*bins->head), err);
    if (!bins->head)
        return -1;
    bins->prev = mem_alloc(n, sizeof(*bins->prev), err);
    return bins->prev ? 0 : -1;
}

static void bins_release(struct bins *bins)
{
    free(bins->below);
    free(bins->head);
    free(bins->prev);
}

/* Length + 1 of the longest sample left that is at most `length` long; 0 when there is none. */
static int32_t longest(struct bins *bins, int32_t length)
{
    int32_t root = length + 1;
    int32_t at = root;

    while (bins->below[root] != root)
        root = bins->below[root];
    while (bins->below[at] != root) {
        int32_t next = bins->below[at];

        bins->below[at] = root;
        at = next;
    }
    return root;
}

static int add_member(struct packing *packing, int64_t sample, struct error *err)
{
    if (mem_grow(&packing->member, &packing->member_cap, packing->member_count + 1,
                 sizeof(*packing->member), err) < 0)
        return -1;
    packing->member[packing->member_count++] = sample;
    return 0;
}

static int close_row(struct packing *packing, struct error *err)
{
    if (mem_grow(&packing->first, &packing->first_cap, packing->rows + 2, sizeof(*packing->first),
                 err) < 0)
        return -1;
    packing->first[++packing->rows] = packing->member_count;
    return 0;
}

static int begin(struct packing *packing, struct error *err)
{
    *packing = (struct packing){ 0 };
    if (mem_grow(&packing->first, &packing->first_cap, 1, sizeof(*packing->first), err) < 0)
        return -1;
    packing->first[0] = 0;
    return 0;
}

/* Sorts the samples [from, to) by length; returns how many there are. */
static size_t fill_window(struct packing *packing, struct bins *bins, const int32_t *length,
                          size_t from, size_t to)
{
    size_t i, count = 0;
    int k;

    for (k = 0; k <= bins->capacity; k++)
        bins->head[k] = -1;
    for (i = from; i < to; i++) {
        if (length[i] < 0)
            continue;
        if (length[i] > bins->capacity) {
            packing->dropped++;
            continue;
        }
        bins->prev[i] = bins->head[length[i]];
        bins->head[length[i]] = (int64_t)i;
        count++;
    }
    bins->below[0] = 0;
    for (k = 0; k <= bins->capacity; k++)
        bins->below[k + 1] = bins->head[k] >= 0 ? k + 1 : bins->below[k];
    return count;
}

static int pack_window(struct packing *packing, struct bins *bins, const int32_t *length,
                       const int64_t *sample, size_t from, size_t to, struct error *err)
{
    size_t left = fill_window(packing, bins, length, from, to);

    while (left > 0) {
        int32_t room = bins->capacity;
        int32_t at;

        while ((at = longest(bins, room)) > 0) {
            int64_t i = bins->head[at - 1];

            if (add_member(packing, sample ? sample[i] : i, err) < 0)
                return -1;
            bins->head[at - 1] = bins->prev[i];
            if (bins->head[at - 1] < 0)
                bins->below[at] = at - 1;
            room -= at - 1;
            left--;
        }
        if (close_row(packing, err) < 0)
            return -1;
    }
    return 0;
}

int packing_plan(struct packing *packing, const int32_t *length, const int64_t *sample, size_t n,
                 int capacity, int workers, int window, struct error *err)
{
    struct bins bins = { 0 };
    size_t shards = workers > 0 ? (size_t)workers : 1;
    size_t step = window > 0 ? (size_t)window : WINDOW_DEFAULT;
    size_t shard, at = 0;
    int rc = -1;

    if (begin(packing, err) < 0 || bins_init(&bins, capacity, n, err) < 0)
        goto out;
    if (shards > n)
        shards = n;
    for (shard = 0; shard < shards; shard++) {
        const size_t end = at + n / shards + (shard < n % shards);

        for (; at < end; at += step < end - at ? step : end - at) {
            const size_t to = step < end - at ? at + step : end;

            if (pack_window(packing, &bins, length, sample, at, to, err) < 0)
                goto out;
        }
    }
    rc = 0;
out:
    bins_release(&bins);
    return rc;
}

int packing_none(struct packing *packing, const int32_t *length, const int64_t *sample, size_t n,
                 struct error *err)
{
    size_t i;

    if (begin(packing, err) < 0)
        return -1;
    for (i = 0; i < n; i++) {
        if (length[i] < 0)
            continue;
        if (add_member(packing, sample ? sample[i] : (int64_t)i, err) < 0 ||
            close_row(packing, err) < 0)
            return -1;
    }
    return 0;
}

void packing_release(struct packing *packing)
{
    free(packing->member);
    free(packing->first);
    *packing = (struct packing){ 0 };
}
