/*
 * dist/sum.h: one long sum over the ranks that goes on while the caller computes.
 *
 * The array is cut into chunks, the last one first, because the gradients of
 * the upper layers are finished first. A chunk is summed as soon as it is
 * final on all ranks, in two halves:
 *
 *     size = f0 f1 ... (prime factors, of a node's ranks first), digit i of a rank counts to fi
 *     stage i        the fi ranks that differ in digit i alone cut the part of the chunk that
 *                    they have in common into fi, and each gets the others' numbers of its own
 *     back, ... 0    and each gives the others its own, now summed
 *
 * Each rank sends, and gets, for n numbers
 *
 *     16 n (size - 1) / size   bytes, in   2 (f0 - 1 + f1 - 1 + ...)   messages a chunk
 *
 * the least bytes possible, for any number of ranks. (MPI_Iallreduce in place
 * of Open MPI 4.1 sends 8 n log2(size) from some ranks.) The digits of a node's
 * ranks come first. Where all nodes have equally many, numbered in a row, what
 * leaves a node is already summed over it:
 *
 *     16 n (nodes - 1) / nodes   bytes a node
 *
 * Sums of integers wrap around at 64 bits, so the order of additions does not
 * matter: the bits are the same on all ranks, and those of dist_sum_i64().
 * After Rabenseifner 2004 (recursive halving and doubling), with digits of any
 * size.
 *
 * MPI moves long messages only inside its calls, and there is no thread of
 * ours for it: whoever computes calls dist_sum_poke() now and then.
 */
#ifndef DIST_SUM_H
#define DIST_SUM_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "dist/dist.h"

enum {
    DIST_SUM_DIGITS = 31,    // prime factors of an int
    DIST_SUM_WINDOW = 4,     // chunks on their way at once
    DIST_SUM_CHUNK = 1 << 17 // numbers of a chunk: 1 MiB
};

/* A chunk on its way. */
struct dist_sum_slot {
    int stage; // the one whose messages are out; 2 x digits: done
    int requests_count;
    MPI_Request *requests;                                     // [2 (largest digit - 1)]
    int64_t *got;                                              // numbers of the other ranks
    size_t from[DIST_SUM_DIGITS + 1], to[DIST_SUM_DIGITS + 1]; // my part before each digit
};

struct dist_sum {
    const struct dist *dist;
    int digits, digit[DIST_SUM_DIGITS];
    size_t n, chunk;                            // numbers; of a chunk
    int64_t *v;                                 // [n]
    size_t ready;                               // v[ready, n) is final here
    size_t begun, done;                         // chunks
    struct dist_sum_slot slot[DIST_SUM_WINDOW]; // chunk c is in slot c % DIST_SUM_WINDOW
};

/* Room for sums of n numbers, in arena: measuring, or for real. Keeps dist. Local. */
void dist_sum_place(struct dist_sum *sum, struct arena *arena, const struct dist *dist, size_t n);

/* v [n] is to be summed in place; it is still the caller's. Keeps v until dist_sum_wait(). Local. */
void dist_sum_begin(struct dist_sum *sum, int64_t *v);

/* From here on the caller leaves v[from, n) alone. from never grows. Local. */
void dist_sum_ready(struct dist_sum *sum, size_t from);

/* Lets messages go on: microseconds where there is nothing to do. Local. */
void dist_sum_poke(struct dist_sum *sum);

/*
 * Goes on with the sum until every rank has come here: what is left of it
 * afterwards no rank could have hidden. For measuring. Collective.
 */
void dist_sum_meet(struct dist_sum *sum);

/* Everything is final here; returns when v holds the sums. Collective. */
void dist_sum_wait(struct dist_sum *sum);

/*
 * The digits of size ranks, node_ranks of them on a node: prime factors of node_ranks,
 * the smallest first, then those of the number of nodes; where node_ranks does
 * not divide size, those of size. digit [DIST_SUM_DIGITS] out; returns how many. Local.
 */
int dist_sum_digits(int *digit, int size, int node_ranks);

#endif
