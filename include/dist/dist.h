/*
 * dist/dist.h: the ranks of a run and what they say to each other.
 *
 * Everything that crosses ranks goes through here (and through store for
 * files), so a reader sees in one place which calls all ranks must make
 * together. Counts are size_t: pieces beyond what MPI's int can name are sent
 * in several messages.
 *
 * Failures that the user can mend travel as `struct error` through
 * dist_agree(). A failure of MPI itself prints one line with rank, file and
 * line and ends the whole job with MPI_Abort; so the calls below that have no
 * err cannot fail. BUG() ends the job the same way once dist_open() was called.
 *
 * MPI is initialised for one call at a time (MPI_THREAD_SERIALIZED): any
 * thread may call these functions, but never two at once.
 */
#ifndef DIST_DIST_H
#define DIST_DIST_H

#include <stddef.h>
#include <stdint.h>

#include <mpi.h>

#include "base/error.h"

struct dist {
    MPI_Comm comm;      // all ranks of the run; our own duplicate of MPI_COMM_WORLD
    int rank, size;     // in comm
    MPI_Comm node_comm; // the ranks that share this one's memory
    int node_rank, node_size;
    int node, node_count;  // nodes are numbered by their lowest rank
    int node_ranks;        // of every node, the same on all ranks; 1: nodes differ in it
    int opened, began_mpi; // dist_close() undoes what dist_open() did
};

/*
 * Starts MPI unless it runs already, finds out who shares a node, installs the
 * handlers for failures of MPI and for BUG(), and ignores SIGPIPE: a reader of
 * standard output that went away must not end one rank and hang the others.
 * Collective. An MPI without thread support is an error.
 */
int dist_open(struct dist *dist, struct error *err);

/* Collective; ends MPI when dist_open() started it. Accepts { 0 }. */
void dist_close(struct dist *dist);

/*
 * The one answer of all ranks to a local step: 0 when rc is 0 on every rank,
 * else -1 everywhere with the message of the lowest rank where rc < 0. With
 * more than one rank the message begins "rank 3 of 16: ", unless it has been
 * through an agreement already. err may be untouched where rc is 0. Collective.
 */
int dist_agree(const struct dist *dist, int rc, struct error *err);

/* Every rank waits for every other. Collective. */
void dist_barrier(const struct dist *dist);

/* root's bytes to everyone; bytes must be the same on all ranks. Collective. */
void dist_bcast(const struct dist *dist, void *buf, size_t bytes, int root);

/*
 * root's text to everyone. On root *text and *len are given; on the others
 * *text becomes a new block of *len + 1 bytes, the last one zero, which the
 * caller frees. A NULL *text on root stays NULL everywhere. *len is set on all
 * ranks. Fails when one rank is out of memory; then *text is NULL on all
 * ranks but root. Collective.
 */
int dist_bcast_text(const struct dist *dist, char **text, size_t *len, int root, struct error *err);

/*
 * v[i] = sum, largest or smallest over the ranks, in place, the same bits on
 * all of them; n must be the same on all ranks. Sums wrap around at 64 bits.
 * Collective.
 */
void dist_sum_i64(const struct dist *dist, int64_t *v, size_t n);
void dist_max_i64(const struct dist *dist, int64_t *v, size_t n);
void dist_min_i64(const struct dist *dist, int64_t *v, size_t n);

/* Largest over the ranks, in place; for times and rates. A NaN has no defined result. Collective. */
void dist_max_f64(const struct dist *dist, double *v, size_t n);

/* Sum of v over the ranks below this one; 0 on rank 0. Collective. */
int64_t dist_exscan_i64(const struct dist *dist, int64_t v);

/*
 * all[r * n + i] = v[i] of rank r, on every rank; n must be the same on all
 * ranks, all holds size * n numbers. Collective.
 */
void dist_gather_i64(const struct dist *dist, const int64_t *v, size_t n, int64_t *all);

/*
 * The ranks' bytes one after the other in rank order, on every rank: *all is a
 * new block of *total bytes with a zero byte after them, which the caller
 * frees. lens, unless NULL, receives each rank's length (size numbers). bytes
 * may be NULL where len is 0. Texts and arrays of any kind. Fails on all ranks
 * when one is out of memory; *all is NULL then. Collective.
 */
int dist_gather_bytes(const struct dist *dist, const void *bytes, size_t len, char **all,
                      size_t *total, uint64_t *lens, struct error *err);

/*
 * The same in place: buf holds the whole array, of which rank r has filled in
 * bytes [bounds[r], bounds[r + 1]); afterwards every rank has all. bounds has
 * size + 1 numbers, equal on all ranks, never falling. Collective.
 */
void dist_gather_pieces(const struct dist *dist, void *buf, const uint64_t *bounds);

/*
 * bounds[r] = first of count items that belongs to rank r when they are cut
 * into size runs of nearly equal length, each bound but the last a multiple of
 * align. Local; cannot fail.
 */
void dist_cut(const struct dist *dist, uint64_t count, uint64_t align, uint64_t *bounds);

/* A branch around a collective may test only such values: a BUG when ranks differ. Collective. */
#ifdef NDEBUG
#define dist_assert_same(dist, value) ((void)(dist), (void)(value))
#else
#define dist_assert_same(dist, value) \
    dist_assert_same_at((dist), (int64_t)(value), #value, __FILE__, __LINE__)
#endif

void dist_assert_same_at(const struct dist *dist, int64_t value, const char *text, const char *file,
                         int line);

/*
 * For store, which speaks MPI itself: a call that must not fail. One line with
 * rank, file and line, then MPI_Abort. Local.
 */
#define DIST_MPI(call) dist_mpi_check((call), #call, __FILE__, __LINE__)

void dist_mpi_check(int mpi_rc, const char *call, const char *file, int line);

#endif
