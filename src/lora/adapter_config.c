/*
 * lora/adapter_config.c: PEFT's adapter_config.json.
 *
 * Reading takes PEFT's defaults for keys that are not there. A key that changes
 * the result and that lowrank does not compute must be unset; keys unknown
 * to this file are passed over, as PEFT does with a warning.
 */
#include "lora_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "format/json.h"

#define PEFT_VERSION  "0.18.1"
#define DEFAULT_R     8
#define DEFAULT_ALPHA 8.0

/* Settings that must be absent, null, false, "none" or empty. */
static const char *const must_be_unset[] = {
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "bias",
    "exclude_modules",
    "fan_in_fan_out",
    "layer_replication",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_bias",
    "megatron_config",
    "modules_to_save",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_dora",
    "use_qalora",
};

static int is_unset(const json_t *value)
{
    const char *text = json_string_value(value);

    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (text && strcmp(text, "none") == 0);
}

/* Ways of starting an adapter that leave the base model as it is. */
static int init_is_plain(const json_t *value)
{
    const char *text = json_string_value(value);

    return !value || json_is_null(value) || json_is_boolean(value) ||
           (text && (strcmp(text, "gaussian") == 0 || strcmp(text, "eva") == 0 ||
                     strcmp(text, "orthogonal") == 0));
}

static int check_kind(const json_t *root, const char *path, struct error *err)
{
    const char *kind = "";

    if (json_get_string(root, "peft_type", &kind, err) < 0)
        return error_wrap(err, "'%s'", path);
    if (strcmp(kind, "LORA") != 0)
        return error_set(err, "'%s': 'peft_type' is '%s'; lowrank goes on from LORA only", path,
                         kind);
    for (size_t i = 0; i < sizeof(must_be_unset) / sizeof(must_be_unset[0]); i++) {
        if (!is_unset(json_object_get(root, must_be_unset[i])))
            return error_set(err, "'%s': '%s' is set; lowrank does not support it", path,
                             must_be_unset[i]);
    }
    if (!init_is_plain(json_object_get(root, "init_lora_weights")))
        return error_set(err,
                         "'%s': 'init_lora_weights' is one that changed the base model; convert "
                         "the adapter to plain LoRA first",
                         path);
    return 0;
}

static int read_numbers(struct adapter *adapter, const json_t *root, const char *path,
                        struct error *err)
{
    int64_t R = DEFAULT_R;
    double alpha = DEFAULT_ALPHA, dropout = 0;
    int use_rslora = 0;

    if (json_get_int(root, "r", &R, 1, LORA_RANK_MAX, err) < 0 ||
        json_get_double(root, "lora_alpha", &alpha, err) < 0 ||
        json_get_double(root, "lora_dropout", &dropout, err) < 0 ||
        json_get_bool(root, "use_rslora", &use_rslora, err) < 0)
        return error_wrap(err, "'%s'", path);
    if (!(alpha > 0))
        return error_set(err, "'%s': 'lora_alpha' is %g; it must be above 0", path, alpha);
    return adapter_set_numbers(adapter, R, alpha, dropout, use_rslora, path, err);
}

/* A list of names, a pattern, or nothing. */
static int read_targets(struct adapter *adapter, const json_t *root, const char *path,
                        struct error *err)
{
    const json_t *targets = json_object_get(root, "target_modules");
    size_t cap = 0;

    if (!targets || json_is_null(targets))
        return 0;
    if (json_is_string(targets)) {
        adapter->target_pattern = mem_strdup(json_string_value(targets), err);
        return adapter->target_pattern ? 0 : -1;
    }
    if (!json_is_array(targets) || json_array_size(targets) > 1000000)
        return error_set(err, "'%s': 'target_modules' is no list of names", path);
    for (size_t i = 0; i < json_array_size(targets); i++) {
        const char *name = json_string_value(json_array_get(targets, i));

        if (!name)
            return error_set(err, "'%s': 'target_modules' is no list of names", path);
        if (adapter_add_target(adapter, name, &cap, err) < 0)
            return -1;
    }
    adapter_sort_targets(adapter);
    return 0;
}

int adapter_config_parse(struct adapter *adapter, const char *text, size_t len, const char *path,
                         struct error *err)
{
    json_t *root = json_parse_text(text, len, path, err);
    int rc = -1;

    if (!root)
        return -1;
    if (!json_is_object(root))
        (void)error_set(err, "'%s' is no object", path);
    else if (check_kind(root, path, err) == 0 && read_numbers(adapter, root, path, err) == 0)
        rc = read_targets(adapter, root, path, err);
    json_decref(root);
    return rc;
}

int adapter_config_read(struct adapter *adapter, const char *path, struct error *err)
{
    char *text = NULL;
    size_t len;
    int rc;

    if (file_read(path, &text, &len, err) < 0)
        return -1;
    rc = adapter_config_parse(adapter, text, len, path, err);
    free(text);
    return rc;
}

/* A whole number as PEFT's int, any other as a float. */
static json_t *number(double x)
{
    return x == (double)(json_int_t)x ? json_integer((json_int_t)x) : json_real(x);
}

static json_t *targets_json(const struct adapter *adapter)
{
    json_t *list;

    if (adapter->target_pattern)
        return json_string(adapter->target_pattern);
    list = json_array();
    for (int t = 0; t < adapter->target_count; t++)
        (void)json_array_append_new(list, json_string(adapter->targets[t]));
    return list;
}

static json_t *config_json(const struct adapter *adapter, const char *base_model)
{
    const struct {
        const char *key;
        json_t *value;
    } entries[] = {
        { "alora_invocation_tokens", json_null() },
        { "alpha_pattern", json_object() },
        { "arrow_config", json_null() },
        { "auto_mapping", json_null() },
        { "base_model_name_or_path", base_model ? json_string(base_model) : json_null() },
        { "bias", json_string("none") },
        { "corda_config", json_null() },
        { "ensure_weight_tying", json_false() },
        { "eva_config", json_null() },
        { "exclude_modules", json_null() },
        { "fan_in_fan_out", json_false() },
        { "inference_mode", json_true() },
        { "init_lora_weights", json_true() },
        { "layer_replication", json_null() },
        { "layers_pattern", json_null() },
        { "layers_to_transform", json_null() },
        { "loftq_config", json_object() },
        { "lora_alpha", number(adapter->alpha_exact) },
        { "lora_bias", json_false() },
        { "lora_dropout", json_real(adapter->dropout_exact) },
        { "megatron_config", json_null() },
        { "megatron_core", json_string("megatron.core") },
        { "modules_to_save", json_null() },
        { "peft_type", json_string("LORA") },
        { "peft_version", json_string(PEFT_VERSION) },
        { "qalora_group_size", json_integer(16) },
        { "r", json_integer(adapter->R) },
        { "rank_pattern", json_object() },
        { "revision", json_null() },
        { "target_modules", targets_json(adapter) },
        { "target_parameters", json_null() },
        { "task_type", json_string("CAUSAL_LM") },
        { "trainable_token_indices", json_null() },
        { "use_dora", json_false() },
        { "use_qalora", json_false() },
        { "use_rslora", json_boolean(adapter->use_rslora) },
    };
    json_t *root = json_object();
    int rc = 0;

    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        rc |= json_object_set_new(root, entries[i].key, entries[i].value);
    if (rc == 0)
        return root;
    json_decref(root);
    return NULL;
}

int adapter_config_write(const struct adapter *adapter, const char *path, const char *base_model,
                         struct error *err)
{
    json_t *root = config_json(adapter, base_model);
    struct strbuf out = { 0 };
    int rc = -1;

    if (!root)
        return error_set(err, "cannot write '%s': out of memory, or a name that is not UTF-8",
                         path);
    json_dump_python_indent(&out, root, 1, 2);
    if (strbuf_check(&out, err) == 0)
        rc = file_write(path, out.text, out.len, err);
    strbuf_release(&out);
    json_decref(root);
    return rc;
}
