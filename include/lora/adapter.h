/*
 * lora/adapter.h: which linear modules carry a low-rank adapter, its
 * numbers, and PEFT's files.
 *
 *     y = W x + s B A dropout(x),   s = alpha / R, or alpha / sqrt(R) (rslora)
 *
 * All A and B of a run lie in one array, module after module in the order in
 * which the model lists its linear modules: A [R,C], then B [O,R]. Gradients
 * and moments are arrays of the same layout.
 *
 * Everything here is local; every rank computes the same.
 * Source: Hu et al. 2021 (arXiv:2106.09685); Kalajdzievski 2023
 * (arXiv:2312.03732) for rslora; PEFT 0.18.1 for names and files.
 */
#ifndef LORA_ADAPTER_H
#define LORA_ADAPTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define LORA_RANK_MAX 4096

/* A linear module of the model: y [O] = W [O,C] x. name: "model.layers.0.self_attn.q_proj". */
struct lora_linear {
    const char *name;
    int C, O;
};

/* What a new adapter is made of; the fields are the YAML keys. */
struct lora_params {
    int lora_rank;
    double lora_alpha; // 0: twice the rank
    double lora_dropout;
    const char *const *targets; // see adapter_open()
    int target_count;
    int use_rslora;
    uint64_t seed;
};

struct lora_module {
    char *name; // full name
    int C, O;
    int linear;                // index in the list given to adapter_open()
    size_t a_offset, b_offset; // of A [R,C] and B [O,R] in params
};

struct adapter {
    struct lora_module *modules; // in the order of the model's linear modules
    int count;
    int R;
    float alpha, scale, dropout;
    int use_rslora;
    double alpha_exact, dropout_exact; // as configured, for the files
    float *params;                     // [param_count]
    size_t param_count;
    char **targets; // what target_modules of adapter_config.json will hold, sorted
    int target_count;
    char *target_pattern; // instead of targets: the pattern of a loaded adapter_config.json
};

/*
 * A new adapter: A uniform in +-1/sqrt(C), B zero.
 *
 * Targets as in LLaMA-Factory and PEFT: a module is adapted when its name
 * equals a target or ends in "." and a target. The target "all" (alone) stands
 * for the last parts of the names of all linear modules but lm_head.
 * A target that matches nothing is an error that lists what there is.
 *
 * Element e of A of the m-th linear module (of the model, adapted or not) is a
 * function of seed, m and e alone.
 */
int adapter_open(struct adapter *adapter, const struct lora_params *params,
                 const struct lora_linear *linears, int n, struct error *err);

/*
 * Goes on from the adapter in a folder (adapter_config.json and
 * adapter_model.safetensors): rank, alpha, dropout, rslora and targets are
 * those of the folder, as in LLaMA-Factory. F16 and BF16 numbers are widened.
 * Refused by name: other kinds than LORA, and every setting that lowrank does
 * not compute (use_dora, bias, modules_to_save, rank_pattern, ...). A module
 * that is missing in the file, one that the model does not have, and a wrong
 * shape are errors.
 */
int adapter_load(struct adapter *adapter, const char *folder, const struct lora_linear *linears,
                 int n, struct error *err);

/* The index in modules of that full name, or -1. */
int adapter_find(const struct adapter *adapter, const char *name);

/*
 * Writes adapter_config.json and adapter_model.safetensors into the folder,
 * made if missing, each whole or not at all, as PEFT 0.18.1 writes them. The
 * bytes are a function of the adapter and base_model (base_model_name_or_path;
 * NULL is null). params: the numbers to write, NULL for adapter->params.
 */
int adapter_save(const struct adapter *adapter, const float *params, const char *folder,
                 const char *base_model, struct error *err);

/* Accepts { 0 }. */
void adapter_close(struct adapter *adapter);

#endif
