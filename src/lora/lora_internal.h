/*
 * What the parts of lora/adapter share.
 */
#ifndef LORA_INTERNAL_H
#define LORA_INTERNAL_H

#include "lora/adapter.h"

#define ADAPTER_CONFIG_FILE "adapter_config.json"
#define ADAPTER_MODEL_FILE  "adapter_model.safetensors"

/* True when the module's name equals the target or ends in "." and the target. */
int target_matches(const char *name, const char *target);

/* Sets R, alpha, dropout and scale from what was configured; where names the source in messages. */
int adapter_set_numbers(struct adapter *adapter, int64_t R, double alpha, double dropout,
                        int use_rslora, const char *where, struct error *err);

/* Appends a target; adapter_sort_targets() then sorts them and drops doubles. */
int adapter_add_target(struct adapter *adapter, const char *target, size_t *cap, struct error *err);
void adapter_sort_targets(struct adapter *adapter);

/* Lays out modules for the linears with chosen[i] != 0 and zeroed params. */
int adapter_lay_out(struct adapter *adapter, const struct lora_linear *linears, const char *chosen,
                    int n, struct error *err);

/* Numbers and targets of a folder's adapter_config.json. */
int adapter_config_read(struct adapter *adapter, const char *path, struct error *err);

/* The same for its text; path is for messages. On -1 the adapter is to be closed. */
int adapter_config_parse(struct adapter *adapter, const char *text, size_t len, const char *path,
                         struct error *err);

/* As PEFT 0.18.1 writes it. */
int adapter_config_write(const struct adapter *adapter, const char *path, const char *base_model,
                         struct error *err);

#endif
