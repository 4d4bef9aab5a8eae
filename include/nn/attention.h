/*
 * nn/attention.h: causal attention over several sequences laid end to end.
 */
#ifndef NN_ATTENTION_H
#define NN_ATTENTION_H

#include "nn/nn.h"

/*
 * For each block of tokens [start, end) and each head h of H, which shares the
 * key/value head h / (H / G) of G (grouped-query attention):
 *
 *   o_i = sum over j of p_ij v_j,  p_i = softmax over j of (q_i . k_j / sqrt(D))
 *
 * where i is any token of the block that asks, j runs over its tokens up to i,
 * and when window > 0 over the last window of them only.
 *
 *   q, o, dq, d_o  [Q,H,D]
 *   k, v, dk, dv   [N,G,D]
 *   lse            [Q,H]  log of the sum of e^score, kept for the backward pass
 *   blocks         [n_blocks+1]  ascending bounds; blocks[0] = 0, blocks[n_blocks] = N
 *   query          [Q]  the tokens that ask, ascending; NULL: all, Q = N
 *   scratch        attention_scratch_floats() numbers, from the start of a cache line on
 *
 * Work is tiled over queries and, backward, over keys: memory beyond the
 * arguments is, per thread, the keys and values of the longest block and a few
 * rows of scores, so linear in length; backward it does not grow with length.
 * Nothing depends on where a block stands among others.
 *
 * Local; cannot fail; allocates nothing. The arrays must not overlap.
 * Source: Dao et al. 2022 (arXiv:2205.14135) for the recomputation of p.
 */
#define ATTENTION_TILE 64 // queries at most

struct attention_call {
    const float *q, *k, *v;
    float *o, *lse;
    const int *blocks, *query;
    int n_blocks, Q, H, G, D, window;
    float *scratch;
};

/* longest: tokens of the longest block. */
size_t attention_scratch_floats(const struct nn *nn, int longest, int D);

/* Writes o and lse. */
void attention_forward(const struct nn *nn, const struct attention_call *call, int longest);

/* Sets dq, dk and dv (does not add). delta [Q,H] out: scratch for sum(d_o o). */
void attention_backward(const struct nn *nn, const struct attention_call *call, int longest,
                        const float *d_o, float *delta, float *dq, float *dk, float *dv);

#endif
