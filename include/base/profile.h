/*
 * base/profile.h: where the time goes.
 *
 * A stopwatch with laps: profile_lap() charges the time since the last lap to
 * a class of work. Whoever finishes a piece of work laps, so no time is
 * counted twice and none is lost. A lap costs one reading of the clock;
 * with p NULL, which is the rule, a test.
 *
 * Local; a stopwatch is one thread's.
 */
#ifndef BASE_PROFILE_H
#define BASE_PROFILE_H

#include <stdint.h>

enum profile_class {
    PROFILE_GEMM,        // products of frozen weights, with the adapter's term that rides on them
    PROFILE_HEAD,        // products of the head, softmax and loss
    PROFILE_ADAPTER,     // products of the adapter alone
    PROFILE_ATTENTION,   // scores, softmax and their gradients
    PROFILE_ELEMENTWISE, // norms, rotation, SwiGLU, residuals, dropout
    PROFILE_LEAF_SUMS,   // gradients of the leaves, added exactly
    PROFILE_INPUT,       // rows read and laid out
    PROFILE_WAITING,     // for other ranks
    PROFILE_REDUCTION,   // gradients summed over the ranks, as far as computing does not hide it
    PROFILE_OPTIMIZER,   // clipping and AdamW
    PROFILE_SAVING,      // states and checkpoints
    PROFILE_EVALUATION,
    PROFILE_OTHER, // logs, the schedule, what is not named
    PROFILE_CLASSES
};

enum { PROFILE_SHAPES = 48 };

/* All products C [M,N] of the same N and K, whatever M. */
struct profile_shape {
    int N, K;
    int64_t ns;
    double flops;
};

struct profile {
    int64_t last_ns;
    int64_t ns[PROFILE_CLASSES]; // since profile_reset()
    double flops[PROFILE_CLASSES];
    struct profile_shape shape[PROFILE_SHAPES]; // since the start
    int shapes;
    int64_t laps;                // since the start
    enum profile_class products; // what the next products belong to
};

const char *profile_class_name(enum profile_class c);

/* Sets the classes to zero; the shapes stay. */
void profile_reset(struct profile *p);

/*
 * Adds what one of n stopwatches that ran side by side has measured, and clears it: a part of n of its
 * times, so that all of them come to their mean, and its operations. p goes on from now.
 */
void profile_merge(struct profile *p, struct profile *beside, int n);

void profile_lap_at(struct profile *p, enum profile_class c, double flops);
void profile_lap_gemm_at(struct profile *p, int N, int K, double flops);

/* What a lap costs on this machine, in seconds; tried on a stopwatch of its own. */
double profile_lap_cost_s(void);

static inline void profile_lap(struct profile *p, enum profile_class c, double flops)
{
    if (p)
        profile_lap_at(p, c, flops);
}

/* A product C [M,N] over K with a low-rank term of rank R. */
static inline void profile_lap_gemm(struct profile *p, int N, int K, double flops)
{
    if (p)
        profile_lap_gemm_at(p, N, K, flops);
}

/* Products belong to c from here on: PROFILE_GEMM, PROFILE_HEAD or PROFILE_ADAPTER. */
static inline void profile_products(struct profile *p, enum profile_class c)
{
    if (p)
        p->products = c;
}

#endif
