/*
 * optim/lr_schedule.c: schedules by name.
 *
 * Every curve is a function of the step's number alone. The operations and
 * their order are those of the source, so that rates agree to the last bits.
 */
#include "optim/lr_schedule.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define PI        3.14159265358979323846
#define STEPS_MAX ((int64_t)1 << 53)
#define NOT_GIVEN (-1)

/* An option may be set for the kinds in the mask. */
#define KIND(kind) (1U << (kind))

static const char *const kind_names[LR_KIND_COUNT] = {
    [LR_LINEAR] = "linear",
    [LR_COSINE] = "cosine",
    [LR_COSINE_WITH_RESTARTS] = "cosine_with_restarts",
    [LR_COSINE_WITH_MIN_LR] = "cosine_with_min_lr",
    [LR_COSINE_WARMUP_WITH_MIN_LR] = "cosine_warmup_with_min_lr",
    [LR_POLYNOMIAL] = "polynomial",
    [LR_CONSTANT] = "constant",
    [LR_CONSTANT_WITH_WARMUP] = "constant_with_warmup",
    [LR_INVERSE_SQRT] = "inverse_sqrt",
    [LR_WARMUP_STABLE_DECAY] = "warmup_stable_decay",
};

enum option_form { FORM_REAL, FORM_COUNT, FORM_CURVE };

static const struct option {
    const char *name;
    enum option_form form;
    size_t offset;
    unsigned kinds;
    double min, max;
} options[] = {
    { "num_cycles", FORM_REAL, offsetof(struct lr_schedule, num_cycles),
      KIND(LR_COSINE) | KIND(LR_COSINE_WITH_RESTARTS) | KIND(LR_COSINE_WITH_MIN_LR) |
          KIND(LR_COSINE_WARMUP_WITH_MIN_LR) | KIND(LR_WARMUP_STABLE_DECAY),
      0, 1e9 },
    { "power", FORM_REAL, offsetof(struct lr_schedule, power), KIND(LR_POLYNOMIAL), 0, 1e3 },
    { "lr_end", FORM_REAL, offsetof(struct lr_schedule, lr_end), KIND(LR_POLYNOMIAL), 0, 1e9 },
    { "min_lr", FORM_REAL, offsetof(struct lr_schedule, min_lr),
      KIND(LR_COSINE_WITH_MIN_LR) | KIND(LR_COSINE_WARMUP_WITH_MIN_LR), 0, 1e9 },
    { "min_lr_rate", FORM_REAL, offsetof(struct lr_schedule, min_lr_rate),
      KIND(LR_COSINE_WITH_MIN_LR) | KIND(LR_COSINE_WARMUP_WITH_MIN_LR), 0, 1 },
    { "warmup_lr_rate", FORM_REAL, offsetof(struct lr_schedule, warmup_lr_rate),
      KIND(LR_COSINE_WARMUP_WITH_MIN_LR), 0, 1 },
    { "timescale", FORM_REAL, offsetof(struct lr_schedule, timescale), KIND(LR_INVERSE_SQRT), 1,
      1e15 },
    { "min_lr_ratio", FORM_REAL, offsetof(struct lr_schedule, min_lr_ratio),
      KIND(LR_WARMUP_STABLE_DECAY), 0, 1 },
    { "num_stable_steps", FORM_COUNT, offsetof(struct lr_schedule, num_stable_steps),
      KIND(LR_WARMUP_STABLE_DECAY), 0, 1e15 },
    { "num_decay_steps", FORM_COUNT, offsetof(struct lr_schedule, num_decay_steps),
      KIND(LR_WARMUP_STABLE_DECAY), 0, 1e15 },
    { "warmup_type", FORM_CURVE, offsetof(struct lr_schedule, warmup_type),
      KIND(LR_WARMUP_STABLE_DECAY), 0, 0 },
    { "decay_type", FORM_CURVE, offsetof(struct lr_schedule, decay_type),
      KIND(LR_WARMUP_STABLE_DECAY), 0, 0 },
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

int lr_schedule_init(struct lr_schedule *schedule, const char *type, double learning_rate,
                     struct error *err)
{
    int kind = 0;

    while (kind < LR_KIND_COUNT && strcmp(kind_names[kind], type) != 0)
        kind++;
    if (kind == LR_KIND_COUNT)
        return error_set(err,
                         "'lr_scheduler_type' is '%s'; give linear, cosine, cosine_with_restarts, "
                         "cosine_with_min_lr, cosine_warmup_with_min_lr, polynomial, constant, "
                         "constant_with_warmup, inverse_sqrt or warmup_stable_decay",
                         type);
    if (!(learning_rate >= 0) || isinf(learning_rate))
        return error_set(err, "'learning_rate' is %g; give a number of 0 or more", learning_rate);
    *schedule = (struct lr_schedule){
        .kind = (enum lr_schedule_kind)kind,
        .learning_rate = learning_rate,
        .num_cycles = kind == LR_COSINE_WITH_RESTARTS ? 1.0 : 0.5,
        .power = 1.0,
        .lr_end = 1e-7,
        .min_lr = NAN,
        .min_lr_rate = NAN,
        .warmup_lr_rate = NAN,
        .timescale = NAN,
        .min_lr_ratio = 0.0,
        .num_stable_steps = NOT_GIVEN,
        .num_decay_steps = NOT_GIVEN,
        .warmup_type = LR_CURVE_LINEAR,
        .decay_type = LR_CURVE_COSINE,
    };
    return 0;
}

static int set_curve(enum lr_curve *curve, const char *key, const char *value, struct error *err)
{
    if (strcmp(value, "linear") == 0)
        *curve = LR_CURVE_LINEAR;
    else if (strcmp(value, "cosine") == 0)
        *curve = LR_CURVE_COSINE;
    else if (strcmp(value, "1-sqrt") == 0)
        *curve = LR_CURVE_1_SQRT;
    else
        return error_set(err, "'lr_scheduler_kwargs.%s' is '%s'; give linear, cosine or 1-sqrt",
                         key, value);
    return 0;
}

static int parse_real(double *x, const struct option *option, const char *value, struct error *err)
{
    char *end;

    *x = strtod(value, &end);
    if (end == value || *end != '\0' || !(*x >= option->min && *x <= option->max))
        return error_set(err, "'lr_scheduler_kwargs.%s' is '%s'; give a number from %g to %g",
                         option->name, value, option->min, option->max);
    if (option->form == FORM_COUNT && *x != floor(*x))
        return error_set(err, "'lr_scheduler_kwargs.%s' is '%s'; give a whole number", option->name,
                         value);
    return 0;
}

int lr_schedule_option(struct lr_schedule *schedule, const char *key, const char *value,
                       struct error *err)
{
    const struct option *option = NULL;
    char *field;
    double x;

    if (schedule->kind == LR_CONSTANT || schedule->kind == LR_CONSTANT_WITH_WARMUP) {
        log_warn("'lr_scheduler_kwargs.%s' has no effect with '%s'", key,
                 kind_names[schedule->kind]);
        return 0;
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(options[i].name, key) == 0 && (options[i].kinds & KIND(schedule->kind)))
            option = &options[i];
    }
    if (!option)
        return error_set(err, "'lr_scheduler_kwargs.%s' is no option of '%s'", key,
                         kind_names[schedule->kind]);
    if (strcmp(value, "null") == 0)
        return 0;
    field = (char *)schedule + option->offset;
    if (option->form == FORM_CURVE)
        return set_curve((enum lr_curve *)(void *)field, key, value, err);
    if (parse_real(&x, option, value, err) < 0)
        return -1;
    if (option->form == FORM_COUNT)
        *(int64_t *)(void *)field = (int64_t)x;
    else
        *(double *)(void *)field = x;
    return 0;
}

/* min_lr or min_lr_rate, one of them. */
static int start_min_lr(struct lr_schedule *s, struct error *err)
{
    if (isnan(s->min_lr) == isnan(s->min_lr_rate))
        return error_set(err,
                         "'lr_scheduler_type: %s' needs one of 'min_lr' and 'min_lr_rate' in "
                         "'lr_scheduler_kwargs'",
                         kind_names[s->kind]);
    if (isnan(s->min_lr_rate))
        s->min_lr_rate = s->learning_rate > 0 ? s->min_lr / s->learning_rate : 0;
    return 0;
}

int lr_schedule_start(struct lr_schedule *s, int64_t warmup_steps, int64_t total_steps,
                      struct error *err)
{
    int64_t rest;

    if (warmup_steps < 0 || total_steps < 0 || warmup_steps > STEPS_MAX || total_steps > STEPS_MAX)
        return error_set(err, "a schedule of %lld steps with %lld of warmup is out of range",
                         (long long)total_steps, (long long)warmup_steps);
    s->warmup_steps = warmup_steps;
    s->total_steps = total_steps;
    if (s->kind == LR_COSINE_WITH_MIN_LR || s->kind == LR_COSINE_WARMUP_WITH_MIN_LR)
        return start_min_lr(s, err);
    if (s->kind == LR_POLYNOMIAL && !(s->learning_rate > s->lr_end))
        return error_set(err,
                         "'learning_rate' is %g; 'polynomial' needs more than its 'lr_end' of %g",
                         s->learning_rate, s->lr_end);
    if (s->kind == LR_INVERSE_SQRT && isnan(s->timescale))
        s->timescale = warmup_steps > 0 ? (double)warmup_steps : 10000.0;
    rest = total_steps > warmup_steps ? total_steps - warmup_steps : 0;
    if (s->num_stable_steps == NOT_GIVEN)
        s->num_stable_steps = rest / 3;
    if (s->num_decay_steps == NOT_GIVEN)
        s->num_decay_steps = rest - rest / 3;
    return 0;
}

static double at_least_1(double x)
{
    return x > 1.0 ? x : 1.0;
}

static double not_negative(double x)
{
    return x > 0.0 ? x : 0.0;
}

static double cosine(double cycles, double progress)
{
    return 0.5 * (1.0 + cos(PI * cycles * 2.0 * progress));
}

static double polynomial(const struct lr_schedule *s, double k)
{
    double range = s->learning_rate - s->lr_end;
    double steps = (double)(s->total_steps - s->warmup_steps);
    double left = steps > 0 ? 1 - (k - (double)s->warmup_steps) / steps : 0;

    if (k > (double)s->total_steps)
        return s->lr_end / s->learning_rate;
    return (range * pow(left, s->power) + s->lr_end) / s->learning_rate;
}

/* Cosine to a floor whose warmup ends, and whose decay begins, one step earlier than others'. */
static double cosine_warmup_min(const struct lr_schedule *s, double k)
{
    double W = (double)s->warmup_steps;
    double progress;

    if (k < W && isnan(s->warmup_lr_rate))
        return (k + 1.0) / at_least_1(W);
    if (k < W)
        return s->warmup_lr_rate + (1.0 - s->warmup_lr_rate) * k / at_least_1(W - 1);
    progress = (k - W + 1.0) / at_least_1((double)s->total_steps - W);
    return not_negative(cosine(s->num_cycles, progress) * (1 - s->min_lr_rate) + s->min_lr_rate);
}

static double rise(enum lr_curve curve, double progress)
{
    if (curve == LR_CURVE_COSINE)
        return 0.5 * (1.0 - cos(PI * progress));
    return curve == LR_CURVE_LINEAR ? progress : 1.0 - sqrt(1.0 - progress);
}

static double fall(enum lr_curve curve, double cycles, double progress)
{
    if (curve == LR_CURVE_COSINE)
        return cosine(cycles, progress);
    return curve == LR_CURVE_LINEAR ? 1.0 - progress : 1.0 - sqrt(progress);
}

static double warmup_stable_decay(const struct lr_schedule *s, double k)
{
    double W = (double)s->warmup_steps;
    double stable = (double)s->num_stable_steps, decay = (double)s->num_decay_steps;
    double factor;

    if (k < W)
        factor = rise(s->warmup_type, k / at_least_1(W));
    else if (k < W + stable)
        return 1.0;
    else if (k < W + stable + decay)
        factor = fall(s->decay_type, s->num_cycles, (k - W - stable) / at_least_1(decay));
    else
        return s->min_lr_ratio;
    return not_negative(factor * (1.0 - s->min_lr_ratio) + s->min_lr_ratio);
}

/* f(k) at or after the warmup, for the kinds that share one. */
static double after_warmup(const struct lr_schedule *s, double k)
{
    double W = (double)s->warmup_steps, T = (double)s->total_steps;
    double progress = (k - W) / at_least_1(T - W);

    switch (s->kind) {
    case LR_LINEAR:
        return not_negative((T - k) / at_least_1(T - W));
    case LR_COSINE:
        return not_negative(cosine(s->num_cycles, progress));
    case LR_COSINE_WITH_RESTARTS:
        if (progress >= 1.0)
            return 0.0;
        return not_negative(0.5 * (1.0 + cos(PI * fmod(s->num_cycles * progress, 1.0))));
    case LR_COSINE_WITH_MIN_LR:
        return not_negative(cosine(s->num_cycles, progress) * (1 - s->min_lr_rate) +
                            s->min_lr_rate);
    case LR_POLYNOMIAL:
        return polynomial(s, k);
    case LR_INVERSE_SQRT:
        return 1.0 / sqrt((k + (s->timescale - W)) / s->timescale);
    default:
        return 1.0;
    }
}

double lr_schedule_rate(const struct lr_schedule *s, int64_t done)
{
    double k = (double)done;
    double factor;

    if (s->kind == LR_CONSTANT)
        factor = 1.0;
    else if (s->kind == LR_COSINE_WARMUP_WITH_MIN_LR)
        factor = cosine_warmup_min(s, k);
    else if (s->kind == LR_WARMUP_STABLE_DECAY)
        factor = warmup_stable_decay(s, k);
    else if (done < s->warmup_steps)
        factor = k / at_least_1((double)s->warmup_steps);
    else
        factor = after_warmup(s, k);
    return s->learning_rate * factor;
}

int64_t lr_warmup_steps(double warmup_steps, double warmup_ratio, int64_t total_steps)
{
    if (warmup_steps >= 1)
        return (int64_t)warmup_steps;
    if (warmup_steps > 0)
        return (int64_t)ceil((double)total_steps * warmup_steps);
    return warmup_ratio > 0 ? (int64_t)ceil((double)total_steps * warmup_ratio) : 0;
}
