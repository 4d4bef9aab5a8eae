/*
 * base/profile.c: a stopwatch with laps.
 */
#include "base/profile.h"

#include <string.h>

#include "base/clock.h"

static const char *const names[PROFILE_CLASSES] = {
    [PROFILE_GEMM] = "frozen products",
    [PROFILE_HEAD] = "head and loss",
    [PROFILE_ADAPTER] = "adapter products",
    [PROFILE_ATTENTION] = "attention",
    [PROFILE_ELEMENTWISE] = "norms, elementwise",
    [PROFILE_LEAF_SUMS] = "leaf sums",
    [PROFILE_INPUT] = "input",
    [PROFILE_WAITING] = "waiting",
    [PROFILE_REDUCTION] = "reduction",
    [PROFILE_OPTIMIZER] = "optimizer",
    [PROFILE_SAVING] = "saving",
    [PROFILE_EVALUATION] = "evaluation",
    [PROFILE_OTHER] = "other",
};

const char *profile_class_name(enum profile_class c)
{
    return names[c];
}

static int64_t now_ns(void)
{
    return (int64_t)(clock_s() * 1e9);
}

void profile_reset(struct profile *p)
{
    p->last_ns = now_ns();
    memset(p->ns, 0, sizeof(p->ns));
    memset(p->flops, 0, sizeof(p->flops));
}

static int64_t lap(struct profile *p, enum profile_class c, double flops)
{
    int64_t now = now_ns(), spent = now - p->last_ns;

    p->last_ns = now;
    p->laps++;
    p->ns[c] += spent;
    p->flops[c] += flops;
    return spent;
}

void profile_lap_at(struct profile *p, enum profile_class c, double flops)
{
    (void)lap(p, c, flops);
}

double profile_lap_cost_s(void)
{
    enum { TRIES = 100000 };
    struct profile watch = { 0 };
    double start = clock_s();

    for (int i = 0; i < TRIES; i++)
        profile_lap_at(&watch, PROFILE_OTHER, 0.0);
    return (clock_s() - start) / TRIES;
}

/* The entry of N and K; shapes beyond the table share its last one. */
static struct profile_shape *shape_of(struct profile *p, int N, int K)
{
    int i;

    for (i = 0; i < p->shapes; i++)
        if ((p->shape[i].N == N && p->shape[i].K == K) || i == PROFILE_SHAPES - 1)
            return &p->shape[i];
    p->shape[p->shapes++] = (struct profile_shape){ .N = N, .K = K };
    return &p->shape[i];
}

void profile_merge(struct profile *p, struct profile *beside, int n)
{
    p->last_ns = now_ns();
    p->laps += beside->laps / n;
    for (int c = 0; c < PROFILE_CLASSES; c++) {
        p->ns[c] += beside->ns[c] / n;
        p->flops[c] += beside->flops[c];
    }
    for (int i = 0; i < beside->shapes; i++) {
        struct profile_shape *shape = shape_of(p, beside->shape[i].N, beside->shape[i].K);

        shape->ns += beside->shape[i].ns / n;
        shape->flops += beside->shape[i].flops;
    }
    *beside = (struct profile){ 0 };
}

void profile_lap_gemm_at(struct profile *p, int N, int K, double flops)
{
    int64_t spent = lap(p, p->products, flops);
    struct profile_shape *shape;

    if (p->products == PROFILE_ADAPTER)
        return; // one side is the adapter's rank, another a leaf's length
    shape = shape_of(p, N, K);
    shape->ns += spent;
    shape->flops += flops;
}
