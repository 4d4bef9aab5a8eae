/*
 * train/forecast.c: step time over ranks, from the rows of the data set.
 *
 * For each number of ranks a few steps are dealt as training would deal them;
 * their largest share and the constants of the machine give the step time
 * (report/forecast.h). Steps are runs of the first epoch's order, which begins
 * anew at its end: so a batch may be larger than the data set, and says what a
 * larger set of such rows would need.
 */
#include <math.h>
#include <stdio.h>

#include "report/forecast.h"
#include "train/train_internal.h"

#define GEMM_SHARE     0.80  // of the matrix rate, that a step reaches; docs/scaling.md
#define AMX_SHARE      0.50  // the same where products are so fast that the rest counts
#define LINK           125e6 // bytes/s: 1 Gbit/s
#define NODE           2e9   // bytes/s
#define LATENCY_S      50e-6
#define OPTIMIZER_S    8e-9 // a parameter
#define SAVING_S       32e-9
#define GOOD           0.8 // efficiency that a large enough batch is to have
#define NEXT           3   // and with as many rows a rank more, still
#define ROWS_MAX       ((size_t)1 << 18)
#define ROWS_SAMPLED   ((size_t)1 << 16)
#define STEPS_SAMPLED  16
#define FORECAST_RANKS 1024

/* The rows in the order of the first epoch, and room to deal a step of them. */
struct crowd {
    const struct job *job;
    struct forecast_machine machine;
    size_t count;
    double *row_cost, *row_tokens; // [count]
    double tokens;                 // of the step that was sampled last
    struct deal deal;
};

static void crowd_place(struct crowd *crowd, struct arena *arena, int ranks)
{
    crowd->row_cost = arena_take(arena, crowd->count, sizeof(double));
    crowd->row_tokens = arena_take(arena, crowd->count, sizeof(double));
    deal_place(&crowd->deal, arena, ROWS_MAX + NEXT * (size_t)ranks,
               ranks * crowd->job->plan.workers);
}

static void fill_rows(struct crowd *crowd, struct job *job)
{
    const int64_t *rows;
    size_t done = 0, count;

    for (int64_t s = 0; done < crowd->count; s++) {
        schedule_step(&job->schedule, s, &rows, &count, NULL);
        for (size_t i = 0; i < count; i++, done++) {
            crowd->row_tokens[done] = job->train->length[rows[i]];
            crowd->row_cost[done] = row_cost(job, (size_t)rows[i]);
        }
    }
}

/* The mean step of batch rows on ranks. */
static struct forecast_step sample(struct crowd *crowd, int ranks, size_t batch)
{
    const struct plan *plan = &crowd->job->plan;
    struct forecast_step step = { .ranks = ranks,
                                  .ranks_per_node = plan->ranks_per_node,
                                  .parameters = crowd->job->adapter.param_count };
    const int workers = ranks * plan->workers;
    size_t steps = ROWS_SAMPLED / batch, at = 0;
    double passes;

    steps = steps < 1 ? 1 : steps > STEPS_SAMPLED ? STEPS_SAMPLED : steps;
    crowd->tokens = 0.0;
    for (size_t s = 0; s < steps; s++) {
        for (size_t i = 0; i < batch; i++, at = (at + 1) % crowd->count) {
            crowd->deal.cost[i] = crowd->row_cost[at];
            step.operations += crowd->row_cost[at] / (double)steps;
            crowd->tokens += crowd->row_tokens[at] / (double)steps;
        }
        step.largest += schedule_deal(crowd->deal.owner, workers, crowd->deal.cost, batch,
                                      crowd->deal.items, crowd->deal.shares) *
                        plan->workers / (double)steps;
    }
    passes =
        plan->together ? crowd->tokens / workers / plan->token_budget : (double)batch / workers;
    step.passes = fmax(1.0, passes);
    return step;
}

/* Whether so many rows a rank, and the next numbers of them, have an efficiency of 80 %. */
static int is_good(struct crowd *crowd, int ranks, size_t each)
{
    for (size_t last = each + NEXT; each <= last; each++) {
        struct forecast_step step = sample(crowd, ranks, each * (size_t)ranks);

        if (forecast_efficiency(&crowd->machine, &step) < GOOD)
            return 0;
    }
    return 1;
}

/*
 * About the least multiple of ranks, within 2 %, from which on multiples are good; 0: beyond
 * ROWS_MAX. What lies between may not be: with equal rows, one more makes all other ranks wait.
 */
static size_t good_batch(struct crowd *crowd, int ranks)
{
    size_t low = 0, high = 1;

    while (high * (size_t)ranks <= ROWS_MAX && !is_good(crowd, ranks, high)) {
        low = high;
        high *= 2;
    }
    if (high * (size_t)ranks > ROWS_MAX)
        return 0;
    while (high - low > 1 + high / 50) {
        size_t middle = low + (high - low) / 2;

        if (is_good(crowd, ranks, middle))
            high = middle;
        else
            low = middle;
    }
    return high * (size_t)ranks;
}

static void print_row(struct crowd *crowd, int ranks)
{
    const struct plan *plan = &crowd->job->plan;
    size_t batch = (size_t)global_batch_of(crowd->job->cfg, ranks), good;
    struct forecast_step step;
    double step_s;
    char text[32] = "more";

    (void)printf("%7d %6d %9zu", ranks, (ranks + plan->ranks_per_node - 1) / plan->ranks_per_node,
                 batch);
    if (batch > ROWS_MAX) {
        (void)printf(" too large to forecast\n");
        return;
    }
    step = sample(crowd, ranks, batch);
    step_s = forecast_step_s(&crowd->machine, &step);
    (void)printf(" %10.4g %10.4g %10.0f %10.1f %%", step_s,
                 forecast_reduction_s(&crowd->machine, &step), crowd->tokens / step_s,
                 100.0 * forecast_efficiency(&crowd->machine, &step));
    good = good_batch(crowd, ranks);
    if (good > 0)
        (void)snprintf(text, sizeof(text), "%zu", good);
    (void)printf(" %12s\n", text);
}

static double gemm_share(const struct job *job)
{
    return job->nn.backend == GEMM_AMX ? AMX_SHARE : GEMM_SHARE;
}

static struct forecast_machine machine_of(const struct job *job, double gemm_rate)
{
    const struct config *cfg = job->cfg;
    double per_parameter = OPTIMIZER_S + SAVING_S / cfg->state_steps;

    return (struct forecast_machine){
        .rate = cfg->rank_gflops > 0 ? cfg->rank_gflops * 1e9 : gemm_rate * gemm_share(job),
        .overhead_s = cfg->step_overhead_ms > 0 ? cfg->step_overhead_ms * 1e-3
                                                : (double)job->adapter.param_count * per_parameter,
        .link = cfg->link_bandwidth > 0 ? (double)cfg->link_bandwidth : LINK,
        .node = cfg->node_bandwidth > 0 ? (double)cfg->node_bandwidth : NODE,
        .latency_s = cfg->link_latency_us > 0 ? cfg->link_latency_us * 1e-6 : LATENCY_S,
    };
}

static void print_head(const struct crowd *crowd)
{
    const struct forecast_machine *m = &crowd->machine;
    char share[64] = "";

    if (crowd->job->cfg->rank_gflops <= 0)
        (void)snprintf(share, sizeof(share), " (%.2f of this machine's matrix rate)",
                       gemm_share(crowd->job));
    (void)printf("\nforecast, not measured, of a machine as the keys say: rank_gflops %.6g%s, "
                 "step_overhead_ms %.6g, link_bandwidth %.6gMB, node_bandwidth %.6gMB, "
                 "link_latency_us %.6g; %d ranks on a node\n",
                 m->rate * 1e-9, share, m->overhead_s * 1e3, m->link * 1e-6, m->node * 1e-6,
                 m->latency_s * 1e6, crowd->job->plan.ranks_per_node);
    (void)printf("%7s %6s %9s %10s %10s %10s %12s %12s\n", "ranks", "nodes", "rows/step", "s/step",
                 "reduction", "tokens/s", "efficiency", "80 % from");
}

int forecast_print(struct job *job, struct error *err)
{
    struct crowd crowd = { .job = job, .count = job->train->count };
    int most = job->plan.ranks > FORECAST_RANKS ? job->plan.ranks : FORECAST_RANKS;
    struct arena arena = { 0 };
    double rate = job->cfg->rank_gflops > 0
                      ? 0.0
                      : gemm_measure_rate(&job->nn, model_dtype(&job->model), 0.2, err);

    if (rate < 0.0)
        return -1;
    crowd_place(&crowd, &arena, most);
    if (arena_open(&arena, arena.peak, err) < 0)
        return -1;
    crowd_place(&crowd, &arena, most);
    fill_rows(&crowd, job);
    crowd.machine = machine_of(job, rate);
    print_head(&crowd);
    for (int ranks = 1; ranks <= most; ranks *= 2) {
        print_row(&crowd, ranks);
        if (ranks < job->plan.ranks && job->plan.ranks < 2 * ranks)
            print_row(&crowd, job->plan.ranks);
    }
    arena_close(&arena);
    return 0;
}
