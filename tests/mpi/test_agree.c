/*
 * test_agree.c: one answer everywhere, one message, stop flags.
 *
 * Two parts for run.sh, which expects one line and the end of the whole job:
 *
 *   bug RANK   a BUG() on that rank while the others wait
 *   mpi RANK   a call that MPI refuses there
 */
#include <signal.h>

#include "dist/signal.h"
#include "mpi_test.h"

static void agreement_is_success_when_all_succeed(struct dist *dist)
{
    struct error err = { "untouched" };
    int rc = dist_agree(dist, 0, &err);

    assert_all_ranks(dist, rc == 0);
    assert_all_ranks(dist, strcmp(err.msg, "untouched") == 0);
}

static void every_single_failing_rank_gives_its_message_everywhere(struct dist *dist)
{
    for (int bad = 0; bad < dist->size; bad++) {
        struct error err = { "" };
        char expected[128];
        int rc = 0;

        if (dist->rank == bad)
            rc = error_set(&err, "cannot read 'data/%d.jsonl'", bad);
        rc = dist_agree(dist, rc, &err);
        if (dist->size > 1)
            (void)snprintf(expected, sizeof(expected), "rank %d of %d: cannot read 'data/%d.jsonl'",
                           bad, dist->size, bad);
        else
            (void)snprintf(expected, sizeof(expected), "cannot read 'data/%d.jsonl'", bad);
        assert_all_ranks(dist, rc == -1);
        assert_all_ranks(dist, strcmp(err.msg, expected) == 0);
    }
}

static void the_lowest_of_several_failing_ranks_is_named(struct dist *dist)
{
    struct error err = { "" };
    int lowest = dist->size > 1 ? 1 : 0;
    int rc = dist->rank >= lowest ? error_set(&err, "rank's own %d", dist->rank) : 0;
    char expected[64];

    (void)snprintf(expected, sizeof(expected), "rank's own %d", lowest);
    rc = dist_agree(dist, rc, &err);
    assert_all_ranks(dist, rc == -1);
    assert_all_ranks(dist, strstr(err.msg, expected) != NULL);
}

static void agreeing_twice_names_the_rank_once(struct dist *dist)
{
    struct error err = { "" };
    struct error once;
    int rc = dist->rank == dist->size - 1 ? error_set(&err, "no space") : 0;

    rc = dist_agree(dist, rc, &err);
    once = err;
    rc = dist_agree(dist, rc, &err);
    assert_all_ranks(dist, rc == -1);
    assert_all_ranks(dist, strcmp(err.msg, once.msg) == 0);
}

static void a_message_of_full_length_survives(struct dist *dist)
{
    struct error err = { "" };
    char text[2 * ERROR_MSG_MAX];
    int rc = 0;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    if (dist->rank == dist->size - 1)
        rc = error_set(&err, "%s", text);
    rc = dist_agree(dist, rc, &err);
    assert_all_ranks(dist, rc == -1);
    assert_all_ranks(dist, strlen(err.msg) == ERROR_MSG_MAX - 1);
}

static void a_stop_signal_on_one_rank_is_seen_by_all(struct dist *dist)
{
    struct error err;

    assert_all_ok(dist, signal_install(&err), &err);
    assert_all_ranks(dist, signal_any_stop(dist) == 0);
    if (dist->rank == dist->size - 1)
        (void)raise(SIGUSR1);
    assert_all_ranks(dist, signal_any_stop(dist) == SIGUSR1);
    assert_all_ranks(dist, (signal_stop_requested() != 0) == (dist->rank == dist->size - 1));
    if (dist->rank == dist->size - 1)
        (void)raise(SIGTERM); // a later one changes nothing
    assert_all_ranks(dist, signal_any_stop(dist) == SIGUSR1);
}

static void a_closed_pipe_does_not_end_a_rank(struct dist *dist)
{
    int ends[2];
    ssize_t put = 0;

    if (pipe(ends) == 0) {
        (void)close(ends[0]);
        put = write(ends[1], "x", 1);
        (void)close(ends[1]);
    }
    assert_all_ranks(dist, put == -1);
}

static int ranks_of_a_node; // 0: as it is

/* In place of MPI's: nodes of so many ranks, numbered in a row; the last one has what is left. */
int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *node)
{
    return ranks_of_a_node ? MPI_Comm_split(comm, key / ranks_of_a_node, key, node)
                           : PMPI_Comm_split_type(comm, type, key, info, node);
}

static void nodes_are_counted_and_numbered(struct dist *dist)
{
    for (int m = 0; m <= dist->size; m++) {
        struct dist nodes;
        struct error err;
        int right;

        ranks_of_a_node = m;
        assert_all_ok(dist, dist_open(&nodes, &err), &err);
        right = nodes.node >= 0 && nodes.node < nodes.node_count &&
                nodes.node_rank < nodes.node_size && nodes.node_size <= nodes.size;
        if (m > 0)
            right = right && nodes.node == dist->rank / m && nodes.node_rank == dist->rank % m &&
                    nodes.node_count == (dist->size + m - 1) / m &&
                    nodes.node_ranks == (dist->size % m ? 1 : m);
        dist_assert_same(dist, nodes.node_count);
        dist_assert_same(dist, nodes.node_ranks);
        dist_close(&nodes);
        assert_all_ranks(dist, right);
    }
}

static int play(const char *part, int rank)
{
    struct dist dist;
    struct error err;
    char byte = 0;

    if (dist_open(&dist, &err) < 0)
        return 1;
    if (dist.rank == rank && strcmp(part, "bug") == 0)
        BUG("made for the test");
    if (dist.rank == rank)
        DIST_MPI(MPI_Send(&byte, 1, MPI_BYTE, dist.size + 7, 0, dist.comm));
    dist_barrier(&dist);
    dist_close(&dist);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct mpi_test tests[] = {
        MPI_TEST(agreement_is_success_when_all_succeed),
        MPI_TEST(every_single_failing_rank_gives_its_message_everywhere),
        MPI_TEST(the_lowest_of_several_failing_ranks_is_named),
        MPI_TEST(agreeing_twice_names_the_rank_once),
        MPI_TEST(a_message_of_full_length_survives),
        MPI_TEST(a_stop_signal_on_one_rank_is_seen_by_all),
        MPI_TEST(a_closed_pipe_does_not_end_a_rank),
        MPI_TEST(nodes_are_counted_and_numbered),
    };

    if (argc == 3)
        return play(argv[1], (int)strtol(argv[2], NULL, 10));
    return mpi_test_run(tests, MPI_TEST_COUNT(tests));
}
