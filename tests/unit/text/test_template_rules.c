/*
 * text/template: parameters, refusals, the tokenizer's end token, hashes.
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
#include "text/template.h"

#define MARKS  "tests/golden/templates/marks"
#define LLAMA3 "tests/golden/tokenizers/llama3"

static struct error err;

static struct tokenizer *open_tokenizer(const char *folder)
{
    struct tokenizer *tok = NULL;

    if (tokenizer_open(&tok, folder, &err) < 0)
        fail_msg("%s", err.msg);
    return tok;
}

static struct template_params params_of(const char *name)
{
    return (struct template_params){ .name = name, .cutoff_len = 512, .enable_thinking = 1 };
}

/* 0, or -1 with err filled in. */
static int try_open(const struct template_params *params, const char *folder)
{
    struct tokenizer *tok = open_tokenizer(folder);
    struct template *t = NULL;
    int rc = template_open(&t, params, tok, &err);

    template_close(t);
    tokenizer_close(tok);
    return rc;
}

static void a_misspelt_name_gets_the_nearest_one_and_all(void **state)
{
    struct template_params params = params_of("qwen3_nothnk");

    (void)state;
    assert_int_equal(try_open(&params, MARKS), -1);
    assert_non_null(strstr(err.msg, "did you mean 'qwen3_nothink'?"));
    for (int i = 0; template_table_name(i) != NULL; i++)
        assert_non_null(strstr(err.msg, template_table_name(i)));
}

static void the_table_is_in_alphabetical_order(void **state)
{
    (void)state;
    for (int i = 1; template_table_name(i) != NULL; i++)
        assert_true(strcmp(template_table_name(i - 1), template_table_name(i)) < 0);
    assert_null(template_table_name(-1));
}

static void without_a_name_a_chat_model_asks_for_one(void **state)
{
    static const char *const configs[] = { "{\"chat_template\": \"{{ messages }}\"}",
                                           "{\"chat_template\": null}", "{}" };
    char folder[] = "/tmp/lowrank-template-XXXXXX", path[64];
    struct template_params params = params_of(NULL);

    (void)state;
    assert_int_equal(try_open(&params, MARKS), 0);
    assert_non_null(mkdtemp(folder));
    params.model_folder = folder;
    assert_int_equal(try_open(&params, MARKS), 0);
    (void)snprintf(path, sizeof(path), "%s/tokenizer_config.json", folder);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(file_write(path, configs[i], strlen(configs[i]), &err), 0);
        assert_int_equal(try_open(&params, MARKS), i == 0 ? -1 : 0);
    }
    (void)snprintf(path, sizeof(path), "%s/chat_template.jinja", folder);
    assert_int_equal(file_write(path, "x", 1, &err), 0);
    assert_int_equal(try_open(&params, MARKS), -1);
    assert_non_null(strstr(err.msg, "qwen3_nothink"));
    assert_int_equal(folder_remove(folder, &err), 0);
}

static void parameters_that_exclude_each_other_are_refused(void **state)
{
    struct template_params params = params_of("qwen");

    (void)state;
    params.train_on_prompt = params.mask_history = 1;
    assert_int_equal(try_open(&params, MARKS), -1);
    params = params_of("gemma2");
    params.train_on_prompt = 1;
    assert_int_equal(try_open(&params, MARKS), -1);
    assert_non_null(strstr(err.msg, "gemma2"));
    params = params_of("qwen");
    params.cutoff_len = 0;
    assert_int_equal(try_open(&params, MARKS), -1);
    params = params_of("qwen");
    params.tool_format = "xml";
    assert_int_equal(try_open(&params, MARKS), -1);
    assert_non_null(strstr(err.msg, "llama3"));
}

static void an_end_token_that_the_tokenizer_lacks_is_refused(void **state)
{
    static const char *const names[] = { "qwen", "smollm", "gemma2" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct template_params params = params_of(names[i]);
        assert_int_equal(try_open(&params, LLAMA3), -1);
        assert_non_null(strstr(err.msg, i < 2 ? "<|im_end|>" : "<end_of_turn>"));
    }
}

static void a_stop_word_that_nobody_writes_may_be_missing(void **state)
{
    struct template_params params = params_of("llama3");
    char folder[] = "/tmp/lowrank-template-XXXXXX", path[64];
    char *text = NULL, *word;
    size_t len;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/tokenizer.json", folder);
    assert_int_equal(file_read(MARKS "/tokenizer.json", &text, &len, &err), 0);
    assert_non_null(word = strstr(text, "<|eom_id|>"));
    memcpy(word, "<|xxx_id|>", strlen("<|xxx_id|>"));
    assert_int_equal(file_write(path, text, len, &err), 0);
    assert_int_equal(try_open(&params, folder), 0);
    assert_int_equal(folder_remove(folder, &err), 0);
    free(text);
}

static void eos_is_replaced_where_the_template_says_so(void **state)
{
    static const struct {
        const char *name, *eos;
    } cases[] = { { "qwen3", "<|im_end|>" },
                  { "smollm2", "</s>" },
                  { "gemma", "<end_of_turn>" },
                  { "gemma2", "</s>" },
                  { "llama3", "<|eot_id|>" } };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct template_params params = params_of(cases[i].name);
        struct tokenizer *tok = open_tokenizer(MARKS);
        struct template *t = NULL;
        assert_int_equal(tokenizer_pad(tok), -1);
        assert_int_equal(template_open(&t, &params, tok, &err), 0);
        assert_int_equal(tokenizer_eos(tok), tokenizer_id(tok, cases[i].eos));
        assert_int_equal(tokenizer_pad(tok), tokenizer_eos(tok));
        assert_string_equal(template_name(t), cases[i].name);
        template_close(t);
        tokenizer_close(tok);
    }
}

static int encode_pair(struct template *t, enum role left, enum role right, const char *reply,
                       size_t len, struct token_list *ids)
{
    struct conversation conv = { 0 };
    struct token_list labels = { 0 };
    int rc;

    assert_int_equal(conversation_add(&conv, left, "Hi", 2, &err), 0);
    assert_int_equal(conversation_add(&conv, right, reply, len, &err), 0);
    rc = template_encode(t, &conv, ids, &labels, &err);
    assert_int_equal(labels.n, rc == 0 ? ids->n - 1 : 0);
    token_list_release(&labels);
    conversation_release(&conv);
    return rc;
}

static void a_refused_row_leaves_the_lists_alone(void **state)
{
    struct template_params params = params_of("qwen2_vl");
    struct tokenizer *tok = open_tokenizer(MARKS);
    struct template *t = NULL;
    struct token_list ids = { 0 };

    (void)state;
    assert_int_equal(template_open(&t, &params, tok, &err), 0);
    assert_int_equal(token_list_add(&ids, 7, &err), 0);
    assert_int_equal(encode_pair(t, ROLE_ASSISTANT, ROLE_ASSISTANT, "a", 1, &ids), -1);
    assert_int_equal(encode_pair(t, ROLE_USER, ROLE_OBSERVATION, "a", 1, &ids), -1);
    assert_int_equal(encode_pair(t, ROLE_USER, ROLE_FUNCTION, "{", 1, &ids), -1);
    assert_non_null(strstr(err.msg, "message 2"));
    assert_int_equal(encode_pair(t, ROLE_USER, ROLE_ASSISTANT, "a\xff", 2, &ids), -1);
    assert_non_null(strstr(err.msg, "message 2"));
    assert_int_equal(encode_pair(t, ROLE_USER, ROLE_ASSISTANT, "see <image>", 11, &ids), -1);
    assert_non_null(strstr(err.msg, "<image>"));
    assert_int_equal(ids.n, 1);
    assert_int_equal(encode_pair(t, ROLE_USER, ROLE_ASSISTANT, "a", 1, &ids), 0);
    assert_true(ids.n > 1);
    assert_int_equal(ids.v[0], 7);
    token_list_release(&ids);
    template_close(t);
    tokenizer_close(tok);
}

static void an_odd_number_of_messages_is_refused(void **state)
{
    struct template_params params = params_of("empty");
    struct tokenizer *tok = open_tokenizer(MARKS);
    struct template *t = NULL;
    struct conversation conv = { 0 };
    struct token_list ids = { 0 }, labels = { 0 };

    (void)state;
    assert_int_equal(template_open(&t, &params, tok, &err), 0);
    assert_int_equal(template_encode(t, &conv, &ids, &labels, &err), -1);
    assert_int_equal(conversation_add(&conv, ROLE_USER, "a", 1, &err), 0);
    assert_int_equal(template_encode(t, &conv, &ids, &labels, &err), -1);
    conversation_release(&conv);
    template_close(t);
    tokenizer_close(tok);
}

static struct hash hash_of(const struct template_params *params)
{
    struct tokenizer *tok = open_tokenizer(MARKS);
    struct template *t = NULL;
    struct hash hash;

    assert_int_equal(template_open(&t, params, tok, &err), 0);
    hash = template_hash(t);
    template_close(t);
    tokenizer_close(tok);
    return hash;
}

static void the_hash_changes_with_all_that_decides_ids(void **state)
{
    struct template_params params[12];
    struct hash hashes[12];

    (void)state;
    for (size_t i = 0; i < 12; i++)
        params[i] = params_of("qwen3");
    params[1].name = "qwen3_nothink";
    params[2].cutoff_len = 511;
    params[3].train_on_prompt = 1;
    params[4].mask_history = 1;
    params[5].enable_thinking = 0;
    params[6].enable_thinking = -1;
    params[7].preserve_thinking = 1;
    params[8].default_system = "x";
    params[9].tool_format = "llama3";
    params[10].tool_format = "llama3";
    params[10].tool_date = "25 Nov 2026";
    params[11].split_special_tokens = 1;
    for (size_t i = 0; i < 12; i++) {
        hashes[i] = hash_of(&params[i]);
        for (size_t k = 0; k < i; k++)
            assert_false(hash_equal(hashes[i], hashes[k]));
    }
    params[0].tool_date = "25 Nov 2026"; // not used by the qwen tool format
    assert_true(hash_equal(hash_of(&params[0]), hashes[0]));
}

static void a_cut_keeps_the_heads_within_the_budget(void **state)
{
    static const size_t cases[][5] = {
        // source, target, budget, source kept, target kept
        { 10, 4, 100, 10, 4 }, { 100, 4, 10, 6, 4 }, { 4, 100, 10, 4, 6 }, { 50, 50, 20, 10, 10 },
        { 30, 60, 10, 4, 6 },  { 1, 1, 1, 1, 0 },    { 0, 9, 4, 0, 4 },    { 9, 0, 4, 4, 0 },
        { 0, 0, 1, 0, 0 },     { 6, 5, 10, 6, 4 }
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t source = cases[i][0], target = cases[i][1];
        template_fit(&source, &target, cases[i][2]);
        assert_int_equal(source, cases[i][3]);
        assert_int_equal(target, cases[i][4]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_misspelt_name_gets_the_nearest_one_and_all),
        cmocka_unit_test(the_table_is_in_alphabetical_order),
        cmocka_unit_test(without_a_name_a_chat_model_asks_for_one),
        cmocka_unit_test(parameters_that_exclude_each_other_are_refused),
        cmocka_unit_test(an_end_token_that_the_tokenizer_lacks_is_refused),
        cmocka_unit_test(a_stop_word_that_nobody_writes_may_be_missing),
        cmocka_unit_test(eos_is_replaced_where_the_template_says_so),
        cmocka_unit_test(a_refused_row_leaves_the_lists_alone),
        cmocka_unit_test(an_odd_number_of_messages_is_refused),
        cmocka_unit_test(the_hash_changes_with_all_that_decides_ids),
        cmocka_unit_test(a_cut_keeps_the_heads_within_the_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
