/*
 * text/template: ids and labels equal LLaMA-Factory's, row by row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/json.h"
#include "text/template.h"

#define FOLDER "tests/golden/templates/"

static struct error err;
static json_t *chats;

static int load(void **state)
{
    (void)state;
    chats = json_parse_file(FOLDER "conversations.json", &err);
    if (chats == NULL)
        (void)fprintf(stderr, "%s\n", err.msg);
    return chats == NULL;
}

static int unload(void **state)
{
    (void)state;
    json_decref(chats);
    return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int flag_of(const json_t *params, const char *key)
{
    return json_is_true(json_object_get(params, key));
}

static enum role role_of(const char *name)
{
    static const char *const names[] = { "user", "assistant", "observation", "function" };
    int i = 0;

    while (i < ROLE_FUNCTION && strcmp(names[i], name) != 0)
        i++;
    return (enum role)i;
}

static void fill(struct conversation *conv, const json_t *chat)
{
    const json_t *messages = json_object_get(chat, "messages");

    conversation_reset(conv);
    assert_int_equal(conversation_set_system(conv, text_of(chat, "system"), &err), 0);
    assert_int_equal(conversation_set_tools(conv, text_of(chat, "tools"), &err), 0);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i), *content = json_object_get(m, "content");
        assert_int_equal(conversation_add(conv, role_of(text_of(m, "role")),
                                          json_string_value(content), json_string_length(content),
                                          &err),
                         0);
    }
}

static struct template_params params_of(const json_t *row)
{
    const json_t *p = json_object_get(row, "params"), *cut = json_object_get(p, "cutoff_len");
    const json_t *think = json_object_get(p, "enable_thinking");

    return (struct template_params){
        .name = text_of(row, "template"),
        .cutoff_len = cut != NULL ? (int)json_integer_value(cut) : 2048,
        .train_on_prompt = flag_of(p, "train_on_prompt"),
        .mask_history = flag_of(p, "mask_history"),
        .enable_thinking = think == NULL         ? 1
                           : json_is_null(think) ? -1
                                                 : json_is_true(think),
        .preserve_thinking = flag_of(p, "preserve_thinking"),
        .default_system = text_of(p, "default_system"),
        .tool_format = text_of(p, "tool_format"),
        .tool_date = text_of(p, "tool_date"),
        .split_special_tokens = flag_of(p, "split_special_tokens"),
    };
}

static void explain(const char *family, size_t i, const json_t *row, const char *why)
{
    char *params = json_dumps(json_object_get(row, "params"), JSON_COMPACT);
    size_t chat = (size_t)json_integer_value(json_object_get(row, "conversation"));

    (void)fprintf(stderr, "%s row %zu, template %s, conversation '%s', %s: %s\n", family, i + 1,
                  text_of(row, "template"), text_of(json_array_get(chats, chat), "name"), params,
                  why);
    free(params);
}

/* Position of the first difference, or -1; the count of ids if only that differs. */
static long compare_ids(const json_t *ids, const struct token_list *got)
{
    size_t n = json_array_size(ids);

    for (size_t i = 0; i < n && i < got->n; i++)
        if (json_integer_value(json_array_get(ids, i)) != got->v[i])
            return (long)i;
    return n == got->n ? -1 : (long)(n < got->n ? n : got->n);
}

static long compare_labels(const json_t *row, const struct token_list *ids,
                           const struct token_list *labels)
{
    const json_t *runs = json_object_get(row, "runs"), *odd = json_object_get(row, "odd");
    size_t at = 0, k = 0;

    if (labels->n != ids->n)
        return 0;
    for (size_t i = 0; i < json_array_size(runs); i++) {
        json_int_t run = json_integer_value(json_array_get(runs, i));
        for (json_int_t j = 0; j < (run < 0 ? -run : run); j++, at++) {
            const json_t *pair = json_array_get(odd, k);
            json_int_t want = run < 0 ? ids->v[at] : TEMPLATE_NO_LABEL;
            if (pair != NULL && json_integer_value(json_array_get(pair, 0)) == (json_int_t)at) {
                want = json_integer_value(json_array_get(pair, 1));
                k++;
            }
            if (at >= labels->n || labels->v[at] != want)
                return (long)at;
        }
    }
    return at == labels->n ? -1 : (long)at;
}

static int check_row(struct template *t, struct conversation *conv, const char *family, size_t i,
                     const json_t *row)
{
    struct token_list ids = { 0 }, labels = { 0 };
    char why[1200] = "";
    long at;
    int rc;

    fill(conv,
         json_array_get(chats, (size_t)json_integer_value(json_object_get(row, "conversation"))));
    rc = template_encode(t, conv, &ids, &labels, &err);
    if (flag_of(row, "error") != (rc < 0))
        (void)snprintf(why, sizeof(why), "%s", rc < 0 ? err.msg : "accepted what is refused there");
    else if (rc < 0)
        assert_int_equal(ids.n + labels.n, 0);
    else if ((at = compare_ids(json_object_get(row, "ids"), &ids)) >= 0)
        (void)snprintf(why, sizeof(why), "ids differ at %ld", at);
    else if ((at = compare_labels(row, &ids, &labels)) >= 0)
        (void)snprintf(why, sizeof(why), "labels differ at %ld", at);
    if (why[0] != '\0')
        explain(family, i, row, why);
    token_list_release(&ids);
    token_list_release(&labels);
    return why[0] != '\0';
}

static int same_template(const json_t *a, const json_t *b)
{
    return a != NULL &&
           json_equal(json_object_get(a, "template"), json_object_get(b, "template")) &&
           json_equal(json_object_get(a, "params"), json_object_get(b, "params"));
}

static void check_family(const char *family, const char *tokenizer)
{
    char path[256];
    struct tokenizer *tok = NULL;
    struct template *t = NULL;
    struct conversation conv = { 0 };
    const json_t *last = NULL;
    json_t *rows;
    int wrong = 0;

    (void)snprintf(path, sizeof(path), FOLDER "%s.json", family);
    rows = json_parse_file(path, &err);
    assert_true(json_array_size(rows) > 100);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (!same_template(last, row)) {
            struct template_params params = params_of(row);
            template_close(t);
            tokenizer_close(tok);
            if (tokenizer_open(&tok, tokenizer, &err) < 0 ||
                template_open(&t, &params, tok, &err) < 0)
                fail_msg("%s row %zu: %s", family, i + 1, err.msg);
        }
        last = row;
        wrong += check_row(t, &conv, family, i, row);
    }
    conversation_release(&conv);
    template_close(t);
    tokenizer_close(tok);
    json_decref(rows);
    assert_int_equal(wrong, 0);
}

static void smollm2_rows_equal_llama_factory(void **state)
{
    (void)state;
    check_family("smollm2", "tests/golden/tokenizers/smollm2");
}

static void qwen2_rows_equal_llama_factory(void **state)
{
    (void)state;
    check_family("qwen2", "tests/golden/tokenizers/qwen2");
}

static void qwen3_rows_equal_llama_factory(void **state)
{
    (void)state;
    check_family("qwen3", "tests/golden/tokenizers/qwen3");
}

static void llama3_rows_equal_llama_factory(void **state)
{
    (void)state;
    check_family("llama3", "tests/golden/tokenizers/llama3");
}

static void llama2_rows_equal_llama_factory(void **state)
{
    (void)state;
    check_family("llama2", "tests/golden/tokenizers/llama2");
}

static void mistral_rows_equal_llama_factory(void **state)
{
    (void)state;
    check_family("mistral", "tests/golden/tokenizers/mistral");
}

static void all_templates_equal_llama_factory(void **state)
{
    (void)state;
    check_family("marks", FOLDER "marks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2_rows_equal_llama_factory),
        cmocka_unit_test(qwen2_rows_equal_llama_factory),
        cmocka_unit_test(qwen3_rows_equal_llama_factory),
        cmocka_unit_test(llama3_rows_equal_llama_factory),
        cmocka_unit_test(llama2_rows_equal_llama_factory),
        cmocka_unit_test(mistral_rows_equal_llama_factory),
        cmocka_unit_test(all_templates_equal_llama_factory),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
