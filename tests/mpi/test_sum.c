/*
 * test_sum.c: a long sum that goes on while the ranks compute, against a plain loop.
 */
#include "dist/sum.h"
#include "mpi_test.h"

/* A number that any rank can work out for any other; sums of them wrap around. */
static int64_t number(int rank, size_t i, int round)
{
    return (int64_t)(((uint64_t)rank + 1) * 0x9E3779B97F4A7C15u * (i + 3 + (uint64_t)round));
}

static int64_t sum_over_ranks(int size, size_t i, int round)
{
    uint64_t sum = 0;

    for (int r = 0; r < size; r++)
        sum += (uint64_t)number(r, i, round);
    return (int64_t)sum;
}

struct room {
    struct dist_sum sum;
    struct arena arena;
    int64_t *v;
};

static void room_place(struct room *room, const struct dist *dist, size_t n)
{
    room->v = arena_take(&room->arena, n, sizeof(*room->v));
    dist_sum_place(&room->sum, &room->arena, dist, n);
}

static int room_open(struct room *room, const struct dist *dist, size_t n, struct error *err)
{
    *room = (struct room){ .v = NULL };
    room_place(room, dist, n);
    if (arena_open(&room->arena, room->arena.peak + 1, err) < 0)
        return -1;
    room_place(room, dist, n);
    return 0;
}

static int right(const struct room *room, const struct dist *dist, size_t n, int round)
{
    for (size_t i = 0; i < n; i++)
        if (room->v[i] != sum_over_ranks(dist->size, i, round))
            return 0;
    return 1;
}

/* Fewer numbers than ranks, one chunk, a part of one, more chunks than are on their way at once. */
static const size_t lengths[] = { 0,
                                  1,
                                  2,
                                  7,
                                  1009,
                                  DIST_SUM_CHUNK - 1,
                                  DIST_SUM_CHUNK,
                                  DIST_SUM_CHUNK + 1,
                                  (DIST_SUM_WINDOW + 3) * DIST_SUM_CHUNK + 77 };

/* round: each rank gives its array free in steps of its own, some of them wait, all at the end. */
static void sum_once(struct room *room, const struct dist *dist, size_t n, int round)
{
    size_t left = n, stride = n / (size_t)(1 + (dist->rank + round) % 5) + 1;

    for (size_t i = 0; i < n; i++)
        room->v[i] = number(dist->rank, i, round);
    dist_sum_begin(&room->sum, room->v);
    while (left > stride && (dist->rank + round) % 3 != 0) {
        left -= stride;
        dist_sum_ready(&room->sum, left);
        dist_sum_poke(&room->sum);
    }
    if (round % 2 == 1) {
        dist_sum_ready(&room->sum, 0);
        dist_sum_meet(&room->sum);
    }
    dist_sum_wait(&room->sum);
}

static void sums_equal_a_plain_loop_however_the_ranks_give_their_numbers_free(struct dist *dist)
{
    for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
        struct room room;
        struct error err;
        int same = 1;

        assert_all_ok(dist, room_open(&room, dist, lengths[k], &err), &err);
        for (int round = 0; round < 6; round++) { // one after the other without a barrier
            sum_once(&room, dist, lengths[k], round);
            same = same && right(&room, dist, lengths[k], round);
        }
        arena_close(&room.arena);
        assert_all_ranks(dist, same);
    }
}

static void numbers_that_are_not_free_are_left_alone(struct dist *dist)
{
    const size_t n = 3 * DIST_SUM_CHUNK, kept = DIST_SUM_CHUNK + 5;
    struct room room;
    struct error err;
    int same;

    assert_all_ok(dist, room_open(&room, dist, n, &err), &err);
    for (size_t i = 0; i < n; i++)
        room.v[i] = number(dist->rank, i, 0);
    dist_sum_begin(&room.sum, room.v);
    dist_sum_ready(&room.sum, kept);
    dist_sum_meet(&room.sum);
    same = room.sum.begun == (size_t)(dist->size > 1); // of three chunks, the free one
    for (size_t i = 0; i < kept; i++) {
        same = same && room.v[i] == number(dist->rank, i, 0);
        room.v[i] = number(dist->rank, i, 1);
    }
    dist_sum_wait(&room.sum);
    for (size_t i = 0; i < n; i++)
        same = same && room.v[i] == sum_over_ranks(dist->size, i, i < kept);
    arena_close(&room.arena);
    assert_all_ranks(dist, same);
}

static void sums_are_the_same_on_nodes_of_any_number_of_ranks(struct dist *dist)
{
    const size_t n = DIST_SUM_CHUNK + 1009;

    for (int m = 1; m <= dist->size; m++) {
        struct dist nodes = *dist;
        struct room room;
        struct error err;
        int same;

        nodes.node_ranks = m;
        assert_all_ok(dist, room_open(&room, &nodes, n, &err), &err);
        sum_once(&room, &nodes, n, m);
        same = right(&room, &nodes, n, m);
        arena_close(&room.arena);
        assert_all_ranks(dist, same);
    }
}

int main(void)
{
    static const struct mpi_test tests[] = {
        MPI_TEST(sums_equal_a_plain_loop_however_the_ranks_give_their_numbers_free),
        MPI_TEST(numbers_that_are_not_free_are_left_alone),
        MPI_TEST(sums_are_the_same_on_nodes_of_any_number_of_ranks),
    };

    return mpi_test_run(tests, MPI_TEST_COUNT(tests));
}
