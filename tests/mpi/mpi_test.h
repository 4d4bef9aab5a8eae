/*
 * mpi_test.h: tests that run on several ranks at once.
 *
 * A plain assert on one rank leaves the others waiting, so every check is a
 * collective: assert_all_ranks() reduces first and then all ranks leave the
 * test together. A test's name is a sentence; rank 0 prints one line for each.
 *
 *     static void sums_are_equal_everywhere(struct dist *dist) { ... }
 *
 *     int main(void)
 *     {
 *         static const struct mpi_test tests[] = { MPI_TEST(sums_are_equal_everywhere) };
 *
 *         return mpi_test_run(tests, MPI_TEST_COUNT(tests));
 *     }
 */
#ifndef MPI_TEST_H
#define MPI_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "dist/dist.h"

struct mpi_test {
    const char *name;
    void (*run)(struct dist *dist);
};

#define MPI_TEST(function)  \
    {                       \
#function, function \
    }
#define MPI_TEST_COUNT(tests) ((int)(sizeof(tests) / sizeof((tests)[0])))

static int mpi_test_failures;

/* True when cond holds on all ranks; otherwise rank 0 says where it did not. Collective. */
static inline int mpi_test_holds(const struct dist *dist, int cond, const char *text,
                                 const char *file, int line)
{
    int64_t first = cond ? dist->size : dist->rank;

    dist_min_i64(dist, &first, 1);
    if (first == dist->size)
        return 1;
    mpi_test_failures++;
    if (dist->rank == 0)
        (void)printf("%s:%d: '%s' does not hold on rank %d of %d\n", file, line, text, (int)first,
                     dist->size);
    return 0;
}

/* Leaves the test function on all ranks when cond is false on one. Collective. */
#define assert_all_ranks(dist, cond)                                            \
    do {                                                                        \
        if (!mpi_test_holds((dist), (cond) ? 1 : 0, #cond, __FILE__, __LINE__)) \
            return;                                                             \
    } while (0)

/* The same for a call that returns 0 or -1 with err; prints the message. Collective. */
#define assert_all_ok(dist, call, err)                               \
    do {                                                             \
        int ok_ = (call) == 0;                                       \
        if (!ok_ && (dist)->rank == 0)                               \
            (void)printf("%s\n", (err)->msg);                        \
        if (!mpi_test_holds((dist), ok_, #call, __FILE__, __LINE__)) \
            return;                                                  \
    } while (0)

/* A new folder, the same on all ranks; mpi_test_folder_remove() takes it away. Collective. */
static inline void mpi_test_folder(const struct dist *dist, char path[64])
{
    memset(path, 0, 64);
    if (dist->rank == 0) {
        (void)snprintf(path, 64, "/tmp/lowrank-test-XXXXXX");
        if (!mkdtemp(path))
            BUG("cannot make a folder under /tmp");
    }
    dist_bcast(dist, path, 64, 0);
}

static inline void mpi_test_folder_remove(const struct dist *dist, const char *path)
{
    struct error err;

    dist_barrier(dist);
    if (dist->rank == 0)
        (void)folder_remove(path, &err);
    dist_barrier(dist);
}

static inline int mpi_test_run(const struct mpi_test *tests, int count)
{
    struct dist dist;
    struct error err;

    if (dist_open(&dist, &err) < 0) {
        (void)printf("%s\n", err.msg);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        int before = mpi_test_failures;

        tests[i].run(&dist);
        dist_barrier(&dist);
        if (dist.rank == 0)
            (void)printf("%s %s\n", mpi_test_failures == before ? "ok    " : "FAILED",
                         tests[i].name);
        (void)fflush(stdout);
    }
    dist_close(&dist);
    return mpi_test_failures ? 1 : 0;
}

#endif
