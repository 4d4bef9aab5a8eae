/*
 * lora/adapter_file.c: PEFT's adapter folders, read and written.
 *
 * The tensors of a module are base_model.model.<name>.lora_A.weight [R,C] and
 * base_model.model.<name>.lora_B.weight [O,R].
 */
#include "lora/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "format/safetensors.h"
#include "lora_internal.h"

#define PREFIX   "base_model.model."
#define A_SUFFIX ".lora_A.weight"
#define B_SUFFIX ".lora_B.weight"

/* The module's tensor name in a new string. */
static char *tensor_name(const char *module, const char *suffix, struct error *err)
{
    size_t len = strlen(PREFIX) + strlen(module) + strlen(suffix) + 1;
    char *name = mem_alloc(len, 1, err);

    if (name)
        (void)snprintf(name, len, PREFIX "%s%s", module, suffix);
    return name;
}

/* 1 when the file has the module's A, 0 when not, -1 when out of memory. */
static int has_module(const struct safetensors *st, const char *module, struct error *err)
{
    char *name = tensor_name(module, A_SUFFIX, err);
    int there = -1;

    if (name)
        there = safetensors_find(st, name) != NULL;
    free(name);
    return there;
}

static int is_target(const struct adapter *adapter, const char *module)
{
    for (int t = 0; t < adapter->target_count; t++) {
        if (target_matches(module, adapter->targets[t]))
            return 1;
    }
    return 0;
}

/*
 * A module is chosen when a target names it; without a list of targets (a pattern,
 * or nothing, in adapter_config.json) when the file has its tensors.
 */
static int choose(struct adapter *adapter, const struct safetensors *st,
                  const struct lora_linear *linears, char *chosen, int n, struct error *err)
{
    const int by_name = adapter->target_count > 0;
    size_t cap = 0;

    for (int i = 0; i < n; i++) {
        int there =
            by_name ? is_target(adapter, linears[i].name) : has_module(st, linears[i].name, err);

        if (there < 0)
            return -1;
        chosen[i] = (char)there;
        if (there && !by_name && !adapter->target_pattern &&
            adapter_add_target(adapter, linears[i].name, &cap, err) < 0)
            return -1;
    }
    adapter_sort_targets(adapter);
    return 0;
}

static int read_matrix(float *out, const struct safetensors *st, const char *module,
                       const char *suffix, int rows, int columns, struct error *err)
{
    const size_t shape[2] = { (size_t)rows, (size_t)columns };
    char *name = tensor_name(module, suffix, err);
    const struct safetensors_tensor *t = NULL;

    if (name)
        t = safetensors_need(st, name, 2, shape, err);
    free(name);
    if (!t)
        return -1;
    dtype_widen(out, t->data, (enum dtype)t->dtype, t->count);
    return 0;
}

static int read_modules(struct adapter *adapter, const struct safetensors *st, struct error *err)
{
    for (int m = 0; m < adapter->count; m++) {
        const struct lora_module *module = &adapter->modules[m];

        if (read_matrix(adapter->params + module->a_offset, st, module->name, A_SUFFIX, adapter->R,
                        module->C, err) < 0 ||
            read_matrix(adapter->params + module->b_offset, st, module->name, B_SUFFIX, module->O,
                        adapter->R, err) < 0)
            return -1;
    }
    return 0;
}

/* True when the tensor's name is that of A or B of an adapted module. */
static int is_ours(const struct adapter *adapter, const char *name)
{
    size_t len = strlen(name), prefix = strlen(PREFIX), suffix = strlen(A_SUFFIX);

    if (len <= prefix + suffix || strncmp(name, PREFIX, prefix) != 0 ||
        (strcmp(name + len - suffix, A_SUFFIX) != 0 && strcmp(name + len - suffix, B_SUFFIX) != 0))
        return 0;
    for (int m = 0; m < adapter->count; m++) {
        const char *module = adapter->modules[m].name;

        if (strlen(module) == len - prefix - suffix &&
            strncmp(name + prefix, module, len - prefix - suffix) == 0)
            return 1;
    }
    return 0;
}

static int check_no_more(const struct adapter *adapter, const struct safetensors *st,
                         struct error *err)
{
    if (st->count == 2 * (size_t)adapter->count)
        return 0;
    for (size_t i = 0; i < st->count; i++) {
        if (!is_ours(adapter, st->tensors[i].name))
            return error_set(err, "'%s': tensor '%s' belongs to no adapted module of this model",
                             st->paths[0], st->tensors[i].name);
    }
    return 0;
}

static int load_tensors(struct adapter *adapter, const char *path,
                        const struct lora_linear *linears, int n, struct error *err)
{
    struct safetensors st = { 0 };
    char *chosen = mem_alloc((size_t)n, 1, err);
    int rc = -1;

    if (!chosen || safetensors_open(&st, path, err) < 0)
        goto out;
    if (choose(adapter, &st, linears, chosen, n, err) < 0 ||
        adapter_lay_out(adapter, linears, chosen, n, err) < 0)
        goto out;
    if (adapter->count == 0) {
        (void)error_set(err, "'%s': the model has none of the adapter's modules", path);
        goto out;
    }
    if (read_modules(adapter, &st, err) < 0)
        goto out;
    rc = check_no_more(adapter, &st, err);
out:
    safetensors_close(&st);
    free(chosen);
    return rc;
}

static int say_no_adapter(const char *folder, struct error *err)
{
    char *old = path_join(folder, "adapter_model.bin", err);
    int is_old = old && file_exists(old);

    free(old);
    if (is_old)
        return error_set(err,
                         "'%s' has adapter_model.bin only; load it with PEFT and save it again as "
                         "safetensors",
                         folder);
    return error_set(err,
                     "'%s' is no adapter: it needs " ADAPTER_CONFIG_FILE " and " ADAPTER_MODEL_FILE,
                     folder);
}

int adapter_load(struct adapter *adapter, const char *folder, const struct lora_linear *linears,
                 int n, struct error *err)
{
    char *config = path_join(folder, ADAPTER_CONFIG_FILE, err);
    char *model = path_join(folder, ADAPTER_MODEL_FILE, err);
    int rc = -1;

    *adapter = (struct adapter){ 0 };
    if (!config || !model)
        goto out;
    if (!file_exists(config) || !file_exists(model))
        rc = say_no_adapter(folder, err);
    else if (adapter_config_read(adapter, config, err) == 0)
        rc = load_tensors(adapter, model, linears, n, err);
out:
    if (rc < 0)
        adapter_close(adapter);
    free(config);
    free(model);
    return rc;
}

/* Fills in the 2 * count tensors to write; their names are freed by the caller. */
static int list_tensors(const struct adapter *adapter, const float *params,
                        struct safetensors_out *out, struct error *err)
{
    for (int m = 0; m < adapter->count; m++) {
        const struct lora_module *module = &adapter->modules[m];
        size_t R = (size_t)adapter->R;

        out[2 * m] = (struct safetensors_out){
            .name = tensor_name(module->name, A_SUFFIX, err),
            .dims = 2,
            .shape = { R, (size_t)module->C },
            .data = params + module->a_offset,
        };
        out[2 * m + 1] = (struct safetensors_out){
            .name = tensor_name(module->name, B_SUFFIX, err),
            .dims = 2,
            .shape = { (size_t)module->O, R },
            .data = params + module->b_offset,
        };
        if (!out[2 * m].name || !out[2 * m + 1].name)
            return -1;
    }
    return 0;
}

static int save_tensors(const struct adapter *adapter, const float *params, const char *path,
                        struct error *err)
{
    size_t count = 2 * (size_t)adapter->count;
    struct safetensors_out *out = mem_alloc(count, sizeof(*out), err);
    int rc = -1;

    if (!out)
        return -1;
    if (list_tensors(adapter, params, out, err) == 0)
        rc = safetensors_write(path, out, count, err);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)out[i].name);
    free(out);
    return rc;
}

int adapter_save(const struct adapter *adapter, const float *params, const char *folder,
                 const char *base_model, struct error *err)
{
    char *config = path_join(folder, ADAPTER_CONFIG_FILE, err);
    char *model = path_join(folder, ADAPTER_MODEL_FILE, err);
    int rc = -1;

    if (!config || !model || folder_make(folder, err) < 0)
        goto out;
    if (save_tensors(adapter, params ? params : adapter->params, model, err) < 0)
        goto out;
    rc = adapter_config_write(adapter, config, base_model, err);
out:
    free(config);
    free(model);
    return rc;
}
