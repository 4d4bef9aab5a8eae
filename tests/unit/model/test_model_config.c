/*
 * config.json of each family to struct model_config, what is refused, and
 * where a model's folder is looked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "model/hub.h"
#include "model/model_config.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/lowrank-model-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    struct error err;

    (void)state;
    return folder_remove(folder, &err);
}

#define DIMS                                                                      \
    "\"hidden_size\": 48, \"num_hidden_layers\": 3, \"num_attention_heads\": 6, " \
    "\"num_key_value_heads\": 2, \"intermediate_size\": 100, \"vocab_size\": 300, "

static int parse(struct model_config *c, const char *architecture, const char *more,
                 struct error *err)
{
    char path[96], text[1024];
    int len = snprintf(text, sizeof(text), "{\"architectures\": [\"%s\"], " DIMS "%s \"x\": 0}",
                       architecture, more);

    (void)snprintf(path, sizeof(path), "%s/config.json", folder);
    if (file_write(path, text, (size_t)len, err) < 0)
        return -1;
    return model_config_read(c, folder, err);
}

static void must_parse(struct model_config *c, const char *architecture, const char *more)
{
    struct error err;

    if (parse(c, architecture, more, &err) < 0)
        fail_msg("%s", err.msg);
}

static void families_differ_where_transformers_says(void **state)
{
    struct model_config c;

    (void)state;
    must_parse(&c, "LlamaForCausalLM", "\"attention_bias\": true,");
    assert_int_equal(c.D, 8);
    assert_true(c.qkv_bias && c.o_bias && !c.mlp_bias && !c.qk_norm && !c.tied);
    assert_int_equal(c.window[0], 0);
    must_parse(&c, "MistralForCausalLM", "\"sliding_window\": null, \"head_dim\": 10,");
    assert_int_equal(c.D, 10);
    assert_int_equal(c.window[0], 0);
    must_parse(&c, "MistralForCausalLM", "");
    assert_int_equal(c.window[2], 4096);
    must_parse(&c, "Qwen2ForCausalLM", "\"tie_word_embeddings\": true,");
    assert_true(c.qkv_bias && !c.o_bias && c.tied);
    assert_int_equal(c.window[0], 0);
    must_parse(&c, "Qwen2ForCausalLM",
               "\"use_sliding_window\": true, \"sliding_window\": 7, \"max_window_layers\": 1,");
    assert_int_equal(c.window[0], 0);
    assert_int_equal(c.window[1], 7);
    must_parse(&c, "Qwen3ForCausalLM", "");
    assert_int_equal(c.D, 128);
    assert_true(c.qk_norm && !c.qkv_bias);
}

static void both_spellings_of_rope_are_read(void **state)
{
    struct model_config c;

    (void)state;
    must_parse(
        &c, "LlamaForCausalLM",
        "\"rope_theta\": 500000.0, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, "
        "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
        "\"original_max_position_embeddings\": 8192},");
    assert_int_equal(c.rope.kind, ROPE_LLAMA3);
    assert_true(c.rope.theta == 500000.0 && c.rope.factor == 8.0);
    must_parse(&c, "LlamaForCausalLM",
               "\"rope_parameters\": {\"rope_theta\": 1000000.0, \"rope_type\": \"default\"},");
    assert_int_equal(c.rope.kind, ROPE_DEFAULT);
    assert_true(c.rope.theta == 1000000.0);
    must_parse(&c, "LlamaForCausalLM",
               "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0},");
    assert_int_equal(c.rope.kind, ROPE_LINEAR);
}

static void what_is_not_computed_is_refused_by_name(void **state)
{
    static const char *const cases[][3] = {
        { "GPT2LMHeadModel", "", "supported are LlamaForCausalLM, MistralForCausalLM" },
        { "LlamaForCausalLM", "\"hidden_act\": \"gelu\",", "'hidden_act' is 'gelu'" },
        { "LlamaForCausalLM", "\"attention_dropout\": 0.1,", "attention_dropout" },
        { "LlamaForCausalLM", "\"quantization_config\": {},", "quantised" },
        { "LlamaForCausalLM", "\"rope_scaling\": {\"rope_type\": \"yarn\"},", "'yarn'" },
        { "LlamaForCausalLM", "\"num_key_value_heads\": 4,", "no multiple" },
        { "LlamaForCausalLM", "\"head_dim\": 7,", "even" },
        { "LlamaForCausalLM", "\"hidden_size\": -3,", "hidden_size" },
        { "LlamaForCausalLM", "\"num_hidden_layers\": 100000,", "num_hidden_layers" },
        { "Qwen3ForCausalLM", "\"layer_types\": [\"full_attention\"],", "layer_types" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct model_config c;
        struct error err;

        assert_int_equal(parse(&c, cases[i][0], cases[i][1], &err), -1);
        if (!strstr(err.msg, cases[i][2]) || !strstr(err.msg, folder))
            fail_msg("'%s' does not speak of %s", err.msg, cases[i][2]);
    }
}

static void a_hub_name_is_found_in_the_cache(void **state)
{
    struct error err;
    char path[160], cache[96], *found;

    (void)state;
    (void)snprintf(cache, sizeof(cache), "%s/hub", folder);
    (void)snprintf(path, sizeof(path), "%s/models--Org--Name-1B/snapshots/abc123", cache);
    assert_int_equal(folder_make(path, &err), 0);
    (void)snprintf(path, sizeof(path), "%s/models--Org--Name-1B/refs", cache);
    assert_int_equal(folder_make(path, &err), 0);
    (void)snprintf(path, sizeof(path), "%s/models--Org--Name-1B/refs/main", cache);
    assert_int_equal(file_write(path, "abc123\n", 7, &err), 0);
    assert_int_equal(model_folder_find(&found, "Org/Name-1B", cache, "main", &err), 0);
    assert_non_null(strstr(found, "models--Org--Name-1B/snapshots/abc123"));
    free(found);
    assert_int_equal(model_folder_find(&found, "Org/Name-1B", cache, "abc123", &err), 0);
    free(found);
    assert_int_equal(setenv("HF_HUB_CACHE", cache, 1), 0);
    assert_int_equal(model_folder_find(&found, "Org/Name-1B", NULL, "main", &err), 0);
    free(found);
    assert_int_equal(unsetenv("HF_HUB_CACHE"), 0);
    assert_int_equal(setenv("HF_HOME", folder, 1), 0);
    assert_int_equal(model_folder_find(&found, "Org/Name-1B", NULL, "main", &err), 0);
    free(found);
    assert_int_equal(model_folder_find(&found, "Org/Other", cache, "main", &err), -1);
    assert_non_null(strstr(err.msg, "hf download Org/Other"));
    assert_int_equal(model_folder_find(&found, folder, NULL, "main", &err), 0);
    assert_string_equal(found, folder);
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_differ_where_transformers_says),
        cmocka_unit_test(both_spellings_of_rope_are_read),
        cmocka_unit_test(what_is_not_computed_is_refused_by_name),
        cmocka_unit_test(a_hub_name_is_found_in_the_cache),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
