/*
 * train/plan.c: how large passes get, what a run computes, what it needs.
 *
 * The schedule is known before the first step, so the plan is no estimate: all
 * steps are walked through, every worker's rows are cut and grouped as the step
 * itself will do it, and the largest pass found is what memory is reserved for.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/available.h"
#include "base/log.h"
#include "base/mem.h"
#include "train/train_internal.h"

#define SHARED   1.25 // time of passes that threads share, over that of passes of their own
#define PRODUCTS 0.8  // the part of a pass that idle threads help with

enum {
    TOKEN_BUDGET = 2048, // tokens of a pass: more do not make products faster
    TOKEN_LEAST = 512    // fewer cost more than to compute activations again
};

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long long total = 0, resident = 0, shared = 0;

    if (file) {
        if (fscanf(file, "%llu %llu %llu", &total, &resident, &shared) != 3)
            resident = shared = 0;
        (void)fclose(file);
    }
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Whether leaves may share a pass: rows of a product must not depend on each other. */
static int leaves_together(const struct job *job, struct error *err)
{
    const struct model_config *c = &job->model.config;
    const int shapes[][2] = { { c->H * c->D, c->C }, { c->G * c->D, c->C }, { c->C, c->H * c->D },
                              { c->F, c->C },        { c->C, c->F },        { c->V, c->C } };
    int same = 1;

    if (gemm_rows_apart(job->nn.backend)) // by construction; tests/unit/nn proves it
        return 1;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]) && same > 0; s++)
        same = gemm_rows_independent(&job->nn, shapes[s][0], shapes[s][1], err);
    return same;
}

void deal_place(struct deal *deal, struct arena *arena, size_t rows, int workers)
{
    deal->owner = arena_take(arena, rows, sizeof(*deal->owner));
    deal->cost = arena_take(arena, rows, sizeof(*deal->cost));
    deal->items = arena_take(arena, rows, sizeof(*deal->items));
    deal->shares = arena_take(arena, (size_t)workers, sizeof(*deal->shares));
}

double row_cost(const struct job *job, size_t row)
{
    const struct sample_set *set = job->train;

    return model_flops(&job->model, set->length[row] - 1.0, set->labelled[row],
                       sample_store_squares(&job->store, set, row), 1);
}

void deal_rows(struct deal *deal, struct step_size *size, const struct job *job,
               const int64_t *rows, size_t count)
{
    const int workers = job->plan.ranks * job->plan.workers;

    *size = (struct step_size){ 0 };
    for (size_t i = 0; i < count; i++) {
        deal->cost[i] = row_cost(job, (size_t)rows[i]);
        size->cost += deal->cost[i];
        size->tokens += job->train->length[rows[i]];
        size->labelled += job->train->labelled[rows[i]];
    }
    size->largest =
        schedule_deal(deal->owner, workers, deal->cost, count, deal->items, deal->shares);
    size->least = schedule_least_share(workers, deal->cost, count);
}

static void grow(int *max, int value)
{
    *max = value > *max ? value : *max;
}

/* A pass being filled on paper. */
struct walk {
    int N, leaves, labelled;
};

static void walk_row(struct plan *plan, struct walk *walk, const struct sample_set *set, size_t row)
{
    int T = set->length[row];

    if (walk->N > 0 && (!plan->together || walk->N + T > plan->token_budget))
        *walk = (struct walk){ 0 };
    walk->N += T;
    walk->leaves++;
    walk->labelled += set->labelled[row];
    grow(&plan->shape.N, walk->N);
    grow(&plan->shape.n_leaves, walk->leaves);
    grow(&plan->shape.labelled, walk->labelled);
    grow(&plan->shape.longest, T);
}

static void balance_add(struct balance *balance, const struct step_size *size, int workers)
{
    double mean = size->cost / workers;

    balance->cost += mean;
    balance->largest += size->largest;
    balance->least += size->least;
    balance->worst = fmax(balance->worst, size->largest / mean);
    balance->worst_at_least = fmax(balance->worst_at_least, size->least / mean);
}

/* One step: its work, and the passes of each worker. walks: one for each. */
static void walk_step(struct job *job, struct deal *deal, struct walk *walks, const int64_t *rows,
                      size_t count)
{
    struct plan *plan = &job->plan;
    const int workers = plan->ranks * plan->workers;
    struct step_size size;

    grow(&plan->leaves_max, (int)count);
    deal_rows(deal, &size, job, rows, count);
    plan->tokens += size.tokens;
    plan->labelled += size.labelled;
    plan->flops += size.cost;
    balance_add(&plan->balance, &size, workers);
    memset(walks, 0, (size_t)workers * sizeof(*walks));
    for (size_t i = 0; i < count; i++)
        walk_row(plan, &walks[deal->owner[i]], job->train, (size_t)rows[i]);
}

static void walk_place(struct deal *deal, struct walk **walks, struct arena *arena, size_t rows,
                       int workers)
{
    deal_place(deal, arena, rows, workers);
    *walks = arena_take(arena, (size_t)workers, sizeof(**walks));
}

static int walk_schedule(struct job *job, struct error *err)
{
    size_t batch = (size_t)job->plan.global_batch;
    size_t most = batch < job->train->count ? batch : job->train->count;
    const int workers = job->plan.ranks * job->plan.workers;
    struct arena arena = { 0 };
    struct walk *walks;
    struct deal deal;
    const int64_t *rows;
    size_t count;

    walk_place(&deal, &walks, &arena, most, workers);
    if (arena_open(&arena, arena.peak, err) < 0)
        return -1;
    walk_place(&deal, &walks, &arena, most, workers);
    for (int64_t s = 0; s < job->schedule.total_steps; s++) {
        schedule_step(&job->schedule, s, &rows, &count, NULL);
        walk_step(job, &deal, walks, rows, count);
    }
    arena_close(&arena);
    return 0;
}

static int walk_evaluation(struct job *job, const struct sample_set *set, struct error *err)
{
    const int workers = job->plan.ranks * job->plan.workers;
    size_t *bound = mem_alloc((size_t)workers + 1, sizeof(*bound), err);
    int rc = bound ? evaluate_cut(bound, set, workers, err) : -1;

    for (int w = 0; rc == 0 && w < workers; w++) {
        struct walk walk = { 0 };

        for (size_t row = bound[w]; row < bound[w + 1]; row++)
            walk_row(&job->plan, &walk, set, row);
    }
    free(bound);
    return rc;
}

static int open_schedule(struct job *job, struct error *err)
{
    const struct config *cfg = job->cfg;
    struct schedule_params params = {
        .rows = job->train->count,
        .global_batch = job->plan.global_batch,
        .num_train_epochs = cfg->num_train_epochs,
        .max_steps = cfg->max_steps,
        .seed = (uint64_t)(cfg->data_seed >= 0 ? cfg->data_seed : cfg->seed),
        .shuffle = !cfg->disable_shuffling,
    };

    schedule_close(&job->schedule);
    if (schedule_open(&job->schedule, &params, err) < 0)
        return -1;
    job->plan.warmup_steps =
        lr_warmup_steps(cfg->warmup_steps, cfg->warmup_ratio, job->schedule.total_steps);
    job->lr = job->lr_options;
    return lr_schedule_start(&job->lr, job->plan.warmup_steps, job->schedule.total_steps, err);
}

/* Of all workers of a rank. */
static size_t work_bytes(const struct job *job, int kept)
{
    struct model_shape shape = job->plan.shape;
    struct nn nn = worker_nn(job, job->plan.workers, 0);
    struct model_work work;
    struct arena arena = { 0 };

    shape.kept_layers = kept;
    model_work_place(&work, &arena, &job->model, &nn, &shape);
    return size_mul(arena.peak, (size_t)job->plan.workers);
}

/*
 * What a rank may spend on a pass. The weights' pages count as available, but
 * are read twice a step: they must find room in memory, too, and so must what
 * the rank will hold besides, where that is more than a fifth.
 */
static size_t work_budget(const struct job *job)
{
    const struct plan *plan = &job->plan;
    double available = (double)available_bytes("") - (double)plan->weight_bytes;
    double share = available / plan->ranks_per_node;
    double left = 0.95 * share - (double)plan->state_bytes;

    if (job->cfg->memory_budget > 0)
        return (size_t)job->cfg->memory_budget;
    return (size_t)fmax(0.0, fmin(0.8 * share, left));
}

/* As many layers keep their activations as the budget allows. */
static void choose_kept_layers(struct job *job)
{
    struct plan *plan = &job->plan;
    size_t budget = work_budget(job);
    int64_t least;
    int kept = job->model.config.L - job->model.first_layer;

    while (kept > 0 && work_bytes(job, kept) > budget)
        kept--;
    least = kept;
    dist_min_i64(job->dist, &least, 1); // the same everywhere: forecasts are for all
    plan->shape.kept_layers = (int)least;
    plan->work_bytes = work_bytes(job, (int)least);
}

static int plan_local(struct job *job, struct error *err)
{
    const struct sample_store *store = &job->store;

    if (job->train && (open_schedule(job, err) < 0 || walk_schedule(job, err) < 0))
        return -1;
    for (int s = 0; s < store->set_count; s++)
        if (strcmp(store->sets[s].name, "train") != 0 &&
            walk_evaluation(job, &store->sets[s], err) < 0)
            return -1;
    return 0;
}

int64_t global_batch_of(const struct config *cfg, int ranks)
{
    if (cfg->global_batch_size > 0)
        return cfg->global_batch_size;
    return (int64_t)cfg->per_device_train_batch_size * ranks * cfg->gradient_accumulation_steps;
}

/* The plan for passes of so many tokens; what start says holds for every number. Collective. */
static int plan_passes(struct job *job, const struct plan *start, int token_budget,
                       struct error *err)
{
    job->plan = *start;
    job->plan.token_budget = token_budget;
    if (dist_agree(job->dist, plan_local(job, err), err) < 0)
        return -1;
    choose_kept_layers(job);
    return 0;
}

static int keeps_all_layers(const struct job *job)
{
    return job->plan.shape.kept_layers >= job->model.config.L - job->model.first_layer;
}

/*
 * For the workers of job->plan: the user's number of tokens if given; else the most with which every layer keeps its
 * activations; if even TOKEN_LEAST do not make that possible, TOKEN_BUDGET. Collective.
 */
static int choose_passes(struct job *job, const struct plan *start, struct error *err)
{
    int asked = (int)job->cfg->token_budget, most = asked > 0 ? asked : TOKEN_BUDGET;
    int rc = plan_passes(job, start, most, err);

    for (int n = most / 2; rc == 0 && asked == 0 && n >= TOKEN_LEAST && !keeps_all_layers(job);
         n /= 2)
        rc = plan_passes(job, start, n, err);
    if (rc == 0 && !keeps_all_layers(job) && job->plan.token_budget < most)
        rc = plan_passes(job, start, most, err);
    return rc;
}

/* Workers that a rank may have: with other backends, what a product is depends on its threads. Collective. */
static int most_workers(const struct job *job)
{
    int most = gemm_rows_apart(job->nn.backend) ? job->threads : 1;
    int64_t threads[2] = { most, -most };

    dist_min_i64(job->dist, threads, 2);
    return threads[0] == -threads[1] ? (int)threads[0] : 1; // the same everywhere, or one
}

/* What the steps take a thread with rows of its own: idle ones help it with its products, but with nothing else. */
static double apart_cost(const struct balance *b)
{
    return PRODUCTS * b->cost + (1.0 - PRODUCTS) * b->largest;
}

/*
 * A worker for each thread of a rank, or one with all of them: where threads are many and rows few,
 * too much would be left that others cannot help with; where there is little memory, each had too small
 * a part. Collective.
 */
static int choose_workers(struct job *job, const struct plan *start, struct error *err)
{
    struct plan plan = *start, apart;
    int threads = most_workers(job);

    plan.workers = threads;
    if (choose_passes(job, &plan, err) < 0)
        return -1;
    apart = job->plan;
    if (threads == 1 ||
        (keeps_all_layers(job) && apart_cost(&apart.balance) <= SHARED * apart.balance.cost))
        return 0; // one pass for all threads cannot be faster
    plan.workers = 1;
    if (choose_passes(job, &plan, err) < 0)
        return -1;
    if (apart.shape.kept_layers >= job->plan.shape.kept_layers &&
        apart_cost(&apart.balance) <= SHARED * job->plan.balance.largest / threads)
        job->plan = apart;
    return 0;
}

int plan_make(struct job *job, int ranks, int ranks_per_node, int64_t global_batch,
              struct error *err)
{
    const struct config *cfg = job->cfg;
    struct plan start;
    size_t P = job->adapter.param_count;

    start = (struct plan){ .ranks = ranks,
                           .ranks_per_node = ranks_per_node < ranks ? ranks_per_node : ranks,
                           .leaves_max = 1 };
    start.global_batch = global_batch > 0 ? global_batch : global_batch_of(cfg, ranks);
    for (size_t i = 0; i < job->model.weights.count; i++)
        start.weight_bytes += job->model.weights.tensors[i].bytes;
    start.state_bytes = P * (4 * sizeof(float) + sizeof(int64_t));
    if (ranks > 1) // what the chunks on their way take at most
        start.state_bytes +=
            DIST_SUM_WINDOW * (P < DIST_SUM_CHUNK ? P : DIST_SUM_CHUNK) * sizeof(int64_t);
    start.base_bytes = resident_bytes();
    start.together = leaves_together(job, err);
    if (dist_agree(job->dist, start.together < 0 ? -1 : 0, err) < 0)
        return -1;
    return choose_workers(job, &start, err);
}

static double mib(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

static double above(double share)
{
    return 100.0 * (share - 1.0);
}

static void print_training(const struct job *job)
{
    const struct plan *plan = &job->plan;
    const struct balance *b = &plan->balance;

    (void)printf("steps            %lld (%lld an epoch), global batch %lld\n"
                 "warmup           %lld steps\n"
                 "tokens           %.0f, of them labelled %.0f\n"
                 "operations       %.3g\n",
                 (long long)job->schedule.total_steps, (long long)job->schedule.steps_per_epoch,
                 (long long)plan->global_batch, (long long)plan->warmup_steps, plan->tokens,
                 plan->labelled, plan->flops);
    (void)printf("imbalance        the slowest %s %.1f %% above the mean, %.1f %% in the worst "
                 "step; single rows alone make it %.1f %% and %.1f %%\n",
                 plan->workers > 1 ? "thread" : "rank", above(b->largest / b->cost),
                 above(b->worst), above(b->least / b->cost), above(b->worst_at_least));
}

void plan_print(const struct job *job)
{
    const struct plan *plan = &job->plan;
    int nodes = (plan->ranks + plan->ranks_per_node - 1) / plan->ranks_per_node;
    size_t rank_bytes = plan->work_bytes + plan->state_bytes + plan->base_bytes;
    size_t available = available_bytes("") + plan->base_bytes * (size_t)job->dist->node_size;
    size_t node_bytes = rank_bytes * (size_t)plan->ranks_per_node + plan->weight_bytes;

    (void)printf("ranks            %d on %d node%s\n", plan->ranks, nodes, nodes > 1 ? "s" : "");
    if (job->train)
        print_training(job);
    (void)printf("largest pass     %d tokens in %d leaves, %s%s\n", plan->shape.N,
                 plan->shape.n_leaves, plan->together ? "leaves together" : "one leaf a pass",
                 job->threads == 1    ? ""
                 : plan->workers == 1 ? "; the threads of a rank share it"
                                      : "; each thread has its own");
    (void)printf("activations      kept for %d of %d layers, computed again for the others\n",
                 plan->shape.kept_layers, job->model.config.L);
    (void)printf("memory per rank  %.0f MiB: activations %.0f, adapter and optimizer %.0f, program "
                 "%.0f; and %.0f of weights, shared by the ranks of a node\n",
                 mib(rank_bytes + plan->weight_bytes), mib(plan->work_bytes),
                 mib(plan->state_bytes), mib(plan->base_bytes), mib(plan->weight_bytes));
    (void)printf("memory per node  %.0f MiB\n", mib(node_bytes));
    if (node_bytes > available)
        log_warn("this machine has %.0f MiB: a node needs more memory, or fewer ranks",
                 mib(available));
    (void)printf("traffic per step %.1f MiB sent by each rank\n",
                 2.0 * (plan->ranks - 1) / plan->ranks *
                     mib(job->adapter.param_count * sizeof(int64_t)));
}
