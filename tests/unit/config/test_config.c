/*
 * Reading a configuration: values, limits, refusals, and what comes out again.
 */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"

#define BASE "model_name_or_path: m\ndo_train: true\ndataset: d\n" // three lines

static int parse(struct config *cfg, const char *yaml, char *const pairs[], int n,
                 struct error *err)
{
    err->msg[0] = '\0';
    return config_parse(cfg, yaml, strlen(yaml), "run.yaml", pairs, n, err);
}

static void good_pairs(struct config *cfg, const char *yaml, char *const pairs[], int n)
{
    struct error err;

    if (parse(cfg, yaml, pairs, n, &err) < 0)
        fail_msg("%s: %s", yaml, err.msg);
}

static void good(struct config *cfg, const char *yaml)
{
    good_pairs(cfg, yaml, NULL, 0);
}

/* BASE with more lines, the first on line 4; the whole message is expected. */
static void bad(const char *more, const char *message)
{
    struct config cfg;
    struct error err;
    char yaml[4096];

    snprintf(yaml, sizeof(yaml), "%s%s", BASE, more);
    if (parse(&cfg, yaml, NULL, 0, &err) == 0)
        fail_msg("'%s' is taken", more);
    if (strcmp(err.msg, message) != 0)
        fail_msg("\n  %s\nand not\n  %s", err.msg, message);
}

static void bad_pair(const char *pair, const char *message)
{
    struct config cfg;
    struct error err;
    char copy[200];
    char *pairs[] = { copy };

    snprintf(copy, sizeof(copy), "%s", pair);
    assert_int_equal(parse(&cfg, BASE, pairs, 1, &err), -1);
    assert_string_equal(err.msg, message);
}

static const char *note_with(const struct config *cfg, const char *word)
{
    int i;

    for (i = 0; i < cfg->notes.n; i++)
        if (strstr(cfg->notes.items[i], word))
            return cfg->notes.items[i];
    for (i = 0; i < cfg->warnings.n; i++)
        if (strstr(cfg->warnings.items[i], word))
            return cfg->warnings.items[i];
    return NULL;
}

static char *file(const char *path)
{
    struct error err;
    char *text = NULL;
    size_t len;

    assert_int_equal(file_read(path, &text, &len, &err), 0);
    return text;
}

static void the_base_example_of_llamafactory_is_read_unchanged(void **state)
{
    char *text = file("tests/golden/config/sft_base.yaml");
    struct config cfg;

    (void)state;
    good(&cfg, text);
    assert_string_equal(cfg.model_name_or_path, "Qwen/Qwen3-4B-Instruct-2507");
    assert_int_equal(cfg.dataset.n, 2);
    assert_string_equal(cfg.dataset.items[1], "alpaca_en_demo");
    assert_int_equal(cfg.lora_rank, 8);
    assert_int_equal(cfg.lora_alpha, 16);
    assert_int_equal(cfg.lora_target.n, 1);
    assert_string_equal(cfg.lora_target.items[0], "all");
    assert_int_equal(cfg.cutoff_len, 2048);
    assert_int_equal(cfg.max_samples, 1000);
    assert_int_equal(cfg.preprocessing_num_workers, 16);
    assert_int_equal(cfg.gradient_accumulation_steps, 8);
    assert_true(cfg.learning_rate == 1e-4);
    assert_true(cfg.num_train_epochs == 3);
    assert_true(cfg.warmup_ratio == 0.1);
    assert_string_equal(cfg.lr_scheduler_type, "cosine");
    assert_null(cfg.resume_from_checkpoint);
    assert_int_equal(cfg.bf16, 1);
    assert_int_equal(cfg.packing, 0);
    assert_int_equal(cfg.enable_thinking, 1);
    assert_string_equal(note_with(&cfg, "no effect here"),
                        "no effect here: trust_remote_code, dataloader_num_workers, ddp_timeout, "
                        "plot_loss");
    assert_non_null(note_with(&cfg, "arithmetic is float32"));
    config_release(&cfg);
    free(text);
}

static void examples_for_ray_deepspeed_and_preprocessing_are_read_unchanged(void **state)
{
    char *ray = file("tests/golden/config/sft_ray.yaml");
    char *prepare = file("tests/golden/config/preprocess.yaml");
    struct config cfg;

    (void)state;
    good(&cfg, ray);
    assert_string_equal(cfg.dataset.items[1], "alpaca_en_demo");
    assert_string_equal(cfg.dataset_dir, "REMOTE:llamafactory/demo_data");
    assert_non_null(strstr(note_with(&cfg, "no effect here"), "deepspeed"));
    assert_non_null(strstr(note_with(&cfg, "no effect here"), "ray_init_kwargs"));
    config_release(&cfg);
    good(&cfg, prepare);
    assert_int_equal(cfg.per_device_train_batch_size, 8);
    assert_true(cfg.learning_rate == 5e-5);
    assert_string_equal(cfg.tokenized_path, "saves/qwen3-4b/dataset/sft");
    config_release(&cfg);
    free(ray);
    free(prepare);
}

static void numbers_are_read_in_every_spelling(void **state)
{
    struct config cfg;

    (void)state;
    good(&cfg,
         BASE "learning_rate: 2e-4\nmax_samples: 1_000\nlora_rank: '16'\ncutoff_len: 0x400\n"
              "adam_epsilon: \"1e-6\"\nnum_train_epochs: 2\nlora_alpha: 32.0\n"
              "memory_budget: 16GB\nmax_runtime: 12:30:00\nbf16: 'yes'\ntrain_on_prompt: 1\n");
    assert_true(cfg.learning_rate == 2e-4);
    assert_int_equal(cfg.max_samples, 1000);
    assert_int_equal(cfg.lora_rank, 16);
    assert_int_equal(cfg.lora_alpha, 32);
    assert_int_equal(cfg.cutoff_len, 1024);
    assert_true(cfg.adam_epsilon == 1e-6);
    assert_true(cfg.num_train_epochs == 2);
    assert_int_equal(cfg.memory_budget, 16000000000);
    assert_int_equal(cfg.max_runtime, 45000);
    assert_int_equal(cfg.bf16, 1);
    assert_int_equal(cfg.train_on_prompt, 1);
    config_release(&cfg);
}

static void windows_files_and_byte_order_marks_are_read(void **state)
{
    struct config cfg;

    (void)state;
    good(&cfg, "\xef\xbb\xbfmodel_name_or_path: m\r\ndataset: d\r\nlora_rank: 4\r\n");
    assert_string_equal(cfg.dataset.items[0], "d");
    assert_int_equal(cfg.lora_rank, 4);
    config_release(&cfg);
}

static void nulls_mean_what_the_header_says(void **state)
{
    struct config cfg;

    (void)state;
    good(&cfg, BASE "max_samples: null\nenable_thinking: ~\npacking:\nlora_alpha: null\n"
                    "save_total_limit: null\ndata_seed: null\nwarmup_ratio: null\n"
                    "default_system: ''\nlr_scheduler_kwargs: null\nbf16: null\n"
                    "preprocessing_num_workers: null\neval_steps: null\n");
    assert_int_equal(cfg.max_samples, 0);
    assert_int_equal(cfg.enable_thinking, -1);
    assert_int_equal(cfg.packing, 0);
    assert_int_equal(cfg.lora_alpha, 16);
    assert_int_equal(cfg.save_total_limit, 0);
    assert_int_equal(cfg.data_seed, -1);
    assert_true(cfg.warmup_ratio == 0);
    assert_string_equal(cfg.default_system, "");
    assert_null(cfg.template);
    assert_int_equal(cfg.lr_scheduler_kwargs.n, 0);
    assert_int_equal(cfg.preprocessing_num_workers, 1);
    assert_true(cfg.eval_steps == 500);
    config_release(&cfg);
}

static void lists_and_mappings_are_read_in_both_forms(void **state)
{
    struct config cfg;

    (void)state;
    good(&cfg, BASE "lora_target: q_proj , v_proj\nlr_scheduler_kwargs: {min_lr_rate: 1e-1}\n");
    assert_int_equal(cfg.lora_target.n, 2);
    assert_string_equal(cfg.lora_target.items[1], "v_proj");
    assert_string_equal(cfg.lr_scheduler_kwargs.entries[0].key, "min_lr_rate");
    assert_string_equal(cfg.lr_scheduler_kwargs.entries[0].value, "0.1");
    config_release(&cfg);
    good(&cfg, BASE "lora_target:\n  - q_proj\n  - v_proj\n"
                    "lr_scheduler_kwargs: '{\"num_cycles\": 2, \"decay_type\": \"linear\"}'\n");
    assert_int_equal(cfg.lora_target.n, 2);
    assert_string_equal(cfg.lr_scheduler_kwargs.entries[0].value, "2");
    assert_string_equal(cfg.lr_scheduler_kwargs.entries[1].value, "linear");
    config_release(&cfg);
}

static void pairs_go_over_the_file_and_an_empty_one_is_null(void **state)
{
    char a[] = "learning_rate=3e-4", b[] = "template=", c[] = "lr_scheduler_kwargs.power=2",
         d[] = "output_dir=out=1", e[] = "seed=1", f[] = "seed=2";
    char *pairs[] = { a, b, c, d, e, f };
    struct config cfg;

    (void)state;
    good_pairs(&cfg, BASE "learning_rate: 1\ntemplate: qwen\nlr_scheduler_kwargs: {lr_end: 0}\n",
               pairs, 6);
    assert_true(cfg.learning_rate == 3e-4);
    assert_null(cfg.template);
    assert_int_equal(cfg.lr_scheduler_kwargs.n, 2);
    assert_string_equal(cfg.output_dir, "out=1");
    assert_int_equal(cfg.seed, 2);
    config_release(&cfg);
}

static void wrong_values_are_named_with_line_and_limits(void **state)
{
    (void)state;
    bad("lora_rank: 0\n", "run.yaml:4: 'lora_rank' is 0; give 1 to 1024");
    bad("\n\nlora_rank: 8.0\n", "run.yaml:6: 'lora_rank' is 8.0; give a whole number, 1 to 1024");
    bad("lora_rank: eight\n", "run.yaml:4: 'lora_rank' is 'eight'; give a whole number, 1 to 1024");
    bad("lora_rank: true\n", "run.yaml:4: 'lora_rank' is true; give a whole number, 1 to 1024");
    bad("lora_rank: null\n", "run.yaml:4: 'lora_rank' is null; give a value, 1 to 1024");
    bad("lora_rank: [1]\n", "run.yaml:4: 'lora_rank' is a list; give a single value, 1 to 1024");
    bad("lora_rank: 99999999999999999999\n",
        "run.yaml:4: 'lora_rank' is 99999999999999999999; give 1 to 1024");
    bad("lora_dropout: 1\n", "run.yaml:4: 'lora_dropout' is 1; give 0 or more and less than 1");
    bad("learning_rate: .nan\n", "run.yaml:4: 'learning_rate' is .nan; give 0 to 1000000");
    bad("learning_rate: fast\n",
        "run.yaml:4: 'learning_rate' is 'fast'; give a number, 0 to 1000000");
    bad("num_train_epochs: 0\n",
        "run.yaml:4: 'num_train_epochs' is 0; give more than 0 and at most 1000000");
    bad("bf16: maybe\n", "run.yaml:4: 'bf16' is 'maybe'; give true or false");
    bad("save_steps: 10.5\n", "run.yaml:4: 'save_steps' is 10.5; give a share below 1 or a whole "
                              "number of steps, 0 or more");
    bad("max_samples: 0\n", "run.yaml:4: 'max_samples' is 0; give 1 or more or null");
    bad("output_dir: no\n",
        "run.yaml:4: 'output_dir' is no, which YAML takes for false; put it in quotes");
    bad("output_dir: ''\n", "run.yaml:4: 'output_dir' is empty; give a text");
    bad("on_bad_sample: warn\n", "run.yaml:4: 'on_bad_sample' is 'warn'; give one of error, skip");
    bad("lora_target: q_proj,,v_proj\n", "run.yaml:4: 'lora_target' has an empty item; give names "
                                         "separated by commas");
    bad("lora_target: []\n", "run.yaml:4: 'lora_target' is a list; give a name");
    bad("seed: 4294967296\n", "run.yaml:4: 'seed' is 4294967296; give 0 to 4294967295");
    bad("memory_budget: lots\n",
        "run.yaml:4: 'memory_budget' is 'lots'; give bytes, as 16GB, 1 or more or null");
    bad("lr_scheduler_kwargs: 0.1\n", "run.yaml:4: 'lr_scheduler_kwargs' is 0.1; give a mapping, "
                                      "as {min_lr_rate: 0.1} or null");
    bad("lr_scheduler_kwargs: {a: {b: 1}}\n", "run.yaml:4: 'lr_scheduler_kwargs' is a mapping; "
                                              "give a flat mapping, as {min_lr_rate: 0.1} or null");
    bad("\nlr_scheduler_kwargs: '{\"min_lr_rate\": 0.1'\n",
        "'lr_scheduler_kwargs': run.yaml:5: not YAML: did not find expected ',' or '}'");
    bad("dataloader_num_workers: many\n",
        "run.yaml:4: 'dataloader_num_workers' is 'many'; give a whole number");
    bad_pair("lora_rank=0", "command line: 'lora_rank' is 0; give 1 to 1024");
    bad_pair("lora_rank", "command line: 'lora_rank' is not of the form key=value");
    bad_pair("=1", "command line: '=1' has no key before the '='");
    bad_pair("lora rank=8", "command line: 'lora rank' is no name of a key");
    bad_pair("lora_rank=[1", "'lora_rank=[1': command line: not YAML: did not find expected ',' "
                             "or ']'");
}

static void unknown_keys_are_named_with_the_nearest_one(void **state)
{
    (void)state;
    bad("lora_rnk: 8\n", "run.yaml:4: unknown key 'lora_rnk'; did you mean 'lora_rank'?");
    bad("cache_path: x\n", "run.yaml:4: 'cache_path' is not a key here; write tokenized_path");
    bad("evaluation_strategy: steps\n",
        "run.yaml:4: 'evaluation_strategy' is not a key here; write eval_strategy");
    bad("wholly_other: 1\n",
        "run.yaml:4: unknown key 'wholly_other'; 'lowrank keys' lists all keys");
    bad("dataset: e\n", "run.yaml:4: 'dataset' is given twice, first on line 3; remove one");
    bad_pair("lora_rnk=8", "command line: unknown key 'lora_rnk'; did you mean 'lora_rank'?");
}

static void allow_extra_args_turns_unknown_keys_into_one_warning(void **state)
{
    struct config cfg;

    (void)state;
    setenv("ALLOW_EXTRA_ARGS", "1", 1);
    good(&cfg, BASE "one_more: 1\nlora_rnk: {a: b}\n");
    assert_string_equal(cfg.warnings.items[0],
                        "ALLOW_EXTRA_ARGS: unknown keys are left out: one_more, lora_rnk");
    assert_int_equal(cfg.warnings.n, 1);
    unsetenv("ALLOW_EXTRA_ARGS");
    config_release(&cfg);
}

static void keys_that_would_change_the_result_are_refused_and_their_defaults_are_not(void **state)
{
    struct config cfg;

    (void)state;
    bad("use_dora: true\n", "run.yaml:4: 'use_dora' is not supported and would change the result; "
                            "leave it at false (use plain LoRA)");
    bad("stage: dpo\n", "run.yaml:4: 'stage' is 'dpo', which lowrank does not do; give sft");
    bad("optim: lomo\n", "run.yaml:4: 'optim' is 'lomo', which lowrank does not do; give one of "
                         "adamw_torch adamw_torch_fused");
    bad("rope_scaling: yarn\n", "run.yaml:4: 'rope_scaling' is not supported and would change the "
                                "result; leave it at null (scaling written in config.json is "
                                "honoured)");
    bad("average_tokens_across_devices: false\n",
        "run.yaml:4: 'average_tokens_across_devices' is not supported and would change the "
        "result; leave it at true (it always is, or results would depend on the ranks)");
    bad("additional_target: lm_head\n",
        "run.yaml:4: 'additional_target' is not supported and would change the result; leave it "
        "at null (adapt linear modules only)");
    good(&cfg, BASE "use_dora: false\nrope_scaling: null\nlabel_smoothing_factor: 0\n"
                    "neftune_noise_alpha: null\nquantization_bit: null\nuse_galore: no\n"
                    "additional_target: null\ntrain_sampling_strategy: random\n"
                    "average_tokens_across_devices: true\nmix_strategy: concat\n");
    assert_int_equal(cfg.notes.n, 0);
    config_release(&cfg);
}

static void keys_that_exclude_each_other_are_refused_together(void **state)
{
    (void)state;
    bad("val_size: 0.1\neval_dataset: e\n",
        "run.yaml:4: 'val_size' and 'eval_dataset' exclude each other; give one");
    bad("train_on_prompt: true\nmask_history: true\n",
        "run.yaml:5: 'mask_history' and 'train_on_prompt' exclude each other; give one");
    bad("val_size: 1\n", "run.yaml:4: 'val_size' is neither a share nor a number of rows; give "
                         "less than 1, or a whole number above 1");
    bad("val_size: 2.5\n", "run.yaml:4: 'val_size' is neither a share nor a number of rows; give "
                           "less than 1, or a whole number above 1");
    bad("eval_strategy: steps\n",
        "run.yaml:4: evaluation needs data; give 'eval_dataset' or 'val_size'");
    bad("do_eval: true\n", "run.yaml:4: evaluation needs data; give 'eval_dataset' or 'val_size'");
    bad("bf16: true\nfp16: true\n", "run.yaml:5: 'fp16' and 'bf16' exclude each other; give one");
    bad("logging_steps: 0\n",
        "run.yaml:4: 'logging_steps' is 0; give more, or logging_strategy: 'no'");
    bad("save_steps: 0\n", "run.yaml:4: 'save_steps' is 0; give more, or save_strategy: 'no'");
    bad("adapter_name_or_path: a,b\n",
        "run.yaml:4: 'adapter_name_or_path' names 2 adapters; give one, merge the others into the "
        "model beforehand");
    bad("adapter_name_or_path: a\ncreate_new_adapter: true\n",
        "run.yaml:5: 'create_new_adapter' with 'adapter_name_or_path' is not supported; merge "
        "that adapter into the model beforehand");
    bad("image_max_pixels: 100\n", "run.yaml:4: 'image_max_pixels' is below 'image_min_pixels'");
}

static void what_is_needed_and_missing_is_named(void **state)
{
    struct config cfg;
    struct error err;

    (void)state;
    assert_int_equal(parse(&cfg, "", NULL, 0, &err), -1);
    assert_string_equal(err.msg, "run.yaml: 'model_name_or_path' is missing; give the folder of a "
                                 "model, or a hub name");
    assert_int_equal(parse(&cfg, "model_name_or_path: m\ndo_train: true\n", NULL, 0, &err), -1);
    assert_string_equal(err.msg, "run.yaml:2: 'do_train' needs data; give 'dataset'");
    assert_int_equal(parse(&cfg, "- a\n- b\n", NULL, 0, &err), -1);
    assert_string_equal(
        err.msg, "run.yaml:1: the file is not a mapping; give lines of the form 'key: value'");
    good(&cfg, "model_name_or_path: m\n");
    assert_non_null(note_with(&cfg, "nothing is trained"));
    config_release(&cfg);
}

static void references_are_replaced_and_broken_ones_are_errors(void **state)
{
    struct config cfg;

    (void)state;
    setenv("LOWRANK_TEST_R", "32", 1);
    unsetenv("LOWRANK_TEST_UNSET");
    good(&cfg, BASE "lora_rank: ${oc.env:LOWRANK_TEST_R}\noutput_dir: s/${model_name_or_path}/"
                    "r${lora_rank}-${learning_rate}\nlearning_rate: 1e-5\n");
    assert_int_equal(cfg.lora_rank, 32);
    assert_string_equal(cfg.output_dir, "s/m/r32-1e-05");
    config_release(&cfg);
    bad("output_dir: ${nowhere}\n",
        "run.yaml:4: 'nowhere' in 'output_dir': there is no such key in this file");
    bad("output_dir: ${oc.env:LOWRANK_TEST_UNSET}\n", "run.yaml:4: 'LOWRANK_TEST_UNSET' in "
                                                      "'output_dir': this environment variable is "
                                                      "not set");
    bad("output_dir: ${output_dir}\n", "run.yaml:4: '${output_dir}' in 'output_dir': references go "
                                       "round in a circle or too deep");
    bad("output_dir: x${seed\n", "run.yaml:4: 'x${seed' in 'output_dir': a '${' is not closed");
    bad("output_dir: ${oc.env:${template}}\ntemplate: HOME\n",
        "run.yaml:4: '${template}' in 'output_dir': write the name of the environment variable "
        "out");
    bad("output_dir: ${now:%Y}\n",
        "run.yaml:4: 'now:%Y' in 'output_dir': of the resolvers, oc.env and oc.decode are read");
}

static void references_cannot_blow_a_file_up(void **state)
{
    struct strbuf sb = { 0 };
    struct config cfg;
    struct error err;
    int i;

    (void)state;
    strbuf_puts(&sb, "k0: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n");
    for (i = 1; i < 13; i++)
        strbuf_printf(&sb, "k%d: ${k%d}${k%d}${k%d}\n", i, i - 1, i - 1, i - 1);
    strbuf_puts(&sb, "model_name_or_path: ${k12}\n");
    setenv("ALLOW_EXTRA_ARGS", "1", 1);
    assert_int_equal(parse(&cfg, strbuf_text(&sb), NULL, 0, &err), -1);
    assert_non_null(strstr(err.msg, "the text becomes too long"));
    strbuf_reset(&sb);
    strbuf_puts(&sb, "k0: ''\n");
    for (i = 1; i < 13; i++)
        strbuf_printf(&sb, "k%d: ${k%d}${k%d}${k%d}\n", i, i - 1, i - 1, i - 1);
    strbuf_puts(&sb, "model_name_or_path: ${k12}\n");
    assert_int_equal(parse(&cfg, strbuf_text(&sb), NULL, 0, &err), -1);
    assert_non_null(strstr(err.msg, "too many references"));
    unsetenv("ALLOW_EXTRA_ARGS");
    strbuf_release(&sb);
}

static void same_config(const struct config *a, const struct config *b)
{
    struct strbuf ta = { 0 }, tb = { 0 };

    config_dump(a, &ta);
    config_dump(b, &tb);
    assert_string_equal(strbuf_text(&ta), strbuf_text(&tb));
    strbuf_release(&ta);
    strbuf_release(&tb);
}

static void the_dump_reads_back_as_the_same_configuration(void **state)
{
    static const char *const files[] = {
        BASE,
        BASE "default_system: \"a: b\\n'c' \\\"d\\\" \\u00e9 \\u2028 ${seed} \\\\${seed} "
             "\\\\\\\\\\\\${x}\"\nseed: 3\n"
             "learning_rate: 1.2345678901234567e-5\nlora_target: [q_proj, 'a,b', '1', 'yes']\n"
             "enable_thinking: null\nmemory_budget: 1GiB\nmax_runtime: 90m\nwarmup_steps: 0.25\n"
             "lr_scheduler_kwargs: {power: 2, decay_type: 'a b', x: null, y: true, '${k}': 1e-7}\n"
             "neat_packing: true\nsave_total_limit: -1\nresume_from_checkpoint: true\n"
             "val_size: 0.05\neval_strategy: steps\neval_steps: 0\nlogging_steps: 0.1\n"
             "hf_hub_token: secret\ndata_seed: 0\nsave_strategy: no\nmodel_revision: 1_0\n",
        BASE "output_dir: '\\${x}'\ntool_format: '#'\ncache_dir: '-'\ntemplate: 'null'\n",
    };
    struct config cfg, again;
    struct strbuf text = { 0 };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        good(&cfg, files[i]);
        strbuf_reset(&text);
        config_dump(&cfg, &text);
        assert_null(strstr(strbuf_text(&text), "secret"));
        good(&again, strbuf_text(&text));
        same_config(&cfg, &again);
        assert_int_equal(again.save_total_limit, cfg.save_total_limit);
        assert_true(again.learning_rate == cfg.learning_rate);
        assert_int_equal(again.data_seed, cfg.data_seed);
        assert_int_equal(again.enable_thinking, cfg.enable_thinking);
        if (cfg.default_system) {
            assert_non_null(strstr(cfg.default_system, "3 ${seed} \\${x}"));
            assert_string_equal(again.default_system, cfg.default_system);
        }
        if (cfg.resume_from_checkpoint)
            assert_string_equal(again.resume_from_checkpoint, "true");
        config_release(&cfg);
        config_release(&again);
    }
    strbuf_release(&text);
}

/* The result text of BASE with more lines. */
static void result_of(const char *more, struct strbuf *out)
{
    struct config cfg;
    char yaml[2048];

    snprintf(yaml, sizeof(yaml), "%s%s", BASE, more);
    good(&cfg, yaml);
    strbuf_reset(out);
    config_result_text(&cfg, out);
    config_release(&cfg);
}

static void only_keys_that_decide_the_result_change_its_text(void **state)
{
    static const char *const other[] = {
        "learning_rate: 1e-3\n", "lora_rank: 4\n",      "seed: 1\n",        "val_size: 0.1\n",
        "packing: true\n",       "template: qwen\n",    "max_samples: 5\n", "lora_alpha: 5\n",
        "max_steps: 7\n",        "warmup_ratio: 0.5\n", "bf16: true\n",
    };
    static const char *const same[] = {
        "logging_steps: 1\n",        "save_steps: 7\n",
        "threads_per_rank: 3\n",     "output_dir: elsewhere\n",
        "plot_loss: true\n",         "token_budget: 99\n",
        "optim: adamw_torch\n",      "per_device_train_batch_size: 1\n",
        "global_batch_size: 4\n",    "preprocessing_num_workers: 4\n",
        "lora_alpha: 16\n",          "eval_dataset: x\n",
        "dataset_dir: /elsewhere\n", "overwrite_cache: true\n",
    };
    struct strbuf base = { 0 }, text = { 0 };
    size_t i;

    (void)state;
    result_of("", &base);
    for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        result_of(other[i], &text);
        if (strcmp(strbuf_text(&base), strbuf_text(&text)) == 0)
            fail_msg("%s changes nothing", other[i]);
    }
    for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        result_of(same[i], &text);
        assert_string_equal(strbuf_text(&base), strbuf_text(&text));
    }
    result_of("max_steps: 5\ndata_seed: 42\n", &base);
    result_of("max_steps: 5\nnum_train_epochs: 9\n", &text);
    assert_string_equal(strbuf_text(&base), strbuf_text(&text));
    result_of("packing: true\n", &base);
    result_of("packing: true\npreprocessing_num_workers: 4\n", &text);
    assert_string_not_equal(strbuf_text(&base), strbuf_text(&text));
    strbuf_release(&base);
    strbuf_release(&text);
}

static void a_pack_is_read_the_same_whatever_the_environment_is(void **state)
{
    const char *yaml = BASE "output_dir: ~/${oc.env:LOWRANK_TEST_R}\nodd: 1\n";
    struct strbuf pack = { 0 };
    struct config cfg;
    struct error err;

    (void)state;
    setenv("LOWRANK_TEST_R", "rank 0", 1);
    setenv("ALLOW_EXTRA_ARGS", "true", 1);
    setenv("HOME", "/home/zero", 1);
    assert_int_equal(config_pack(&pack, "run.yaml", yaml, strlen(yaml), NULL, 0, &err), 0);
    setenv("LOWRANK_TEST_R", "rank 1", 1);
    setenv("HOME", "/home/one", 1);
    unsetenv("ALLOW_EXTRA_ARGS");
    assert_int_equal(config_unpack(&cfg, pack.text, pack.len, &err), 0);
    assert_string_equal(cfg.output_dir, "/home/zero/rank 0");
    config_release(&cfg);
    assert_int_equal(config_unpack(&cfg, pack.text, pack.len - 1, &err), -1);
    assert_int_equal(config_unpack(&cfg, "", 0, &err), -1);
    strbuf_release(&pack);
}

static void environment_values_that_are_no_text_are_refused(void **state)
{
    struct config cfg;
    struct error err;

    (void)state;
    setenv("LOWRANK_TEST_R", "a\xff", 1);
    assert_int_equal(parse(&cfg, BASE "output_dir: ${oc.env:LOWRANK_TEST_R}\n", NULL, 0, &err), -1);
    assert_string_equal(err.msg, "the environment variable 'LOWRANK_TEST_R' is not text in UTF-8");
}

static void steps_below_one_are_shares_of_the_run(void **state)
{
    (void)state;
    assert_int_equal(config_steps(10, 411), 10);
    assert_int_equal(config_steps(1, 411), 1);
    assert_int_equal(config_steps(0.1, 411), 42);
    assert_int_equal(config_steps(0, 411), 0);
}

static void notes_name_what_is_left_out(void **state)
{
    struct config cfg;

    (void)state;
    good(&cfg, BASE "warmup_steps: 5\nwarmup_ratio: 0.1\npacking: true\nreport_to: wandb\n"
                    "global_batch_size: 8\ngradient_accumulation_steps: 2\n");
    assert_non_null(note_with(&cfg, "warmup_ratio: left out"));
    assert_non_null(note_with(&cfg, "neat_packing keeps them apart"));
    assert_non_null(note_with(&cfg, "gradient_accumulation_steps: left out"));
    assert_string_equal(note_with(&cfg, "no effect here"), "no effect here: report_to");
    config_release(&cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_base_example_of_llamafactory_is_read_unchanged),
        cmocka_unit_test(examples_for_ray_deepspeed_and_preprocessing_are_read_unchanged),
        cmocka_unit_test(numbers_are_read_in_every_spelling),
        cmocka_unit_test(windows_files_and_byte_order_marks_are_read),
        cmocka_unit_test(nulls_mean_what_the_header_says),
        cmocka_unit_test(lists_and_mappings_are_read_in_both_forms),
        cmocka_unit_test(pairs_go_over_the_file_and_an_empty_one_is_null),
        cmocka_unit_test(wrong_values_are_named_with_line_and_limits),
        cmocka_unit_test(unknown_keys_are_named_with_the_nearest_one),
        cmocka_unit_test(allow_extra_args_turns_unknown_keys_into_one_warning),
        cmocka_unit_test(keys_that_would_change_the_result_are_refused_and_their_defaults_are_not),
        cmocka_unit_test(keys_that_exclude_each_other_are_refused_together),
        cmocka_unit_test(what_is_needed_and_missing_is_named),
        cmocka_unit_test(references_are_replaced_and_broken_ones_are_errors),
        cmocka_unit_test(references_cannot_blow_a_file_up),
        cmocka_unit_test(the_dump_reads_back_as_the_same_configuration),
        cmocka_unit_test(only_keys_that_decide_the_result_change_its_text),
        cmocka_unit_test(a_pack_is_read_the_same_whatever_the_environment_is),
        cmocka_unit_test(environment_values_that_are_no_text_are_refused),
        cmocka_unit_test(steps_below_one_are_shares_of_the_run),
        cmocka_unit_test(notes_name_what_is_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
