/*
 * fuzz_template.c: conversations of any content through any template.
 *
 * The first bytes choose template, parameters and roles; the rest is cut at
 * zero bytes into system text, tools and messages. Reads the tokenizer of
 * tests/golden/templates/marks, so run it from the root of the repository;
 * each template has its own and keeps it, for reading one takes longer than
 * all the rest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/template.h"

#define HEAD       4 // bytes before the texts
#define FORMATS    5
#define TEXT_PARTS 66
#define TEMPLATES  64 // room for so many

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tokenizer *toks[TEMPLATES];

static int template_count(void)
{
    int count = 0;

    while (count < TEMPLATES && template_table_name(count) != NULL)
        count++;
    return count;
}

static int open_template(struct template **t, const uint8_t *head)
{
    static const char *const formats[FORMATS] = { NULL, "default", "llama3", "mistral", "qwen" };
    int which = head[0] % template_count();
    struct error err;
    struct template_params params = { 0 };

    if (toks[which] == NULL &&
        tokenizer_open(&toks[which], "tests/golden/templates/marks", &err) < 0)
        return -1;
    params.name = template_table_name(which);
    params.tool_format = formats[head[1] % FORMATS];
    params.enable_thinking = head[1] / FORMATS % 3 - 1;
    params.preserve_thinking = head[1] / 16 & 1;
    params.split_special_tokens = head[1] / 32 & 1;
    params.mask_history = head[1] / 64 & 1;
    params.train_on_prompt = head[1] / 128 & 1;
    params.cutoff_len = head[2] + 1;
    return template_open(t, &params, toks[which], &err);
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
    struct template *t = NULL;
    struct conversation conv = { 0 };
    struct token_list ids = { 0 }, labels = { 0 };
    struct error err;
    char *text = NULL;
    size_t pos = 0, len = size < HEAD ? 0 : size - HEAD;

    if (size < HEAD)
        return 0;
    if (open_template(&t, data) == 0 && (text = calloc(len + 1, 1)) != NULL) {
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
    return 0;
}
