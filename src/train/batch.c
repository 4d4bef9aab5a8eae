/*
 * train/batch.c: rows of the sample store laid end to end as one pass.
 *
 * A row is a leaf. Its positions restart at each sample in it, its attention
 * blocks are what the packing mode says, and the target of a token is the
 * label of the next token of the same row. Tokens of a block past its last
 * target are left out: nothing looks at them.
 */
#include "train/train_internal.h"

#include <string.h>

void batch_place(struct batch *batch, struct arena *arena, int N, int leaves, int blocks,
                 int longest)
{
    size_t n = (size_t)N, k = (size_t)leaves, b = (size_t)blocks;

    *batch = (struct batch){ .N_cap = N, .leaves_cap = leaves, .blocks_cap = blocks };
    batch->leaves = arena_take(arena, k + 1, sizeof(int));
    batch->blocks = arena_take(arena, b + 1, sizeof(int));
    batch->positions = arena_take(arena, n, sizeof(int));
    batch->segments = arena_take(arena, (size_t)longest + 1, sizeof(int));
    batch->ids = arena_take(arena, n, sizeof(int32_t));
    batch->targets = arena_take(arena, n, sizeof(int32_t));
    batch->labels = arena_take(arena, (size_t)longest, sizeof(int32_t));
    batch->tags = arena_take(arena, k, sizeof(uint32_t));
    batch->loss = arena_take(arena, k, sizeof(double));
}

void batch_reset(struct batch *batch)
{
    batch->pass = (struct model_pass){ .leaves = batch->leaves,
                                       .blocks = batch->blocks,
                                       .ids = batch->ids,
                                       .targets = batch->targets,
                                       .positions = batch->positions,
                                       .leaf_tag = batch->tags };
    batch->labelled = batch->tokens = 0;
    batch->leaves[0] = 0;
    batch->blocks[0] = 0;
}

int batch_has_room(const struct batch *batch, const struct plan *plan, int tokens)
{
    return batch->tokens == 0 || (plan->together && batch->tokens + tokens <= plan->token_budget);
}

/* Tokens [from, to) of those read become the next block, up to the last one with a target but one at least. */
static void add_block(struct batch *batch, int from, int to)
{
    int at = batch->pass.N, n = to - from;

    while (n > 1 && batch->targets[from + n - 1] < 0)
        n--;
    memmove(batch->ids + at, batch->ids + from, (size_t)n * sizeof(*batch->ids));
    memmove(batch->targets + at, batch->targets + from, (size_t)n * sizeof(*batch->targets));
    memmove(batch->positions + at, batch->positions + from, (size_t)n * sizeof(*batch->positions));
    batch->pass.N += n;
    batch->blocks[++batch->pass.n_blocks] = batch->pass.N;
}

int batch_add(struct batch *batch, const struct sample_store *store, const struct sample_set *set,
              size_t row, uint32_t tag, struct error *err)
{
    int start = batch->pass.N, T = set->length[row], segments = set->segments[row];
    int from = start;

    if (start + T > batch->N_cap || batch->pass.n_leaves >= batch->leaves_cap)
        BUG("row %zu of %d tokens does not fit the pass", row, T);
    if (sample_store_read(store, set, row, batch->ids + start, batch->labels, batch->segments,
                          err) < 0)
        return -1;
    for (int t = 0; t < T; t++) {
        int32_t next = t + 1 < T ? batch->labels[t + 1] : -1;

        batch->targets[start + t] = next >= 0 ? next : -1;
        batch->labelled += next >= 0;
    }
    for (int s = 0; s < segments; s++) {
        for (int t = batch->segments[s]; t < batch->segments[s + 1]; t++)
            batch->positions[start + t] = t - batch->segments[s];
        if (store->packing != PACKING_PLAIN || s + 1 == segments) {
            add_block(batch, from, start + batch->segments[s + 1]);
            from = start + batch->segments[s + 1];
        }
    }
    batch->tags[batch->pass.n_leaves++] = tag;
    batch->tokens += T;
    batch->leaves[batch->pass.n_leaves] = batch->pass.N;
    return 0;
}
