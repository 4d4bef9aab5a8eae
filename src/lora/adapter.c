/*
 * lora/adapter.c: a new adapter: which modules, which numbers.
 */
#include "lora/adapter.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/strbuf.h"
#include "lora_internal.h"

#define HEAD_NAME    "lm_head"
#define INIT_PURPOSE 0x41726F4CU // in the counter: keeps these numbers apart from dropout's
#define WORDS        4           // of one call of the generator

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? dot + 1 : name;
}

int target_matches(const char *name, const char *target)
{
    size_t len = strlen(name), target_len = strlen(target);

    if (target_len == 0 || len < target_len || strcmp(name + len - target_len, target) != 0)
        return 0;
    return len == target_len || name[len - target_len - 1] == '.';
}

int adapter_set_numbers(struct adapter *adapter, int64_t R, double alpha, double dropout,
                        int use_rslora, const char *where, struct error *err)
{
    if (R < 1 || R > LORA_RANK_MAX)
        return error_set(err, "%s: the adapter's rank is %lld; give 1 to %d", where, (long long)R,
                         LORA_RANK_MAX);
    if (alpha == 0)
        alpha = 2.0 * (double)R;
    if (!(alpha > 0 && alpha <= 1e9))
        return error_set(err, "%s: 'lora_alpha' is %g; give a number above 0", where, alpha);
    if (!(dropout >= 0 && dropout < 1))
        return error_set(err, "%s: 'lora_dropout' is %g; give 0 or more and less than 1", where,
                         dropout);
    adapter->R = (int)R;
    adapter->use_rslora = use_rslora != 0;
    adapter->alpha_exact = alpha;
    adapter->dropout_exact = dropout;
    adapter->alpha = (float)alpha;
    adapter->dropout = (float)dropout;
    adapter->scale = (float)(alpha / (use_rslora ? sqrt((double)R) : (double)R));
    return 0;
}

int adapter_add_target(struct adapter *adapter, const char *target, size_t *cap, struct error *err)
{
    char *copy;

    if (mem_grow(&adapter->targets, cap, (size_t)adapter->target_count + 1,
                 sizeof(*adapter->targets), err) < 0)
        return -1;
    copy = mem_strdup(target, err);
    if (!copy)
        return -1;
    adapter->targets[adapter->target_count++] = copy;
    return 0;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void adapter_sort_targets(struct adapter *adapter)
{
    int kept = 0;

    if (adapter->target_count == 0)
        return;
    qsort(adapter->targets, (size_t)adapter->target_count, sizeof(*adapter->targets),
          compare_texts);
    for (int i = 0; i < adapter->target_count; i++) {
        if (kept > 0 && strcmp(adapter->targets[kept - 1], adapter->targets[i]) == 0)
            free(adapter->targets[i]);
        else
            adapter->targets[kept++] = adapter->targets[i];
    }
    adapter->target_count = kept;
}

int adapter_lay_out(struct adapter *adapter, const struct lora_linear *linears, const char *chosen,
                    int n, struct error *err)
{
    size_t at = 0;
    size_t R = (size_t)adapter->R;

    adapter->modules = mem_alloc((size_t)n, sizeof(*adapter->modules), err);
    if (!adapter->modules)
        return -1;
    for (int i = 0; i < n; i++) {
        struct lora_module *m = &adapter->modules[adapter->count];
        size_t C = (size_t)linears[i].C, O = (size_t)linears[i].O;

        if (!chosen[i])
            continue;
        *m = (struct lora_module){ .C = linears[i].C, .O = linears[i].O, .linear = i };
        m->a_offset = at;
        m->b_offset = size_add(at, size_mul(R, C));
        at = size_add(m->b_offset, size_mul(O, R));
        m->name = mem_strdup(linears[i].name, err);
        if (!m->name)
            return -1;
        adapter->count++;
    }
    adapter->param_count = at;
    adapter->params = mem_alloc(at, sizeof(*adapter->params), err);
    return adapter->params ? 0 : -1;
}

/* The last parts of the names of all linear modules, each once, for a message. */
static int say_unmatched(const char *target, const struct lora_linear *linears, int n,
                         struct error *err)
{
    struct adapter names = { 0 };
    struct strbuf list = { 0 };
    size_t cap = 0;

    for (int i = 0; i < n; i++)
        (void)adapter_add_target(&names, last_part(linears[i].name), &cap, err);
    adapter_sort_targets(&names);
    for (int i = 0; i < names.target_count; i++)
        strbuf_printf(&list, "%s%s", i > 0 ? ", " : "", names.targets[i]);
    (void)error_set(err, "'lora_target': no linear module is called '%s'; there are: %s", target,
                    strbuf_text(&list));
    strbuf_release(&list);
    adapter_close(&names);
    return -1;
}

/* "all": the last parts of all names but the head's. */
static int add_all(struct adapter *adapter, const struct lora_linear *linears, int n,
                   struct error *err)
{
    size_t cap = 0;

    for (int i = 0; i < n; i++) {
        if (!strstr(linears[i].name, HEAD_NAME) &&
            adapter_add_target(adapter, last_part(linears[i].name), &cap, err) < 0)
            return -1;
    }
    return 0;
}

static int add_named(struct adapter *adapter, const struct lora_params *params,
                     const struct lora_linear *linears, int n, struct error *err)
{
    size_t cap = 0;

    for (int t = 0; t < params->target_count; t++) {
        int i = 0;

        while (i < n && !target_matches(linears[i].name, params->targets[t]))
            i++;
        if (i == n)
            return say_unmatched(params->targets[t], linears, n, err);
        if (adapter_add_target(adapter, params->targets[t], &cap, err) < 0)
            return -1;
    }
    return 0;
}

static void init_a(float *a, size_t count, int C, uint64_t seed, uint32_t linear)
{
    const float bound = (float)(1.0 / sqrt((double)C));

    for (size_t i = 0; i < count; i += WORDS) {
        uint64_t block = i / WORDS;
        const uint32_t counter[4] = { (uint32_t)block, (uint32_t)(block >> 32), linear,
                                      INIT_PURPOSE };
        uint32_t word[WORDS];

        rng_philox(word, seed, counter);
        for (size_t k = 0; k < WORDS && i + k < count; k++)
            a[i + k] = (2.0F * rng_unit(word[k]) - 1.0F) * bound;
    }
}

/* chosen[i] = 1 for the linears that a target names. */
static void choose(const struct adapter *adapter, const struct lora_linear *linears, char *chosen,
                   int n)
{
    for (int i = 0; i < n; i++) {
        for (int t = 0; t < adapter->target_count && !chosen[i]; t++)
            chosen[i] = (char)target_matches(linears[i].name, adapter->targets[t]);
    }
}

static int open_new(struct adapter *adapter, const struct lora_params *params,
                    const struct lora_linear *linears, char *chosen, int n, struct error *err)
{
    int all = params->target_count == 1 && strcmp(params->targets[0], "all") == 0;

    if (adapter_set_numbers(adapter, params->lora_rank, params->lora_alpha, params->lora_dropout,
                            params->use_rslora, "'lora_rank'", err) < 0)
        return -1;
    if ((all ? add_all(adapter, linears, n, err) : add_named(adapter, params, linears, n, err)) < 0)
        return -1;
    if (adapter->target_count == 0)
        return error_set(err, "'lora_target' names no module; give names or all");
    adapter_sort_targets(adapter);
    choose(adapter, linears, chosen, n);
    if (adapter_lay_out(adapter, linears, chosen, n, err) < 0)
        return -1;
    for (int m = 0; m < adapter->count; m++) {
        const struct lora_module *module = &adapter->modules[m];

        init_a(adapter->params + module->a_offset, (size_t)adapter->R * (size_t)module->C,
               module->C, params->seed, (uint32_t)module->linear);
    }
    return 0;
}

int adapter_open(struct adapter *adapter, const struct lora_params *params,
                 const struct lora_linear *linears, int n, struct error *err)
{
    char *chosen = mem_alloc((size_t)n, 1, err);
    int rc = -1;

    *adapter = (struct adapter){ 0 };
    if (chosen)
        rc = open_new(adapter, params, linears, chosen, n, err);
    if (rc < 0)
        adapter_close(adapter);
    free(chosen);
    return rc;
}

int adapter_find(const struct adapter *adapter, const char *name)
{
    for (int m = 0; m < adapter->count; m++) {
        if (strcmp(adapter->modules[m].name, name) == 0)
            return m;
    }
    return -1;
}

void adapter_close(struct adapter *adapter)
{
    for (int m = 0; m < adapter->count; m++)
        free(adapter->modules[m].name);
    for (int t = 0; t < adapter->target_count; t++)
        free(adapter->targets[t]);
    free(adapter->modules);
    free(adapter->targets);
    free(adapter->target_pattern);
    free(adapter->params);
    *adapter = (struct adapter){ 0 };
}
