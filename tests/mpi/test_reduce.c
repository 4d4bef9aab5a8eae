/*
 * test_reduce.c: sums, prefixes, broadcasts and gathers against plain loops.
 */
#include "dist/dist_internal.h"
#include "mpi_test.h"

/* A number that any rank can work out for any other. */
static int64_t number(int rank, size_t i)
{
    return (int64_t)(((uint64_t)rank + 1) * 0x9E3779B97F4A7C15u * (i + 3)) >> 2;
}

static int64_t sum_over_ranks(int size, size_t i)
{
    uint64_t sum = 0;

    for (int r = 0; r < size; r++)
        sum += (uint64_t)number(r, i);
    return (int64_t)sum;
}

static void sums_equal_a_plain_loop_at_odd_lengths(struct dist *dist)
{
    static const size_t lengths[] = { 0, 1, 7, 1009, 65537 };

    for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
        size_t n = lengths[k];
        int64_t *v = calloc(n + 1, sizeof(*v));
        int same = v != NULL;

        for (size_t i = 0; same && i < n; i++)
            v[i] = number(dist->rank, i);
        dist_sum_i64(dist, v, n);
        for (size_t i = 0; i < n; i++)
            same = same && v[i] == sum_over_ranks(dist->size, i);
        free(v);
        assert_all_ranks(dist, same);
    }
}

static void sums_in_pieces_equal_sums_at_once(struct dist *dist)
{
    int64_t v[101];
    int same = 1;

    for (size_t i = 0; i < 101; i++)
        v[i] = number(dist->rank, i);
    dist_reduce_pieces(dist, v, 101, sizeof(*v), MPI_INT64_T, MPI_SUM, 7);
    for (size_t i = 0; i < 101; i++)
        same = same && v[i] == sum_over_ranks(dist->size, i);
    assert_all_ranks(dist, same);
}

static void extremes_and_prefixes_are_right(struct dist *dist)
{
    int64_t low = 10 - dist->rank;
    int64_t high = -5 + dist->rank;
    double time = 0.5 * dist->rank;

    dist_min_i64(dist, &low, 1);
    dist_max_i64(dist, &high, 1);
    dist_max_f64(dist, &time, 1);
    assert_all_ranks(dist, low == 10 - (dist->size - 1));
    assert_all_ranks(dist, high == -5 + (dist->size - 1));
    assert_all_ranks(dist, time == 0.5 * (dist->size - 1));
    assert_all_ranks(dist, dist_exscan_i64(dist, 3) == 3 * (int64_t)dist->rank);
}

static void broadcasts_reach_everyone_from_any_root(struct dist *dist)
{
    for (int root = 0; root < dist->size; root++) {
        char buf[1000];
        int same = 1;

        for (size_t i = 0; i < sizeof(buf); i++)
            buf[i] = dist->rank == root ? (char)(i + (size_t)root) : 0;
        dist_bcast_pieces(dist, buf, sizeof(buf), root, 77);
        for (size_t i = 0; i < sizeof(buf); i++)
            same = same && buf[i] == (char)(i + (size_t)root);
        assert_all_ranks(dist, same);
    }
}

static void texts_are_broadcast_with_their_length(struct dist *dist)
{
    static const char word[] = "caf\xc3\xa9\0hidden";
    int root = dist->size - 1;
    struct error err;
    char *text = NULL;
    size_t len = 0;
    int same;

    if (dist->rank == root) {
        len = sizeof(word) - 1;
        text = malloc(len + 1);
        if (text)
            memcpy(text, word, len + 1);
    }
    assert_all_ok(dist, dist_bcast_text(dist, &text, &len, root, &err), &err);
    same = text && len == sizeof(word) - 1 && memcmp(text, word, len + 1) == 0;
    free(text);
    assert_all_ranks(dist, same);
    text = NULL;
    assert_all_ok(dist, dist_bcast_text(dist, &text, &len, root, &err), &err);
    assert_all_ranks(dist, text == NULL && len == 0);
}

static void gathered_bytes_stand_in_rank_order(struct dist *dist)
{
    struct error err;
    uint64_t lens[64];
    char mine[64];
    char *all;
    size_t total;
    int same = 1;
    size_t at = 0;

    memset(mine, 'a' + dist->rank, sizeof(mine));
    assert_all_ok(dist,
                  dist_gather_bytes(dist, dist->rank ? mine : NULL, (size_t)dist->rank * 5, &all,
                                    &total, lens, &err),
                  &err);
    for (int r = 0; r < dist->size; r++) {
        same = same && lens[r] == (uint64_t)r * 5;
        for (int i = 0; i < r * 5; i++)
            same = same && at < total && all[at++] == 'a' + r;
    }
    same = same && at == total && all[total] == '\0';
    free(all);
    assert_all_ranks(dist, same);
}

static void numbers_are_gathered_by_rank(struct dist *dist)
{
    int64_t mine[2] = { dist->rank, -dist->rank };
    int64_t all[128];
    int same = 1;

    dist_gather_i64(dist, mine, 2, all);
    for (int r = 0; r < dist->size; r++)
        same = same && all[2 * r] == r && all[2 * r + 1] == -r;
    assert_all_ranks(dist, same);
}

static void pieces_join_either_way(struct dist *dist)
{
    for (int limit = 0; limit < 2; limit++) {
        uint64_t bounds[65];
        unsigned char buf[1001];
        int same = 1;

        dist_cut(dist, sizeof(buf), 10, bounds);
        memset(buf, 0, sizeof(buf));
        for (uint64_t i = bounds[dist->rank]; i < bounds[dist->rank + 1]; i++)
            buf[i] = (unsigned char)(i * 7 + 1);
        dist_gather_limited(dist, buf, bounds, limit ? 0 : 1 << 20);
        for (size_t i = 0; i < sizeof(buf); i++)
            same = same && buf[i] == (unsigned char)(i * 7 + 1);
        assert_all_ranks(dist, same);
    }
}

static void a_cut_covers_everything_at_aligned_bounds(struct dist *dist)
{
    static const uint64_t counts[] = { 0, 1, 9, 10, 11, 1000003 };

    for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
        uint64_t bounds[65];
        int fits = 1;

        dist_cut(dist, counts[k], 10, bounds);
        for (int r = 0; r < dist->size; r++)
            fits = fits && bounds[r] <= bounds[r + 1] &&
                   (bounds[r] % 10 == 0 || bounds[r] == counts[k]);
        assert_all_ranks(dist, fits && bounds[0] == 0 && bounds[dist->size] == counts[k]);
    }
}

int main(void)
{
    static const struct mpi_test tests[] = {
        MPI_TEST(sums_equal_a_plain_loop_at_odd_lengths),
        MPI_TEST(sums_in_pieces_equal_sums_at_once),
        MPI_TEST(extremes_and_prefixes_are_right),
        MPI_TEST(broadcasts_reach_everyone_from_any_root),
        MPI_TEST(texts_are_broadcast_with_their_length),
        MPI_TEST(gathered_bytes_stand_in_rank_order),
        MPI_TEST(numbers_are_gathered_by_rank),
        MPI_TEST(pieces_join_either_way),
        MPI_TEST(a_cut_covers_everything_at_aligned_bounds),
    };

    return mpi_test_run(tests, MPI_TEST_COUNT(tests));
}
