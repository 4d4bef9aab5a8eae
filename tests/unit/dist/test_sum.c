/*
 * test_sum.c: what a sum sends from node to node, on many ranks played one after the other by one
 * process: MPI's calls are replaced by some that count. Sums themselves: tests/mpi/test_sum.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dist/sum.h"

static struct dist me;
static int ranks_of_a_node;
static size_t sent[2]; // numbers: by me, and to other nodes

int MPI_Isend(const void *buf, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    (void)buf, (void)type, (void)tag, (void)comm, (void)request;
    assert_in_range(to, 0, me.size - 1);
    sent[0] += (size_t)count;
    sent[1] += to / ranks_of_a_node == me.rank / ranks_of_a_node ? 0 : (size_t)count;
    return MPI_SUCCESS;
}

int MPI_Irecv(void *buf, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    (void)buf, (void)count, (void)type, (void)from, (void)tag, (void)comm, (void)request;
    return MPI_SUCCESS;
}

int MPI_Testall(int count, MPI_Request *requests, int *all, MPI_Status *statuses)
{
    (void)count, (void)requests, (void)statuses;
    *all = 1;
    return MPI_SUCCESS;
}

/* The sum of n numbers as one rank computes it. */
static void play(int64_t *v, size_t n)
{
    struct arena arena = { 0 };
    struct dist_sum sum;
    struct error err;

    dist_sum_place(&sum, &arena, &me, n);
    assert_int_equal(arena_open(&arena, arena.peak + 1, &err), 0);
    dist_sum_place(&sum, &arena, &me, n);
    dist_sum_begin(&sum, v);
    dist_sum_wait(&sum);
    arena_close(&arena);
}

static void every_node_sends_what_is_not_its_own_twice_and_so_does_every_rank(void **state)
{
    static const struct {
        int size, m;
    } of[] = { { 6, 3 },   { 6, 2 },   { 8, 4 },   { 24, 12 }, { 48, 24 },  { 96, 48 },
               { 96, 24 }, { 72, 36 }, { 60, 10 }, { 49, 7 },  { 256, 32 }, { 7, 1 } };
    enum { PARTS = 16 }; // of a rank: all cuts are even
    static int64_t v[PARTS * 256];

    (void)state;
    for (size_t k = 0; k < sizeof(of) / sizeof(of[0]); k++) {
        size_t n = PARTS * (size_t)of[k].size, crossed = 0;
        size_t nodes = (size_t)(of[k].size / of[k].m);

        ranks_of_a_node = of[k].m;
        for (int rank = 0; rank < of[k].size; rank++) {
            me = (struct dist){ .rank = rank, .size = of[k].size, .node_ranks = of[k].m };
            sent[0] = sent[1] = 0;
            play(v, n);
            assert_int_equal(sent[0], 2 * PARTS * (of[k].size - 1));
            crossed += sent[1];
            if ((rank + 1) % of[k].m == 0) { // the last one of a node
                assert_int_equal(crossed, 2 * n / nodes * (nodes - 1));
                crossed = 0;
            }
        }
    }
}

static void digits_are_primes_first_of_a_node_then_of_the_nodes(void **state)
{
    (void)state;
    for (int size = 1; size <= 2100; size++)
        for (int m = 1; m <= 64; m++) {
            int digit[DIST_SUM_DIGITS], n = dist_sum_digits(digit, size, m), product = 1;
            int node = size % m != 0 || m == 1; // its digits are behind us

            for (int i = 0; i < n; i++) {
                assert_true(digit[i] > 1);
                for (int f = 2; f < digit[i]; f++)
                    assert_true(digit[i] % f != 0);
                product *= digit[i];
                node |= product == m;
            }
            assert_int_equal(product, size);
            assert_true(node);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_sends_what_is_not_its_own_twice_and_so_does_every_rank),
        cmocka_unit_test(digits_are_primes_first_of_a_node_then_of_the_nodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
