/*
 * fuzz_template.c: conversations of any content through any template.
 *
 * The first bytes choose template, parameters and roles; the rest is cut at
 * zero bytes into system text, tools and messages. Reads the tokenizer of
 * tests/golden/templates/marks, so run it from the root of the repository.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/template.h"

#define HEAD       4 // bytes before the texts
#define FORMATS    5
#define TEXT_PARTS 66

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_template(struct template **t, struct tokenizer *tok, const uint8_t *head)
{
    static const char *const formats[FORMATS] = { NULL, "default", "llama3", "mistral", "qwen" };
    struct error err;
    int count = 0;
    struct template_params params = { 0 };

    while (template_table_name(count) != NULL)
        count++;
    params.name = template_table_name(head[0] % count);
    params.tool_format = formats[head[1] % FORMATS];
    params.enable_thinking = head[1] / FORMATS % 3 - 1;
    params.preserve_thinking = head[1] / 16 & 1;
    params.split_special_tokens = head[1] / 32 & 1;
    params.mask_history = head[1] / 64 & 1;
    params.train_on_prompt = head[1] / 128 & 1;
    params.cutoff_len = head[2] + 1;
    return template_open(t, &params, tok, &err);
}

/* Message i is a function call or an observation when bit i of roles is set. */
static int add_part(struct conversation *conv, int i, int roles, const char *text, size_t len,
                    struct error *err)
{
    int odd = roles >> (i % 8) & 1;
    enum role left = odd ? ROLE_OBSERVATION : ROLE_USER;
    enum role right = odd ? ROLE_FUNCTION : ROLE_ASSISTANT;

    if (i == 0)
        return conversation_set_system(conv, text, err);
    if (i == 1)
        return conversation_set_tools(conv, text, err);
    return conversation_add(conv, i % 2 == 0 ? left : right, text, len, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer *tok = NULL;
    struct template *t = NULL;
    struct conversation conv = { 0 };
    struct token_list ids = { 0 }, labels = { 0 };
    struct error err;
    char *text = NULL;
    size_t pos = 0, len = size < HEAD ? 0 : size - HEAD;

    if (size < HEAD || tokenizer_open(&tok, "tests/golden/templates/marks", &err) < 0)
        return 0;
    if (open_template(&t, tok, data) == 0 && (text = calloc(len + 1, 1)) != NULL) {
        memcpy(text, data + HEAD, len);
        for (int i = 0; i < TEXT_PARTS && pos <= len; i++) {
            size_t n = strlen(text + pos);
            (void)add_part(&conv, i, data[3], text + pos, n, &err);
            pos += n + 1;
        }
        if (template_encode(t, &conv, &ids, &labels, &err) == 0 && ids.n != labels.n)
            abort();
        if (ids.n > (size_t)data[2] + 1) // cutoff_len
            abort();
    }
    free(text);
    token_list_release(&ids);
    token_list_release(&labels);
    conversation_release(&conv);
    template_close(t);
    tokenizer_close(tok);
    return 0;
}
