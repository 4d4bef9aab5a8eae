/*
 * dist/sum.c: a sum in chunks, each a small machine of stages.
 *
 * Stages 0 to digits - 1 halve (or cut in three, five, ...) my part of the
 * chunk and add what the others had of it; the stages after them go through
 * the digits backwards and put the chunk together again. A rank may be stages
 * ahead of another, and in the next chunk of the same slot or the next sum:
 * messages between two ranks carry slot and stage as their tag, and both post
 * those of one tag in the same order, so MPI matches them.
 */
#include "dist/sum.h"

#include "dist_internal.h"

/* Prime factors of size, the smallest first; returns how many. */
static int factors(int *digit, int size)
{
    int n = 0;

    for (int f = 2; f <= size / f; f++)
        for (; size % f == 0; size /= f)
            digit[n++] = f;
    if (size > 1)
        digit[n++] = size;
    return n;
}

int dist_sum_digits(int *digit, int size, int node_ranks)
{
    int m = size % node_ranks ? 1 : node_ranks, n = factors(digit, m);

    return n + factors(digit + n, size / m);
}

/* The most numbers that a rank gets in one of the halving stages. */
static size_t got_most(const struct dist_sum *sum)
{
    size_t most = 0, len = sum->chunk;

    for (int i = 0; i < sum->digits; i++) {
        size_t f = (size_t)sum->digit[i];

        len = len / f + 1;
        most = len * (f - 1) > most ? len * (f - 1) : most;
    }
    return most;
}

void dist_sum_place(struct dist_sum *sum, struct arena *arena, const struct dist *dist, size_t n)
{
    int largest = 1;

    *sum =
        (struct dist_sum){ .dist = dist, .n = n, .chunk = n < DIST_SUM_CHUNK ? n : DIST_SUM_CHUNK };
    sum->digits = dist_sum_digits(sum->digit, dist->size, dist->node_ranks);
    for (int i = 0; i < sum->digits; i++)
        largest = sum->digit[i] > largest ? sum->digit[i] : largest;
    for (int s = 0; s < DIST_SUM_WINDOW && sum->digits > 0; s++) {
        sum->slot[s].requests =
            arena_take(arena, 2 * (size_t)(largest - 1), sizeof(*sum->slot[s].requests));
        sum->slot[s].got = arena_take(arena, got_most(sum), sizeof(*sum->slot[s].got));
    }
}

static size_t chunks(const struct dist_sum *sum)
{
    return sum->digits == 0 || sum->n == 0 ? 0 : (sum->n - 1) / sum->chunk + 1;
}

/* Where chunk c begins; chunk c ends where c - 1 begins. */
static size_t chunk_from(const struct dist_sum *sum, size_t c)
{
    return (c + 1) * sum->chunk < sum->n ? sum->n - (c + 1) * sum->chunk : 0;
}

/* One digit: the ranks that differ in it, and the part of the chunk that they share. */
struct circle {
    int digit, mine, first, stride; // ranks first + j * stride, j < digit; I am j = mine
    size_t from, to;
};

static struct circle circle_of(const struct dist_sum *sum, const struct dist_sum_slot *slot, int i)
{
    struct circle c = {
        .digit = sum->digit[i], .stride = 1, .from = slot->from[i], .to = slot->to[i]
    };

    for (int k = 0; k < i; k++)
        c.stride *= sum->digit[k];
    c.mine = sum->dist->rank / c.stride % c.digit;
    c.first = sum->dist->rank - c.mine * c.stride;
    return c;
}

/* Where the part of number j of the circle begins; j == digit: where the last one ends. */
static size_t part(const struct circle *c, int j)
{
    size_t len = c->to - c->from, f = (size_t)c->digit, k = (size_t)j;

    return c->from + len / f * k + (len % f < k ? len % f : k);
}

static int is_halving(const struct dist_sum *sum, int stage)
{
    return stage < sum->digits;
}

static int digit_of(const struct dist_sum *sum, int stage)
{
    return is_halving(sum, stage) ? stage : 2 * sum->digits - 1 - stage;
}

/* Sends a's numbers to a rank of the circle and takes b's from it. */
static void trade(const struct dist_sum *sum, struct dist_sum_slot *slot, int rank, int64_t *a,
                  size_t a_count, int64_t *b, size_t b_count)
{
    int tag = (int)(slot - sum->slot) * 2 * DIST_SUM_DIGITS + slot->stage;

    if (b_count > 0)
        DIST_MPI(MPI_Irecv(b, (int)b_count, MPI_INT64_T, rank, tag, sum->dist->comm,
                           &slot->requests[slot->requests_count++]));
    if (a_count > 0)
        DIST_MPI(MPI_Isend(a, (int)a_count, MPI_INT64_T, rank, tag, sum->dist->comm,
                           &slot->requests[slot->requests_count++]));
}

static void begin_stage(struct dist_sum *sum, struct dist_sum_slot *slot)
{
    struct circle c = circle_of(sum, slot, digit_of(sum, slot->stage));
    size_t mine = part(&c, c.mine), mine_count = part(&c, c.mine + 1) - mine;
    int64_t *got = slot->got;

    slot->requests_count = 0;
    for (int k = 1; k < c.digit; k++) { // not all to the same rank first
        int j = (c.mine + k) % c.digit, rank = c.first + j * c.stride;
        size_t other = part(&c, j), other_count = part(&c, j + 1) - other;

        if (is_halving(sum, slot->stage)) {
            trade(sum, slot, rank, sum->v + other, other_count, got, mine_count);
            got += mine_count;
        } else {
            trade(sum, slot, rank, sum->v + mine, mine_count, sum->v + other, other_count);
        }
    }
}

/* The messages of the stage have come. */
static void end_stage(struct dist_sum *sum, struct dist_sum_slot *slot)
{
    int i = digit_of(sum, slot->stage);
    struct circle c = circle_of(sum, slot, i);
    size_t mine = part(&c, c.mine), count = part(&c, c.mine + 1) - mine;
    int64_t *v = sum->v + mine;
    const int64_t *got = slot->got;

    if (!is_halving(sum, slot->stage))
        return;
    slot->from[i + 1] = mine;
    slot->to[i + 1] = mine + count;
    for (int k = 1; k < c.digit; k++, got += count)
        for (size_t e = 0; e < count; e++)
            v[e] = (int64_t)((uint64_t)v[e] + (uint64_t)got[e]);
}

static int messages_came(struct dist_sum_slot *slot)
{
    int came = 0;

    DIST_MPI(MPI_Testall(slot->requests_count, slot->requests, &came, MPI_STATUSES_IGNORE));
    return came;
}

static void begin_chunk(struct dist_sum *sum)
{
    struct dist_sum_slot *slot = &sum->slot[sum->begun % DIST_SUM_WINDOW];

    slot->stage = 0;
    slot->from[0] = chunk_from(sum, sum->begun);
    slot->to[0] = sum->begun == 0 ? sum->n : chunk_from(sum, sum->begun - 1);
    begin_stage(sum, slot);
    sum->begun++;
}

static void go_on(struct dist_sum *sum, struct dist_sum_slot *slot)
{
    while (slot->stage < 2 * sum->digits && messages_came(slot)) {
        end_stage(sum, slot);
        if (++slot->stage < 2 * sum->digits)
            begin_stage(sum, slot);
    }
}

void dist_sum_begin(struct dist_sum *sum, int64_t *v)
{
    sum->v = v;
    sum->ready = sum->n;
    sum->begun = sum->done = 0;
}

void dist_sum_poke(struct dist_sum *sum)
{
    for (size_t c = sum->done; c < sum->begun; c++)
        go_on(sum, &sum->slot[c % DIST_SUM_WINDOW]);
    while (sum->done < sum->begun &&
           sum->slot[sum->done % DIST_SUM_WINDOW].stage == 2 * sum->digits)
        sum->done++;
    while (sum->begun < chunks(sum) && sum->begun < sum->done + DIST_SUM_WINDOW &&
           chunk_from(sum, sum->begun) >= sum->ready)
        begin_chunk(sum);
}

void dist_sum_ready(struct dist_sum *sum, size_t from)
{
    sum->ready = from;
    dist_sum_poke(sum);
}

void dist_sum_meet(struct dist_sum *sum)
{
    MPI_Request request;
    int all = 0;

    DIST_MPI(MPI_Ibarrier(sum->dist->comm, &request));
    while (!all) {
        dist_sum_poke(sum);
        DIST_MPI(MPI_Test(&request, &all, MPI_STATUS_IGNORE));
    }
}

void dist_sum_wait(struct dist_sum *sum)
{
    dist_sum_ready(sum, 0);
    while (sum->done < chunks(sum))
        dist_sum_poke(sum);
}
