/*
 * config/config.h: the configuration of a run.
 *
 * One YAML file as LLaMA-Factory 0.9 reads it, and key=value pairs of the
 * command line merged over it, become one struct with a field for each key
 * that has a meaning here, named as the key. config/keys.h holds the table of
 * all known keys with type, default, limits, standing and meaning; nothing
 * else knows a default.
 *
 *     rank 0:   config_pack(&pack, "run.yaml", text, len, overrides, n, &err);
 *               broadcast pack.text, pack.len bytes
 *     all:      config_unpack(&cfg, bytes, len, &err);
 *     rank 0:   config_log_notes(&cfg);
 *
 * A pack holds the file, the pairs and those environment variables of rank 0
 * that reading it can ask for, so unpacking is a pure function of its bytes.
 * config_parse() does both at once, for one process.
 *
 * What YAML means is what PyYAML and OmegaConf take it for (YAML 1.1: yes, no,
 * on and off are booleans, 1_000 is an int, 1e-4 a float), with `${key}`,
 * `${oc.env:NAME}`, `${oc.env:NAME,default}` and `${oc.decode:...}` replaced.
 * Stricter than LLaMA-Factory: keys that occur twice, values of another type
 * than the key's, values outside its limits, and keys that would change the
 * result and are not supported are errors that name the line. Kinder: quoted
 * numbers and booleans are taken as what they spell, a comma list may be a
 * YAML list. Anchors, aliases, tags and merge keys are refused.
 *
 * Everything here is local, prints nothing (but config_log_notes) and leaves
 * nothing behind on failure.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

#define CONFIG_FILE_MAX  (1 << 20) // bytes of a configuration file
#define CONFIG_DEPTH_MAX 16        // nested mappings and lists
#define CONFIG_NODES_MAX 20000     // keys and values

/* A list of strings; items is NULL when n is 0. */
struct config_list {
    char **items;
    int n;
};

/* A mapping of names to scalars: lr_scheduler_kwargs. value: "0.1", "cosine", "null", "true". */
struct config_entry {
    char *key, *value;
};

struct config_map {
    struct config_entry *entries;
    int n;
};

/*
 * Unless said otherwise: a char * is NULL for null, a list is empty for null,
 * a boolean is 0 or 1. "steps" fields are doubles as in HF: 1 or more is a
 * number of steps, below 1 a share of all steps (config_steps()).
 * A char * with a fixed choice of values holds the canonical spelling.
 */
struct config {
    /* model */
    char *model_name_or_path; // never NULL
    struct config_list adapter_name_or_path;
    char *adapter_folder;
    char *cache_dir;
    char *model_revision; // never NULL: "main"
    int split_special_tokens;

    /* data */
    char *template; // NULL: `empty`, for models without a chat template of their own
    struct config_list dataset;
    struct config_list eval_dataset;
    char *dataset_dir; // never NULL: "data"
    int cutoff_len;    // as in the file; packing uses one less (reference 2.4)
    int train_on_prompt;
    int mask_history;
    int overwrite_cache;
    int preprocessing_batch_size;
    int preprocessing_num_workers; // null is 1
    int64_t max_samples;           // 0: null, all rows
    double val_size;               // above 1: rows; below 1: share; 0: none
    int eval_on_each_dataset;
    int packing; // resolved: 1 also with neat_packing, 0 for null
    int neat_packing;
    char *tool_format;
    char *default_system;
    int enable_thinking; // 1, 0, -1: null
    int preserve_thinking;
    char *tokenized_path;

    /* method */
    char *stage;           // "sft"
    char *finetuning_type; // "lora"
    int lora_rank;
    int lora_alpha; // resolved: null and 0 are 2 * lora_rank
    double lora_dropout;
    struct config_list lora_target; // { "all" } by default, never empty
    int use_rslora;
    int create_new_adapter;
    int disable_shuffling;

    /* training */
    char *output_dir; // never NULL: "trainer_output"; a leading ~/ is expanded
    int overwrite_output_dir;
    int do_train;
    int do_eval; // resolved: 1 also when eval_strategy is not "no"
    int per_device_train_batch_size;
    int per_device_eval_batch_size;
    int gradient_accumulation_steps;
    double learning_rate;
    double num_train_epochs;
    int64_t max_steps;       // not above 0: epochs decide
    char *lr_scheduler_type; // "linear", ...
    struct config_map lr_scheduler_kwargs;
    double warmup_steps; // steps, or a share below 1; not 0: wins over warmup_ratio
    double warmup_ratio; // 0 for null
    char *optim;         // "adamw_torch" or "adamw_torch_fused": one and the same here
    double weight_decay;
    double adam_beta1, adam_beta2, adam_epsilon;
    double max_grad_norm; // 0: no clipping
    int bf16, fp16;
    int64_t seed;           // 0 to 2^32 - 1
    int64_t data_seed;      // -1: null, seed is used
    char *logging_strategy; // "no", "steps", "epoch"
    double logging_steps;
    int logging_first_step;
    char *save_strategy; // "no", "steps", "epoch"
    double save_steps;
    int save_total_limit; // 0: null, no limit
    int save_only_model;
    char *eval_strategy; // "no", "steps", "epoch"
    double eval_steps;   // resolved: null and 0 are logging_steps
    double eval_delay;   // steps or epochs, as eval_strategy counts
    int eval_on_start;
    char
        *resume_from_checkpoint; // NULL: null or false; "true": newest in output_dir; else a folder

    /* of lowrank alone */
    int64_t global_batch_size; // 0: null, the product of batch, ranks and accumulation
    char *on_bad_sample;       // "error", "skip"
    int threads_per_rank;      // 0: null, the cores that the rank is bound to
    char *gemm_backend;        // "auto", or a name that `lowrank info` lists
    int64_t max_runtime;       // seconds; 0: null, no limit of ours
    int64_t memory_budget;     // bytes for a rank's activations; 0: null, automatic
    int64_t token_budget;      // tokens computed together; 0: null, automatic
    int state_steps;           // steps between two rolling resume states
    int profile;               // write profile.json
    int ranks;                 // `check` plans for so many; 0: null, those that run
    int ranks_per_node;        // of those; 0: null, as those that run
    double rank_gflops;        // forecasts: 1e9 operations a second of a rank; 0: null, measured
    double step_overhead_ms;   // 0: null, by the adapter's size
    int64_t link_bandwidth;    // bytes a second of a node's link; 0: null
    int64_t node_bandwidth;    // bytes a second between the ranks of a node; 0: null
    double link_latency_us;    // 0: null

    /* not keys */
    struct config_list notes;    // what the user should know, a line each
    struct config_list warnings; // the same, more urgent
};

/*
 * Everything that config_unpack() needs, added to pack. file_name: for
 * messages. yaml: the file's bytes, len at most CONFIG_FILE_MAX. overrides:
 * n strings "key=value". Reads the environment: ALLOW_EXTRA_ARGS, HOME and
 * each NAME in `${oc.env:NAME}`.
 */
int config_pack(struct strbuf *pack, const char *file_name, const char *yaml, size_t len,
                char *const overrides[], int n, struct error *err);

/*
 * Fills cfg (all of it, what it held is not released). Errors name file and
 * line, or the pair: "run.yaml:14: 'lora_rank' is 0; give 1 to 1024".
 */
int config_unpack(struct config *cfg, const void *pack, size_t len, struct error *err);

/* config_pack() and config_unpack(), for one process. */
int config_parse(struct config *cfg, const char *yaml, size_t len, const char *file_name,
                 char *const overrides[], int n, struct error *err);

/* Logs notes and warnings. */
void config_log_notes(const struct config *cfg);

/*
 * The resolved configuration as YAML: every key that has a field here, in the
 * table's order, that parses back to the same struct (but notes). No secret is in
 * it: keys that hold one have no field.
 */
void config_dump(const struct config *cfg, struct strbuf *out);

/*
 * The text of exactly those keys that decide the result of a run, with their
 * resolved values: equal texts (with equal model, data and global batch) give
 * equal results. Not in it: names of folders, logging, saving, evaluation,
 * threads, budgets, and the batch size, the accumulation and global_batch_size,
 * because only their product with the ranks counts: the caller adds the
 * global batch, and hashes of model and data.
 */
void config_result_text(const struct config *cfg, struct strbuf *out);

/* Steps that a "steps" value means in a run of total steps: itself, or ceil(value * total). */
int64_t config_steps(double value, int64_t total);

/* The whole table as plain text, or as the Markdown page docs/keys.md. */
void config_keys_print(struct strbuf *out);
void config_keys_markdown(struct strbuf *out);

/* Accepts { 0 }. */
void config_release(struct config *cfg);

#endif
