/*
 * tests of lora/adapter.h, on folders written by PEFT
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "lora/adapter.h"
#include "lora/lora_internal.h"

#define GOLDEN  "tests/golden/lora/"
#define LINEARS 15
#define D       "model.layers."

/* The linear modules of the model of the golden files, in a model's order. */
static const struct lora_linear linears[LINEARS] = {
    { D "0.self_attn.q_proj", 6, 8 },
    { D "0.self_attn.k_proj", 6, 4 },
    { D "0.self_attn.v_proj", 6, 4 },
    { D "0.self_attn.o_proj", 8, 6 },
    { D "0.mlp.gate_proj", 6, 10 },
    { D "0.mlp.up_proj", 6, 10 },
    { D "0.mlp.down_proj", 10, 6 },
    { D "1.self_attn.q_proj", 6, 8 },
    { D "1.self_attn.k_proj", 6, 4 },
    { D "1.self_attn.v_proj", 6, 4 },
    { D "1.self_attn.o_proj", 8, 6 },
    { D "1.mlp.gate_proj", 6, 10 },
    { D "1.mlp.up_proj", 6, 10 },
    { D "1.mlp.down_proj", 10, 6 },
    { "lm_head", 6, 11 },
};

/* Temporary folder of this process; removed by main. */
static char folder[64];

static char *in_folder(const char *name)
{
    static char path[160];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int open_with(struct adapter *adapter, const char *const *targets, int count,
                     struct error *err)
{
    const struct lora_params params = {
        .lora_rank = 3, .targets = targets, .target_count = count, .seed = 42
    };

    return adapter_open(adapter, &params, linears, LINEARS, err);
}

static void all_means_every_linear_module_but_the_head(void **state)
{
    const char *const all[] = { "all" };
    struct adapter adapter;
    struct error err;
    size_t at = 0;

    (void)state;
    assert_int_equal(open_with(&adapter, all, 1, &err), 0);
    assert_int_equal(adapter.count, LINEARS - 1);
    assert_int_equal(adapter.target_count, 7);
    assert_string_equal(adapter.targets[0], "down_proj");
    assert_int_equal(adapter_find(&adapter, "lm_head"), -1);
    for (int m = 0; m < adapter.count; m++) {
        const struct lora_module *module = &adapter.modules[m];

        assert_int_equal(adapter_find(&adapter, linears[m].name), m);
        assert_int_equal(module->a_offset, at);
        assert_int_equal(module->b_offset, at + 3 * (size_t)linears[m].C);
        at += 3 * (size_t)(linears[m].C + linears[m].O);
    }
    assert_int_equal(adapter.param_count, at);
    assert_true(adapter.alpha == 6.0F && adapter.scale == 2.0F);
    adapter_close(&adapter);
}

static void targets_are_full_names_or_last_parts(void **state)
{
    const char *const names[] = { "q_proj", D "1.mlp.down_proj", "self_attn.v_proj", "q_proj" };
    const char *const head[] = { "lm_head" };
    struct adapter adapter;
    struct error err;

    (void)state;
    assert_int_equal(open_with(&adapter, names, 4, &err), 0);
    assert_int_equal(adapter.count, 5);
    assert_int_equal(adapter.target_count, 3);
    assert_string_equal(adapter.modules[4].name, D "1.mlp.down_proj");
    adapter_close(&adapter);
    assert_int_equal(open_with(&adapter, head, 1, &err), 0);
    assert_int_equal(adapter.count, 1);
    adapter_close(&adapter);
}

static void a_target_that_names_nothing_is_an_error(void **state)
{
    static const char *const wrong[] = { "proj", "q_proj.", "", "all_linear", "_proj", ".q_proj" };
    struct adapter adapter;
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *const targets[] = { "q_proj", wrong[i] };

        assert_int_equal(open_with(&adapter, targets, 2, &err), -1);
        assert_non_null(strstr(err.msg, "there are: down_proj, gate_proj, k_proj, lm_head"));
    }
    assert_int_equal(open_with(&adapter, NULL, 0, &err), -1);
}

static void wrong_numbers_are_refused(void **state)
{
    static const struct {
        int R;
        double alpha, dropout;
    } wrong[] = { { 0, 0, 0 }, { -1, 0, 0 },  { 5000, 0, 0 }, { 8, -1, 0 },      { 8, NAN, 0 },
                  { 8, 0, 1 }, { 8, 0, -.1 }, { 8, 0, NAN },  { 8, INFINITY, 0 } };
    const char *const all[] = { "all" };
    struct adapter adapter;
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const struct lora_params params = { .lora_rank = wrong[i].R,
                                            .lora_alpha = wrong[i].alpha,
                                            .lora_dropout = wrong[i].dropout,
                                            .targets = all,
                                            .target_count = 1 };

        assert_int_equal(adapter_open(&adapter, &params, linears, LINEARS, &err), -1);
    }
}

static void rslora_divides_by_the_root(void **state)
{
    const char *const all[] = { "all" };
    const struct lora_params params = {
        .lora_rank = 16, .lora_alpha = 8, .targets = all, .target_count = 1, .use_rslora = 1
    };
    struct adapter adapter;
    struct error err;

    (void)state;
    assert_int_equal(adapter_open(&adapter, &params, linears, LINEARS, &err), 0);
    assert_true(adapter.scale == 2.0F);
    adapter_close(&adapter);
}

static void a_starts_uniform_and_b_zero(void **state)
{
    static const struct lora_linear wide = { "wide.fc", 4096, 64 };
    const char *const all[] = { "all" };
    const struct lora_params params = {
        .lora_rank = 16, .targets = all, .target_count = 1, .seed = 7
    };
    const double bound = 1.0 / 64;
    const int n = 16 * 4096;
    struct adapter adapter;
    struct error err;
    double sum = 0, squares = 0;

    (void)state;
    assert_int_equal(adapter_open(&adapter, &params, &wide, 1, &err), 0);
    for (int i = 0; i < n; i++) {
        double a = (double)adapter.params[i];

        assert_true(a >= -bound && a <= bound);
        sum += a;
        squares += a * a;
    }
    assert_true(fabs(sum / n) < 4 * bound / sqrt(3.0 * n));
    assert_true(fabs(squares / n / (bound * bound / 3) - 1) < 0.02);
    for (int i = n; i < n + 64 * 16; i++)
        assert_true(adapter.params[i] == 0.0F);
    adapter_close(&adapter);
}

static void a_does_not_depend_on_the_other_targets(void **state)
{
    const char *const all[] = { "all" }, *const some[] = { "v_proj" };
    struct adapter whole, part;
    struct error err;

    (void)state;
    assert_int_equal(open_with(&whole, all, 1, &err), 0);
    assert_int_equal(open_with(&part, some, 1, &err), 0);
    for (int m = 0; m < part.count; m++) {
        const struct lora_module *a = &part.modules[m];
        const struct lora_module *b = &whole.modules[adapter_find(&whole, a->name)];

        assert_memory_equal(part.params + a->a_offset, whole.params + b->a_offset,
                            3 * (size_t)a->C * sizeof(float));
    }
    assert_true(whole.params[0] != whole.params[whole.modules[7].a_offset]);
    adapter_close(&whole);
    adapter_close(&part);
}

static void assert_same_file(const char *name, const char *golden)
{
    struct error err;
    char *a, *b;
    size_t a_len, b_len;

    assert_int_equal(file_read(in_folder(name), &a, &a_len, &err), 0);
    assert_int_equal(file_read(golden, &b, &b_len, &err), 0);
    assert_int_equal(a_len, b_len);
    assert_memory_equal(a, b, a_len);
    free(a);
    free(b);
}

static void a_folder_of_peft_is_written_again_byte_by_byte(void **state)
{
    struct adapter adapter;
    struct error err;

    (void)state;
    assert_int_equal(adapter_load(&adapter, GOLDEN "peft", linears, LINEARS, &err), 0);
    assert_int_equal(adapter.R, 3);
    assert_int_equal(adapter.count, 14);
    assert_true(adapter.dropout == 0.05F && adapter.scale == (float)(5.0 / 3.0));
    for (int i = 0; i < 18; i++)
        assert_true(adapter.params[i] == (float)i / 8);
    assert_true(adapter.params[adapter.modules[0].b_offset] == 1.0F);
    assert_int_equal(adapter_save(&adapter, NULL, in_folder("new/er"), "some/base-model", &err), 0);
    assert_same_file("new/er/adapter_config.json", GOLDEN "peft/adapter_config.json");
    assert_same_file("new/er/adapter_model.safetensors", GOLDEN "peft/adapter_model.safetensors");
    adapter_close(&adapter);
}

static void bfloat16_and_rslora_are_taken_over(void **state)
{
    struct adapter adapter;
    struct error err;

    (void)state;
    assert_int_equal(adapter_load(&adapter, GOLDEN "peft-rslora", linears, LINEARS, &err), 0);
    assert_int_equal(adapter.count, 3);
    assert_true(adapter.scale == 4.0F);
    assert_string_equal(adapter.modules[2].name, D "1.mlp.down_proj");
    assert_true(adapter.params[5] == 0.625F);
    assert_int_equal(adapter_save(&adapter, NULL, in_folder("rs"), "some/base-model", &err), 0);
    assert_same_file("rs/adapter_config.json", GOLDEN "peft-rslora/adapter_config.json");
    adapter_close(&adapter);
}

static void other_numbers_can_be_saved(void **state)
{
    const char *const some[] = { "k_proj" };
    struct adapter adapter, again;
    struct error err;
    float *params;

    (void)state;
    assert_int_equal(open_with(&adapter, some, 1, &err), 0);
    params = malloc(adapter.param_count * sizeof(*params));
    assert_non_null(params);
    for (size_t i = 0; i < adapter.param_count; i++)
        params[i] = (float)i;
    assert_int_equal(adapter_save(&adapter, params, in_folder("other"), NULL, &err), 0);
    assert_int_equal(adapter_load(&again, in_folder("other"), linears, LINEARS, &err), 0);
    assert_int_equal(again.param_count, adapter.param_count);
    assert_memory_equal(again.params, params, again.param_count * sizeof(*params));
    free(params);
    adapter_close(&adapter);
    adapter_close(&again);
}

static void an_adapter_that_does_not_fit_the_model_is_refused(void **state)
{
    struct lora_linear other[LINEARS + 1];
    struct adapter adapter;
    struct error err;

    (void)state;
    memcpy(other, linears, sizeof(linears));
    other[3].O = 7;
    assert_int_equal(adapter_load(&adapter, GOLDEN "peft", other, LINEARS, &err), -1);
    assert_non_null(strstr(err.msg, "layers.0.self_attn.o_proj.lora_B.weight"));
    assert_int_equal(adapter_load(&adapter, GOLDEN "peft", linears, 13, &err), -1);
    assert_non_null(strstr(err.msg, "layers.1.mlp.down_proj"));
    memcpy(other, linears, sizeof(linears));
    other[LINEARS] = (struct lora_linear){ D "2.self_attn.q_proj", 6, 8 };
    assert_int_equal(adapter_load(&adapter, GOLDEN "peft", other, LINEARS + 1, &err), -1);
    assert_non_null(strstr(err.msg, "no tensor 'base_model.model.model.layers.2.self_attn.q_proj"));
    assert_int_equal(adapter_load(&adapter, GOLDEN "peft", linears + 14, 1, &err), -1);
    assert_non_null(strstr(err.msg, "none of the adapter's modules"));
    assert_int_equal(adapter_load(&adapter, folder, linears, LINEARS, &err), -1);
    assert_non_null(strstr(err.msg, "is no adapter"));
}

static void settings_that_are_not_computed_are_refused_by_name(void **state)
{
    static const struct {
        const char *text, *name; // name NULL: accepted
    } cases[] = {
        { "{\"peft_type\": \"LORA\"}", NULL },
        { "{\"peft_type\": \"LORA\", \"bias\": \"none\", \"use_dora\": false, \"x\": 1}", NULL },
        { "{\"peft_type\": \"LORA\", \"init_lora_weights\": \"gaussian\"}", NULL },
        { "{\"peft_type\": \"LORA\", \"target_modules\": \".*q_proj\"}", NULL },
        { "{}", "peft_type" },
        { "[]", "no object" },
        { "{\"peft_type\": \"IA3\"}", "IA3" },
        { "{\"peft_type\": 7}", "peft_type" },
        { "{\"peft_type\": \"LORA\", \"use_dora\": true}", "use_dora" },
        { "{\"peft_type\": \"LORA\", \"bias\": \"all\"}", "bias" },
        { "{\"peft_type\": \"LORA\", \"modules_to_save\": [\"lm_head\"]}", "modules_to_save" },
        { "{\"peft_type\": \"LORA\", \"rank_pattern\": {\"q\": 4}}", "rank_pattern" },
        { "{\"peft_type\": \"LORA\", \"alpha_pattern\": {\"q\": 4}}", "alpha_pattern" },
        { "{\"peft_type\": \"LORA\", \"layers_to_transform\": [1]}", "layers_to_transform" },
        { "{\"peft_type\": \"LORA\", \"init_lora_weights\": \"pissa\"}", "init_lora_weights" },
        { "{\"peft_type\": \"LORA\", \"r\": 0}", "r" },
        { "{\"peft_type\": \"LORA\", \"r\": 99999}", "r" },
        { "{\"peft_type\": \"LORA\", \"lora_alpha\": 0}", "lora_alpha" },
        { "{\"peft_type\": \"LORA\", \"lora_dropout\": 1.5}", "lora_dropout" },
        { "{\"peft_type\": \"LORA\", \"target_modules\": [1]}", "target_modules" },
        { "{\"peft_type\": \"LORA\", \"target_modules\": {}}", "target_modules" },
    };
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct adapter adapter = { 0 };
        int rc =
            adapter_config_parse(&adapter, cases[i].text, strlen(cases[i].text), "c.json", &err);

        adapter_close(&adapter);
        if (rc != (cases[i].name ? -1 : 0) || (cases[i].name && !strstr(err.msg, cases[i].name)))
            fail_msg("%s: %s", cases[i].text, rc < 0 ? err.msg : "accepted");
    }
}

/* A config without a list of names: modules are those that have tensors. */
static void a_pattern_of_targets_is_kept(void **state)
{
    static const char text[] =
        "{\"peft_type\": \"LORA\", \"r\": 3, \"target_modules\": \".*_proj\"}";
    struct adapter adapter;
    struct error err;

    (void)state;
    assert_int_equal(folder_make(in_folder("pattern"), &err), 0);
    assert_int_equal(file_copy(GOLDEN "peft/adapter_model.safetensors",
                               in_folder("pattern/adapter_model.safetensors"), &err),
                     0);
    assert_int_equal(file_write(in_folder("pattern/adapter_config.json"), text, strlen(text), &err),
                     0);
    assert_int_equal(adapter_load(&adapter, in_folder("pattern"), linears, LINEARS, &err), 0);
    assert_int_equal(adapter.count, 14);
    assert_string_equal(adapter.target_pattern, ".*_proj");
    assert_true(adapter.alpha == 8.0F);
    adapter_close(&adapter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_means_every_linear_module_but_the_head),
        cmocka_unit_test(targets_are_full_names_or_last_parts),
        cmocka_unit_test(a_target_that_names_nothing_is_an_error),
        cmocka_unit_test(wrong_numbers_are_refused),
        cmocka_unit_test(rslora_divides_by_the_root),
        cmocka_unit_test(a_starts_uniform_and_b_zero),
        cmocka_unit_test(a_does_not_depend_on_the_other_targets),
        cmocka_unit_test(a_folder_of_peft_is_written_again_byte_by_byte),
        cmocka_unit_test(bfloat16_and_rslora_are_taken_over),
        cmocka_unit_test(other_numbers_can_be_saved),
        cmocka_unit_test(an_adapter_that_does_not_fit_the_model_is_refused),
        cmocka_unit_test(settings_that_are_not_computed_are_refused_by_name),
        cmocka_unit_test(a_pattern_of_targets_is_kept),
    };
    struct error err;
    int failed;

    (void)snprintf(folder, sizeof(folder), "/tmp/lowrank-adapter-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)folder_remove(folder, &err);
    return failed;
}
