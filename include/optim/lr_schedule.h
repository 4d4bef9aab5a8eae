/*
 * optim/lr_schedule.h: the learning rate of each step.
 *
 * rate(k) = learning_rate * f(k) for the step with k steps before it, so the
 * first update of a run uses rate(0), which is 0 when there is warmup. With W
 * warmup steps, T steps in all, p = (k - W) / (T - W), and f(k) = k / W below W
 * (except for `constant`):
 *
 *   linear                max(0, 1 - p)
 *   cosine                max(0, (1 + cos(2 pi c p)) / 2)       num_cycles c = 0.5
 *   cosine_with_restarts  (1 + cos(pi (c p mod 1))) / 2, 0 at p >= 1   num_cycles c = 1
 *   cosine_with_min_lr    cosine * (1 - r) + r                  min_lr_rate r, or min_lr / lr
 *   cosine_warmup_with_min_lr   the same one step earlier, p = (k + 1 - W) / (T - W); warmup
 *                         (k + 1) / W, or from warmup_lr_rate w: w + (1 - w) k / (W - 1)
 *   polynomial            ((1 - p)^power (lr - lr_end) + lr_end) / lr   power 1, lr_end 1e-7
 *   constant              1
 *   constant_with_warmup  1
 *   inverse_sqrt          1 / sqrt((k + s - W) / s)             timescale s = W, or 10000
 *   warmup_stable_decay   up from min_lr_ratio (0) by warmup_type (linear), 1 for
 *                         num_stable_steps, down to min_lr_ratio within num_decay_steps by
 *                         decay_type (cosine), then min_lr_ratio; types: linear, cosine, 1-sqrt
 *
 * Everything here is local. Source: transformers 5.6, optimization.py;
 * LLaMA-Factory 0.9.5 for the stable steps when not given (a third).
 */
#ifndef OPTIM_LR_SCHEDULE_H
#define OPTIM_LR_SCHEDULE_H

#include <stdint.h>

#include "base/error.h"

enum lr_schedule_kind {
    LR_LINEAR,
    LR_COSINE,
    LR_COSINE_WITH_RESTARTS,
    LR_COSINE_WITH_MIN_LR,
    LR_COSINE_WARMUP_WITH_MIN_LR,
    LR_POLYNOMIAL,
    LR_CONSTANT,
    LR_CONSTANT_WITH_WARMUP,
    LR_INVERSE_SQRT,
    LR_WARMUP_STABLE_DECAY,
    LR_KIND_COUNT
};

enum lr_curve { LR_CURVE_LINEAR, LR_CURVE_COSINE, LR_CURVE_1_SQRT };

struct lr_schedule {
    enum lr_schedule_kind kind;
    double learning_rate;
    int64_t warmup_steps, total_steps;
    /* options; NAN or -1: not given */
    double num_cycles, power, lr_end, min_lr, min_lr_rate, warmup_lr_rate, timescale, min_lr_ratio;
    int64_t num_stable_steps, num_decay_steps;
    enum lr_curve warmup_type, decay_type;
};

/*
 * type: a name of the table. Options are then set one by one, and
 * lr_schedule_start() checks them and fills in what was not given.
 */
int lr_schedule_init(struct lr_schedule *schedule, const char *type, double learning_rate,
                     struct error *err);

/*
 * One entry of lr_scheduler_kwargs, its value as text; "null" leaves the
 * default. An option that the kind has not is an error; for the two constant
 * kinds it is a warning.
 */
int lr_schedule_option(struct lr_schedule *schedule, const char *key, const char *value,
                       struct error *err);

int lr_schedule_start(struct lr_schedule *schedule, int64_t warmup_steps, int64_t total_steps,
                      struct error *err);

/* The rate of the step that has done steps before it. */
double lr_schedule_rate(const struct lr_schedule *schedule, int64_t done);

/*
 * Warmup steps of a run: warmup_steps when 1 or more; warmup_steps below 1 is
 * a share, ceil(share * total), as is warmup_ratio when warmup_steps is 0.
 */
int64_t lr_warmup_steps(double warmup_steps, double warmup_ratio, int64_t total_steps);

#endif
