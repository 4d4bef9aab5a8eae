/*
 * keys.c: finding a key, or what its writer may have meant.
 */
#include "config/keys.h"

#include <string.h>

#include "base/edit_distance.h"
#include "keys_internal.h"

static const struct key_table *const tables[] = {
    &keys_model, &keys_data,       &keys_method, &keys_training,
    &keys_ours,  &keys_generation, &keys_vendor, &keys_old,
};

#define TABLE_COUNT (int)(sizeof(tables) / sizeof(tables[0]))

/* Keys of older versions and of neighbours, and what to write for them. */
static const char *const renamed[][2] = {
    { "cache_path", "tokenized_path" },
    { "evaluation_strategy", "eval_strategy" },
    { "image_resolution", "image_max_pixels (an area, not a side)" },
    { "video_resolution", "video_max_pixels (an area, not a side)" },
    { "train_mm_proj_only", "freeze_language_model and freeze_multi_modal_projector" },
    { "visual_inputs", "nothing: media are found by the rows" },
    { "checkpoint_dir", "adapter_name_or_path" },
    { "resume_lora_training", "create_new_adapter (with the opposite value)" },
    { "sft_packing", "packing" },
    { "efficient_packing", "neat_packing" },
    { "max_source_length", "cutoff_len" },
    { "max_target_length", "cutoff_len" },
    { "max_seq_length", "cutoff_len" },
    { "max_seq_len", "cutoff_len" },
    { "reserved_label_len", "cutoff_len" },
    { "num_layer_trainable", "freeze_trainable_layers" },
    { "name_module_trainable", "freeze_trainable_modules" },
    { "dpo_beta", "pref_beta" },
    { "orpo_beta", "pref_beta" },
    { "dpo_loss", "pref_loss" },
    { "dpo_ftx", "pref_ftx" },
    { "prompt_template", "template" },
    { "system_prompt", "default_system" },
    { "use_fast", "use_fast_tokenizer" },
    { "lora_r", "lora_rank" },
    { "target_modules", "lora_target" },
    { "max_memory", "memory_budget" },
    { "batch_size", "per_device_train_batch_size" },
    { "num_threads", "threads_per_rank" },
    { "warmup", "warmup_steps" },
    { "lr", "learning_rate" },
    { "epochs", "num_train_epochs" },
    { "model", "model_name_or_path" },
};

int config_key_count(void)
{
    int i, n = 0;

    for (i = 0; i < TABLE_COUNT; i++)
        n += tables[i]->count;
    return n;
}

const struct config_key *config_key_at(int i)
{
    int t;

    for (t = 0; t < TABLE_COUNT; t++) {
        if (i < tables[t]->count)
            return i < 0 ? NULL : &tables[t]->rows[i];
        i -= tables[t]->count;
    }
    return NULL;
}

const struct config_key *config_key_find(const char *name)
{
    int t, i;

    for (t = 0; t < TABLE_COUNT; t++)
        for (i = 0; i < tables[t]->count; i++)
            if (strcmp(tables[t]->rows[i].name, name) == 0)
                return &tables[t]->rows[i];
    return NULL;
}

const char *config_key_nearest(const char *name)
{
    const struct config_key *key;
    const char *best = NULL;
    int nearest = (int)strlen(name) / 3 + 1, distance, i;

    if (strlen(name) > EDIT_DISTANCE_MAX)
        return NULL;
    for (i = 0; (key = config_key_at(i)); i++) {
        if (strlen(key->name) > EDIT_DISTANCE_MAX)
            continue;
        distance = edit_distance(name, key->name);
        if (distance < nearest) {
            nearest = distance;
            best = key->name;
        }
    }
    return best;
}

const char *config_key_renamed(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(renamed) / sizeof(renamed[0]); i++)
        if (strcmp(renamed[i][0], name) == 0)
            return renamed[i][1];
    return NULL;
}

static int has_null(const struct config_key *key)
{
    return (key->flags & KEY_NULLABLE) || strcmp(key->fallback, "null") == 0;
}

const char *config_key_type_name(const struct config_key *key)
{
    static const char *const names[][2] = {
        [KEY_BOOL] = { "bool", "bool or null" },
        [KEY_INT] = { "int", "int or null" },
        [KEY_FLOAT] = { "float", "float or null" },
        [KEY_STEPS] = { "steps", "steps or null" },
        [KEY_TEXT] = { "text", "text or null" },
        [KEY_CHOICE] = { "choice", "choice or null" },
        [KEY_LIST] = { "list", "list or null" },
        [KEY_MAP] = { "mapping", "mapping or null" },
        [KEY_BYTES] = { "bytes", "bytes or null" },
        [KEY_SECONDS] = { "time", "time or null" },
        [KEY_ANY] = { "any", "any" },
    };

    return names[key->type][has_null(key)];
}

const char *config_key_standing_name(const struct config_key *key)
{
    static const char *const names[] = {
        [KEY_WORKS] = "works",
        [KEY_NO_EFFECT] = "no effect here",
        [KEY_REFUSED] = "not supported",
    };

    return names[key->standing];
}

const char *config_key_group_name(enum key_group group)
{
    static const char *const names[KEYS_GROUP_COUNT] = {
        [KEYS_MODEL] = "Model",
        [KEYS_DATA] = "Data",
        [KEYS_METHOD] = "Method",
        [KEYS_TRAINING] = "Training",
        [KEYS_OURS] = "Of lowrank alone",
        [KEYS_GENERATION] = "Generation and export",
        [KEYS_VENDOR] = "Other engines and services",
        [KEYS_OLD] = "Older versions",
    };

    return names[group];
}
