/*
 * optim/adamw.c: AdamW over one flat array.
 *
 * The first moment moves by interpolation, written from the end that is
 * nearer, as torch's lerp does: it returns exactly g for beta1 = 0.
 */
#include "optim/adamw.h"

#include <math.h>

#define PARALLEL_FROM ((size_t)1 << 15) // elements

/* The scalars of a step, rounded once. */
struct factors {
    float keep;         // 1 - lr decay
    float toward;       // 1 - beta1
    float beta2, fresh; // fresh = 1 - beta2
    float step_size;    // lr / (1 - beta1^t)
    float correction;   // sqrt(1 - beta2^t)
    float epsilon;
};

static struct factors factors_of(const struct adamw *adamw, double lr, int64_t t)
{
    return (struct factors){
        .keep = (float)(1 - lr * adamw->weight_decay),
        .toward = (float)(1 - adamw->beta1),
        .beta2 = (float)adamw->beta2,
        .fresh = (float)(1 - adamw->beta2),
        .step_size = (float)(lr / (1 - pow(adamw->beta1, (double)t))),
        .correction = (float)sqrt(1 - pow(adamw->beta2, (double)t)),
        .epsilon = (float)adamw->epsilon,
    };
}

static inline float lerp(float from, float to, float weight)
{
    return weight < 0.5F ? from + weight * (to - from) : to - (to - from) * (1.0F - weight);
}

void adamw_step(const struct adamw *adamw, float *p, float *m, float *v, const float *g, size_t n,
                double lr, int64_t t)
{
    const struct factors f = factors_of(adamw, lr, t);

#pragma omp parallel for if (parallel : n >= PARALLEL_FROM)
    for (size_t i = 0; i < n; i++) {
        float denominator;

        m[i] = lerp(m[i], g[i], f.toward);
        v[i] = v[i] * f.beta2 + f.fresh * g[i] * g[i];
        denominator = sqrtf(v[i]) / f.correction + f.epsilon;
        p[i] = p[i] * f.keep - f.step_size * m[i] / denominator;
    }
}
