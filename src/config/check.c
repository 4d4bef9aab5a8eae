/*
 * check.c: rules between keys, fields that follow from others, and notes.
 *
 * What LLaMA-Factory and transformers refuse together is refused here, before
 * any data is read, at the line of the key that is the odd one out.
 */
#include "config_internal.h"

#include <math.h>
#include <string.h>

struct check {
    struct config *cfg;
    const struct tree *tree;
    struct error *err;
};

static const struct node *at(const struct check *c, const char *name)
{
    return node_child(c->tree->root, name);
}

#define FAIL(NAME, ...) node_error(c->tree, at(c, NAME), c->err, __VA_ARGS__)

static int note(struct check *c, const char *text)
{
    return list_add(&c->cfg->notes, text, c->err);
}

static int check_data(struct check *c)
{
    const struct config *cfg = c->cfg;

    if (cfg->do_train && cfg->dataset.n == 0)
        return FAIL("do_train", "'do_train' needs data; give 'dataset'");
    if (cfg->val_size > 0 && cfg->dataset.n == 0)
        return FAIL("val_size", "'val_size' needs 'dataset' to take rows from");
    if (cfg->val_size > 0 && cfg->eval_dataset.n > 0)
        return FAIL("val_size", "'val_size' and 'eval_dataset' exclude each other; give one");
    if (cfg->val_size == 1 || (cfg->val_size > 1 && cfg->val_size != floor(cfg->val_size)))
        return FAIL("val_size", "'val_size' is neither a share nor a number of rows; give less "
                                "than 1, or a whole number above 1");
    if (cfg->mask_history && cfg->train_on_prompt)
        return FAIL("mask_history",
                    "'mask_history' and 'train_on_prompt' exclude each other; give one");
    return 0;
}

static int check_eval(struct check *c)
{
    struct config *cfg = c->cfg;
    int by_steps = strcmp(cfg->eval_strategy, "steps") == 0;

    if (strcmp(cfg->eval_strategy, "no") != 0)
        cfg->do_eval = 1;
    if (cfg->do_eval && cfg->eval_dataset.n == 0 && !(cfg->val_size > 0))
        return FAIL(by_steps || !at(c, "do_eval") ? "eval_strategy" : "do_eval",
                    "evaluation needs data; give 'eval_dataset' or 'val_size'");
    if (cfg->eval_steps == 0)
        cfg->eval_steps = cfg->logging_steps;
    if (by_steps && cfg->eval_steps == 0)
        return FAIL("eval_strategy", "'eval_strategy' steps needs 'eval_steps' above 0");
    return 0;
}

static int check_strategies(struct check *c)
{
    const struct config *cfg = c->cfg;

    if (strcmp(cfg->logging_strategy, "steps") == 0 && cfg->logging_steps == 0)
        return FAIL("logging_steps", "'logging_steps' is 0; give more, or logging_strategy: 'no'");
    if (strcmp(cfg->save_strategy, "steps") == 0 && cfg->save_steps == 0)
        return FAIL("save_steps", "'save_steps' is 0; give more, or save_strategy: 'no'");
    if (cfg->bf16 && cfg->fp16)
        return FAIL("fp16", "'fp16' and 'bf16' exclude each other; give one");
    return 0;
}

static int check_adapter(struct check *c)
{
    struct config *cfg = c->cfg;

    if (cfg->adapter_name_or_path.n > 1)
        return FAIL("adapter_name_or_path",
                    "'adapter_name_or_path' names %d adapters; give one, "
                    "merge the others into the model beforehand",
                    cfg->adapter_name_or_path.n);
    if (cfg->create_new_adapter && cfg->adapter_name_or_path.n > 0)
        return FAIL("create_new_adapter",
                    "'create_new_adapter' with 'adapter_name_or_path' is not supported; merge "
                    "that adapter into the model beforehand");
    if (cfg->adapter_folder && cfg->adapter_name_or_path.n == 0)
        return FAIL("adapter_folder", "'adapter_folder' needs 'adapter_name_or_path'");
    if (cfg->lora_alpha == 0)
        cfg->lora_alpha = 2 * cfg->lora_rank;
    return 0;
}

/* A number of a key that has no field; NAN when it is not given or not a plain number. */
static double plain_number(const struct check *c, const char *name)
{
    const struct node *node = at(c, name);
    struct scalar scalar;

    if (!node) {
        scalar_read(&scalar, config_key_find(name)->fallback, 0);
        return scalar.f;
    }
    if (node->kind != NODE_SCALAR)
        return NAN;
    scalar_read(&scalar, node->text, 0);
    return scalar.kind == SCALAR_INT || scalar.kind == SCALAR_FLOAT ? scalar.f : NAN;
}

static int check_media(struct check *c)
{
    if (plain_number(c, "image_max_pixels") < plain_number(c, "image_min_pixels"))
        return FAIL("image_max_pixels", "'image_max_pixels' is below 'image_min_pixels'");
    if (plain_number(c, "video_max_pixels") < plain_number(c, "video_min_pixels"))
        return FAIL("video_max_pixels", "'video_max_pixels' is below 'video_min_pixels'");
    return 0;
}

static int notes_training(struct check *c)
{
    const struct config *cfg = c->cfg;

    if (!cfg->do_train && !cfg->do_eval &&
        list_add(&c->cfg->warnings, "neither do_train nor do_eval is true: nothing is trained",
                 c->err) < 0)
        return -1;
    if (cfg->bf16 &&
        note(c, "bf16: factors of large products are rounded to bfloat16 where the CPU multiplies "
                "such numbers (AMX, AVX512_BF16); else arithmetic is float32") < 0)
        return -1;
    if (cfg->fp16 &&
        note(c, "fp16: arithmetic is float32 here, weights stay as they are stored") < 0)
        return -1;
    if (cfg->warmup_steps > 0 && cfg->warmup_ratio > 0 &&
        note(c, "warmup_ratio: left out, warmup_steps is given") < 0)
        return -1;
    if (cfg->global_batch_size > 0 && at(c, "gradient_accumulation_steps") &&
        note(c, "gradient_accumulation_steps: left out, global_batch_size is given") < 0)
        return -1;
    if (cfg->packing && !cfg->neat_packing &&
        note(c, "packing: samples of a row see each other, as in LLaMA-Factory; neat_packing "
                "keeps them apart") < 0)
        return -1;
    return 0;
}

int config_check(struct config *cfg, const struct tree *tree, struct error *err)
{
    struct check check = { cfg, tree, err };
    struct check *c = &check;

    if (!cfg->model_name_or_path)
        return FAIL("model_name_or_path", "'model_name_or_path' is missing; give the folder of a "
                                          "model, or a hub name");
    if (cfg->neat_packing)
        cfg->packing = 1;
    if (cfg->save_total_limit < 0)
        cfg->save_total_limit = 0;
    if (check_data(c) < 0 || check_eval(c) < 0 || check_strategies(c) < 0 || check_adapter(c) < 0 ||
        check_media(c) < 0)
        return -1;
    return notes_training(c);
}
