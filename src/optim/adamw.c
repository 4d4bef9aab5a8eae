/*
 * optim/adamw.c: AdamW over one flat array.
 */
#include "optim/adamw.h"

#include <math.h>

#include "nn/update.h"

static struct adamw_factors factors_of(const struct adamw *adamw, double lr, int64_t t)
{
    return (struct adamw_factors){
        .keep = (float)(1 - lr * adamw->weight_decay),
        .toward = (float)(1 - adamw->beta1),
        .beta2 = (float)adamw->beta2,
        .fresh = (float)(1 - adamw->beta2),
        .step_size = (float)(lr / (1 - pow(adamw->beta1, (double)t))),
        .correction = (float)sqrt(1 - pow(adamw->beta2, (double)t)),
        .epsilon = (float)adamw->epsilon,
    };
}

void adamw_step(const struct nn *nn, const struct adamw *adamw, float *p, float *m, float *v,
                const float *g, size_t n, double lr, int64_t t)
{
    const struct adamw_factors factors = factors_of(adamw, lr, t);

    adamw_apply(nn, p, m, v, g, n, &factors);
}
