/*
 * dist/dist.c: start and end of MPI, who shares a node, one answer for all.
 *
 * MPI's own error handlers know neither file nor line, so calls return their
 * errors and DIST_MPI() looks at them.
 */
#include "dist/dist.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dist_internal.h"

static int mpi_is_running(void)
{
    int began = 0;
    int ended = 0;

    (void)MPI_Initialized(&began);
    (void)MPI_Finalized(&ended);
    return began && !ended;
}

static void end_job(void)
{
    if (mpi_is_running())
        (void)MPI_Abort(MPI_COMM_WORLD, 1);
    abort();
}

void dist_mpi_check(int mpi_rc, const char *call, const char *file, int line)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int len = 0;
    int rank = 0;
    int size = 1;

    if (mpi_rc == MPI_SUCCESS)
        return;
    if (mpi_is_running()) {
        (void)MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        (void)MPI_Comm_size(MPI_COMM_WORLD, &size);
        (void)MPI_Error_string(mpi_rc, text, &len);
    }
    (void)fprintf(stderr, "lowrank: rank %d of %d: %.*s failed at %s:%d: %s\n", rank, size,
                  (int)strcspn(call, "("), call, file, line, text);
    (void)fflush(stderr);
    end_job();
}

static int start_mpi(struct dist *dist, struct error *err)
{
    int level = MPI_THREAD_SINGLE;

    if (mpi_is_running()) {
        DIST_MPI(MPI_Query_thread(&level));
    } else {
        DIST_MPI(MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level));
        dist->began_mpi = 1;
    }
    if (level < MPI_THREAD_SERIALIZED)
        return error_set(err, "this MPI was built without thread support; build or load one that "
                              "gives MPI_THREAD_SERIALIZED");
    return 0;
}

/* Nodes are numbered by their lowest rank: leaders count the leaders below them. */
static void find_nodes(struct dist *dist)
{
    int64_t leader;
    int64_t node;
    int64_t nodes;
    int64_t most;
    int number;

    DIST_MPI(MPI_Comm_split_type(dist->comm, MPI_COMM_TYPE_SHARED, dist->rank, MPI_INFO_NULL,
                                 &dist->node_comm));
    DIST_MPI(MPI_Comm_rank(dist->node_comm, &dist->node_rank));
    DIST_MPI(MPI_Comm_size(dist->node_comm, &dist->node_size));
    leader = dist->node_rank == 0;
    node = dist_exscan_i64(dist, leader);
    nodes = leader;
    dist_sum_i64(dist, &nodes, 1);
    number = (int)node;
    DIST_MPI(MPI_Bcast(&number, 1, MPI_INT, 0, dist->node_comm));
    dist->node = number;
    dist->node_count = (int)nodes;
    most = dist->node_size;
    dist_max_i64(dist, &most, 1);
    dist->node_ranks = most * nodes == dist->size ? (int)most : 1;
}

int dist_open(struct dist *dist, struct error *err)
{
    int rc;

    *dist = (struct dist){ .comm = MPI_COMM_NULL, .node_comm = MPI_COMM_NULL };
    rc = start_mpi(dist, err);
    bug_set_handler(end_job);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    DIST_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    DIST_MPI(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN));
    DIST_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &dist->comm));
    DIST_MPI(MPI_Comm_set_errhandler(dist->comm, MPI_ERRORS_RETURN));
    DIST_MPI(MPI_Comm_rank(dist->comm, &dist->rank));
    DIST_MPI(MPI_Comm_size(dist->comm, &dist->size));
    dist->opened = 1;
    find_nodes(dist);
    if (dist_agree(dist, rc, err) < 0) {
        dist_close(dist);
        return -1;
    }
    return 0;
}

void dist_close(struct dist *dist)
{
    if (!dist->opened)
        return;
    DIST_MPI(MPI_Comm_free(&dist->node_comm));
    DIST_MPI(MPI_Comm_free(&dist->comm));
    bug_set_handler(NULL);
    if (dist->began_mpi)
        DIST_MPI(MPI_Finalize());
    *dist = (struct dist){ 0 };
}

/* True when the message carries the name of a rank from an earlier agreement. */
static int names_a_rank(const char *msg, int size)
{
    int rank;
    int of;
    int end = 0;

    return sscanf(msg, "rank %d of %d: %n", &rank, &of, &end) == 2 && end > 0 && of == size;
}

int dist_agree(const struct dist *dist, int rc, struct error *err)
{
    int failing = rc < 0 ? dist->rank : dist->size;
    int lowest;
    size_t len;

    DIST_MPI(MPI_Allreduce(&failing, &lowest, 1, MPI_INT, MPI_MIN, dist->comm));
    if (lowest == dist->size)
        return 0;
    if (dist->rank == lowest) {
        len = strnlen(err->msg, sizeof(err->msg) - 1);
        memset(err->msg + len, 0, sizeof(err->msg) - len);
    }
    dist_bcast(dist, err->msg, sizeof(err->msg), lowest);
    if (dist->size > 1 && !names_a_rank(err->msg, dist->size))
        (void)error_wrap(err, "rank %d of %d", lowest, dist->size);
    return -1;
}

void dist_barrier(const struct dist *dist)
{
    DIST_MPI(MPI_Barrier(dist->comm));
}

void dist_assert_same_at(const struct dist *dist, int64_t value, const char *text, const char *file,
                         int line)
{
    int64_t ends[2] = { value, ~value }; // max(~v) is ~min(v)

    dist_max_i64(dist, ends, 2);
    if (ends[0] != ~ends[1])
        bug_report(file, line,
                   "rank %d of %d: '%s' is %lld here and between %lld and %lld elsewhere",
                   dist->rank, dist->size, text, (long long)value, (long long)~ends[1],
                   (long long)ends[0]);
}
