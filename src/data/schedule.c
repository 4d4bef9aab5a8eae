/*
 * data/schedule.c: steps of an epoch and their cut into runs.
 */
#include "data/schedule.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "data/order.h"

#define CLOSE  0.002 // a share so near to the least possible one is not refined
#define ROUNDS 32    // changes tried for a step
#define FEW    12    // items of two ranks that are divided in every way

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

int schedule_open(struct schedule *schedule, const struct schedule_params *params,
                  struct error *err)
{
    double total;

    *schedule = (struct schedule){ .params = *params, .order_of = -1 };
    if (params->rows == 0 || params->rows > INT64_MAX / 8)
        return error_set(err, "there are no rows to train on");
    if (params->global_batch < 1)
        return error_set(err, "the global batch is %lld rows; give 1 or more",
                         (long long)params->global_batch);
    schedule->steps_per_epoch = ceil_div((int64_t)params->rows, params->global_batch);
    schedule->total_steps = params->max_steps;
    if (params->max_steps <= 0) {
        total = ceil(params->num_train_epochs * (double)schedule->steps_per_epoch);
        if (!(total >= 1) || total > 1e15)
            return error_set(err, "'num_train_epochs' %g gives no step; give a number above 0",
                             params->num_train_epochs);
        schedule->total_steps = (int64_t)total;
    }
    schedule->epochs = ceil_div(schedule->total_steps, schedule->steps_per_epoch);
    schedule->order = mem_alloc(params->rows, sizeof(*schedule->order), err);
    return schedule->order ? 0 : -1;
}

void schedule_step(struct schedule *schedule, int64_t step, const int64_t **rows, size_t *count,
                   int64_t *epoch)
{
    const struct schedule_params *p = &schedule->params;
    const int64_t at_epoch = step / schedule->steps_per_epoch;
    const size_t first = (size_t)(step % schedule->steps_per_epoch) * (size_t)p->global_batch;
    const size_t left = p->rows - first;

    if (schedule->order_of != at_epoch) {
        order_epoch(schedule->order, p->rows, p->seed, at_epoch, p->shuffle);
        schedule->order_of = at_epoch;
    }
    *rows = schedule->order + first;
    *count = left < (size_t)p->global_batch ? left : (size_t)p->global_batch;
    if (epoch)
        *epoch = at_epoch;
}

double schedule_epoch_after(const struct schedule *schedule, int64_t step)
{
    return (double)(step + 1) / (double)schedule->steps_per_epoch;
}

void schedule_close(struct schedule *schedule)
{
    free(schedule->order);
    *schedule = (struct schedule){ 0 };
}

/* Where a run that begins at `from` and costs at most `limit` ends; an item dearer than that is
 * taken by none. */
static size_t run_end(const double *cost, size_t count, size_t from, double limit)
{
    double sum = 0;

    while (from < count && sum + cost[from] <= limit)
        sum += cost[from++];
    return from;
}

/* True when `size` runs of at most `limit` hold everything; *larger: cheapest run that was too
 * dear. */
static int fits(const double *cost, size_t count, int size, double limit, double *larger)
{
    size_t at = 0;
    int r;

    *larger = INFINITY;
    for (r = 0; r < size && at < count; r++) {
        double sum = 0;

        while (at < count && sum + cost[at] <= limit)
            sum += cost[at++];
        if (at < count && sum + cost[at] < *larger)
            *larger = sum + cost[at];
    }
    return at == count;
}

/*
 * The least limit is the cost of some run. Halving brings it down to a few
 * candidates, then each failed test names the next limit that changes
 * anything, so the result is exact and does not depend on when halving stops.
 */
static double least_limit(const double *cost, size_t count, int size)
{
    double low = 0, high = 0, larger;
    size_t i;
    int k;

    for (i = 0; i < count; i++) {
        high += cost[i];
        if (cost[i] > low)
            low = cost[i];
    }
    low = fmax(low, high / size * (1 - 1e-12));
    for (k = 0; k < 50; k++) {
        double middle = low + (high - low) / 2;

        if (fits(cost, count, size, middle, &larger))
            high = middle;
        else
            low = larger;
        if (!(low < high))
            break;
    }
    while (!fits(cost, count, size, low, &larger))
        low = larger;
    return low;
}

void schedule_cut(size_t *bounds, int size, const double *cost, size_t count)
{
    const double limit = least_limit(cost, count, size);
    size_t at = 0;
    int r;

    bounds[0] = 0;
    for (r = 0; r < size; r++) {
        at = run_end(cost, count, at, limit);
        bounds[r + 1] = at;
    }
}

/* The dearest first; of equals the first. */
static int compare_items(const void *a, const void *b)
{
    const struct schedule_item *x = a, *y = b;

    if (x->cost != y->cost)
        return x->cost > y->cost ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int lighter(const struct schedule_share *a, const struct schedule_share *b)
{
    return a->load != b->load ? a->load < b->load : a->rank < b->rank;
}

/* shares is a heap, the lightest at the top, but for the top itself: puts it in its place. */
static void sift_down(struct schedule_share *shares, int size)
{
    const struct schedule_share top = shares[0];
    int at = 0;

    for (;;) {
        int child = 2 * at + 1;

        if (child + 1 < size && lighter(&shares[child + 1], &shares[child]))
            child++;
        if (child >= size || !lighter(&shares[child], &top))
            break;
        shares[at] = shares[child];
        at = child;
    }
    shares[at] = top;
}

/* The dearest rank gives item x to rank `to`, and gets y for it unless y is count. */
struct swap {
    size_t x, y;
    int to;
    double most; // of the two shares afterwards
};

static void consider(struct swap *best, const struct schedule_share *shares, int from,
                     struct swap swap, double given)
{
    swap.most = fmax(shares[from].load - given, shares[swap.to].load + given);
    if (given > 0 && swap.most < best->most)
        *best = swap;
}

/* shares[r] is rank r's here. The swap after which the dearest rank and its partner have least. */
static struct swap find_swap(const int *owner, const double *cost, size_t count,
                             const struct schedule_share *shares, int dearest, int lightest)
{
    struct swap best = { count, count, dearest, shares[dearest].load };

    for (size_t x = 0; x < count; x++) {
        if (owner[x] != dearest)
            continue;
        consider(&best, shares, dearest, (struct swap){ x, count, lightest, 0 }, cost[x]);
        for (size_t y = 0; y < count; y++)
            if (owner[y] != dearest)
                consider(&best, shares, dearest, (struct swap){ x, y, owner[y], 0 },
                         cost[x] - cost[y]);
    }
    return best;
}

static void apply_swap(int *owner, const double *cost, size_t count, struct schedule_share *shares,
                       int dearest, const struct swap *swap)
{
    double given = cost[swap->x] - (swap->y < count ? cost[swap->y] : 0.0);

    owner[swap->x] = swap->to;
    if (swap->y < count)
        owner[swap->y] = dearest;
    shares[dearest].load -= given;
    shares[swap->to].load += given;
}

/* The n items of two ranks in two parts of which the larger is least: bit i set: item[i] is in the first. */
static unsigned best_parts(const double *cost, const size_t *item, int n, double *larger)
{
    double all = 0.0;
    unsigned best = 0;

    for (int i = 0; i < n; i++)
        all += cost[item[i]];
    *larger = all;
    for (unsigned parts = 1; parts < 1u << (n - 1); parts++) { // the last item is in the second
        double first = 0.0;

        for (int i = 0; i < n - 1; i++)
            first += parts >> i & 1 ? cost[item[i]] : 0.0;
        if (fmax(first, all - first) < *larger) {
            *larger = fmax(first, all - first);
            best = parts;
        }
    }
    return best;
}

/* Divides the items of two ranks anew where they are few and that makes the larger share less; 0: it does not. */
static int divide_anew(int *owner, const double *cost, size_t count, struct schedule_share *shares,
                       int dearest, int other)
{
    size_t item[FEW];
    int n = 0;
    unsigned parts;
    double larger;

    for (size_t i = 0; i < count; i++) {
        if (owner[i] != dearest && owner[i] != other)
            continue;
        if (n == FEW)
            return 0;
        item[n++] = i;
    }
    parts = best_parts(cost, item, n, &larger);
    if (larger >= shares[dearest].load * (1 - 1e-12))
        return 0;
    shares[dearest].load = shares[other].load = 0.0;
    for (int i = 0; i < n; i++) {
        owner[item[i]] = parts >> i & 1 ? dearest : other;
        shares[owner[item[i]]].load += cost[item[i]];
    }
    return 1;
}

/* Takes from the dearest rank, by a swap or else by dividing anew what it and the lightest one have, while that helps. */
static double refine(int *owner, int size, const double *cost, size_t count,
                     struct schedule_share *shares)
{
    const double enough = schedule_least_share(size, cost, count) * (1 + CLOSE);

    for (int round = 0;; round++) {
        int dearest = 0, lightest = 0;
        struct swap swap;

        for (int r = 1; r < size; r++) {
            dearest = shares[r].load > shares[dearest].load ? r : dearest;
            lightest = shares[r].load < shares[lightest].load ? r : lightest;
        }
        if (shares[dearest].load <= enough || round == ROUNDS)
            return shares[dearest].load;
        swap = find_swap(owner, cost, count, shares, dearest, lightest);
        if (swap.x < count)
            apply_swap(owner, cost, count, shares, dearest, &swap);
        else if (!divide_anew(owner, cost, count, shares, dearest, lightest))
            return shares[dearest].load;
    }
}

double schedule_deal(int *owner, int size, const double *cost, size_t count,
                     struct schedule_item *items, struct schedule_share *shares)
{
    for (size_t i = 0; i < count; i++)
        items[i] = (struct schedule_item){ cost[i], i };
    for (int r = 0; r < size; r++) // equal loads in the order of the ranks are a heap
        shares[r] = (struct schedule_share){ 0.0, r };
    qsort(items, count, sizeof(*items), compare_items);
    for (size_t i = 0; i < count; i++) {
        owner[items[i].index] = shares[0].rank;
        shares[0].load += items[i].cost;
        sift_down(shares, size);
    }
    for (int r = 0; r < size; r++) // from here on by rank
        shares[r] = (struct schedule_share){ 0.0, r };
    for (size_t i = 0; i < count; i++)
        shares[owner[i]].load += cost[i];
    return refine(owner, size, cost, count, shares);
}

double schedule_least_share(int size, const double *cost, size_t count)
{
    double sum = 0.0, dearest = 0.0;

    for (size_t i = 0; i < count; i++) {
        sum += cost[i];
        dearest = fmax(dearest, cost[i]);
    }
    return fmax(sum / size, dearest);
}
