/*
 * Rows as passes: targets, positions, blocks, and that what nothing looks at is left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "train/train_internal.h"

enum { NO = -100, TOKENS = 10, SAMPLES = 3, MOST = 16 };

/* Samples of 5, 2 and 3 tokens; the last begins with a label, which counts behind another sample alone. */
static int32_t ids[TOKENS] = { 10, 11, 12, 13, 14, 20, 21, 30, 31, 32 };
static int32_t labels[TOKENS] = { NO, NO, 12, 13, NO, NO, NO, 30, 31, NO };
static uint64_t offset[SAMPLES + 1] = { 0, 5, 7, 10 };
static int64_t member[SAMPLES] = { 0, 1, 2 };

/* A batch with the rows that `first` cuts the samples into. */
struct bench {
    struct arena arena;
    struct batch batch;
};

static void bench_open(struct bench *b, enum packing_mode packing, uint64_t *first, int rows)
{
    int32_t length[SAMPLES], segments[SAMPLES];
    struct sample_store store = {
        .packing = packing, .samples = SAMPLES, .offset = offset, .max_id = 32
    };
    struct sample_set set = { .count = (size_t)rows };
    struct error err;

    store.ids = ids;
    store.labels = labels;
    set.length = length;
    set.segments = segments;
    set.first = first;
    set.member = member;
    for (int i = 0; i < rows; i++) {
        length[i] = (int32_t)(offset[first[i + 1]] - offset[first[i]]);
        segments[i] = (int32_t)(first[i + 1] - first[i]);
    }
    memset(b, 0, sizeof(*b));
    batch_place(&b->batch, &b->arena, MOST, MOST, MOST, MOST);
    assert_int_equal(arena_open(&b->arena, b->arena.peak, &err), 0);
    batch_place(&b->batch, &b->arena, MOST, MOST, MOST, MOST);
    batch_reset(&b->batch);
    for (int i = 0; i < rows; i++)
        assert_int_equal(batch_add(&b->batch, &store, &set, (size_t)i, (uint32_t)i, &err), 0);
}

#define EXPECT(array, ...)                                      \
    do {                                                        \
        const int32_t expected[] = __VA_ARGS__;                 \
        assert_memory_equal(array, expected, sizeof(expected)); \
    } while (0)

/* After the last target of a block nothing is kept; of a block without any, its first token. */
static void test_rows(void **state)
{
    static uint64_t first[] = { 0, 1, 2, 3 };
    struct bench b;

    (void)state;
    bench_open(&b, PACKING_OFF, first, 3);
    assert_int_equal(b.batch.tokens, TOKENS);
    assert_int_equal(b.batch.labelled, 3);
    assert_int_equal(b.batch.pass.N, 5);
    assert_int_equal(b.batch.pass.n_leaves, 3);
    assert_int_equal(b.batch.pass.n_blocks, 3);
    EXPECT(b.batch.ids, { 10, 11, 12, 20, 30 });
    EXPECT(b.batch.targets, { -1, 12, 13, -1, 31 });
    EXPECT(b.batch.positions, { 0, 1, 2, 0, 0 });
    EXPECT(b.batch.leaves, { 0, 3, 4, 5 });
    EXPECT(b.batch.blocks, { 0, 3, 4, 5 });
    arena_close(&b.arena);
}

/* A sample's last token may have the next one's first label as its target. */
static void test_neat_packing(void **state)
{
    static uint64_t first[] = { 0, 3 };
    struct bench b;

    (void)state;
    bench_open(&b, PACKING_NEAT, first, 1);
    assert_int_equal(b.batch.tokens, TOKENS);
    assert_int_equal(b.batch.labelled, 4);
    assert_int_equal(b.batch.pass.n_leaves, 1);
    EXPECT(b.batch.ids, { 10, 11, 12, 20, 21, 30 });
    EXPECT(b.batch.targets, { -1, 12, 13, -1, 30, 31 });
    EXPECT(b.batch.positions, { 0, 1, 2, 0, 1, 0 });
    EXPECT(b.batch.leaves, { 0, 6 });
    EXPECT(b.batch.blocks, { 0, 3, 5, 6 });
    arena_close(&b.arena);
}

/* Samples that see each other are one block: what later ones look at stays. */
static void test_plain_packing(void **state)
{
    static uint64_t first[] = { 0, 3 };
    struct bench b;

    (void)state;
    bench_open(&b, PACKING_PLAIN, first, 1);
    EXPECT(b.batch.ids, { 10, 11, 12, 13, 14, 20, 21, 30 });
    EXPECT(b.batch.targets, { -1, 12, 13, -1, -1, -1, 30, 31 });
    EXPECT(b.batch.positions, { 0, 1, 2, 3, 4, 0, 1, 0 });
    EXPECT(b.batch.leaves, { 0, 8 });
    EXPECT(b.batch.blocks, { 0, 8 });
    arena_close(&b.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_neat_packing),
        cmocka_unit_test(test_plain_packing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
