/*
 * template_driver.c: encodes conversations for template_compare.py.
 *
 *     template_driver TOKENIZER_FOLDER <rows.jsonl >results.jsonl
 *
 * A line in is {"template": ..., "params": {...}} or a conversation
 * {"system": ..., "tools": ..., "messages": [{"role", "content"}, ...]} under the template
 * named last; a line out is {"ids": [...], "labels": [...]} or {"error": "..."} for each
 * conversation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "text/template.h"

static struct error err;

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int flag_of(const json_t *params, const char *key)
{
    return json_is_true(json_object_get(params, key));
}

static int open_template(struct template **t, struct tokenizer **tok, const char *folder,
                         const json_t *row)
{
    const json_t *p = json_object_get(row, "params"), *cut = json_object_get(p, "cutoff_len");
    const json_t *think = json_object_get(p, "enable_thinking");
    struct template_params params = {
        .name = text_of(row, "template"),
        .cutoff_len = cut != NULL ? (int)json_integer_value(cut) : 2048,
        .train_on_prompt = flag_of(p, "train_on_prompt"),
        .mask_history = flag_of(p, "mask_history"),
        .enable_thinking = think == NULL         ? 1
                           : json_is_null(think) ? -1
                                                 : json_is_true(think),
        .preserve_thinking = flag_of(p, "preserve_thinking"),
    };

    template_close(*t);
    tokenizer_close(*tok);
    *t = NULL;
    *tok = NULL;
    return tokenizer_open(tok, folder, &err) < 0 ? -1 : template_open(t, &params, *tok, &err);
}

static int fill(struct conversation *conv, const json_t *row)
{
    static const char *const names[] = { "user", "assistant", "observation", "function" };
    const json_t *messages = json_object_get(row, "messages");

    conversation_reset(conv);
    if (conversation_set_system(conv, text_of(row, "system"), &err) < 0 ||
        conversation_set_tools(conv, text_of(row, "tools"), &err) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i), *content = json_object_get(m, "content");
        int role = 0;
        while (role < 3 && strcmp(names[role], text_of(m, "role")) != 0)
            role++;
        if (conversation_add(conv, (enum role)role, json_string_value(content),
                             json_string_length(content), &err) < 0)
            return -1;
    }
    return 0;
}

static void print_list(const char *key, const struct token_list *list)
{
    (void)printf("\"%s\":[", key);
    for (size_t i = 0; i < list->n; i++)
        (void)printf("%s%d", i == 0 ? "" : ",", list->v[i]);
    (void)printf("]");
}

static void encode(struct template *t, struct conversation *conv, const json_t *row)
{
    struct token_list ids = { 0 }, labels = { 0 };
    struct strbuf message = { 0 };

    if (fill(conv, row) < 0 || template_encode(t, conv, &ids, &labels, &err) < 0) {
        json_dump_string(&message, err.msg, strlen(err.msg), 1);
        (void)printf("{\"error\":%s}\n", strbuf_text(&message));
    } else {
        (void)printf("{");
        print_list("ids", &ids);
        (void)printf(",");
        print_list("labels", &labels);
        (void)printf("}\n");
    }
    strbuf_release(&message);
    token_list_release(&ids);
    token_list_release(&labels);
}

int main(int argc, char **argv)
{
    struct tokenizer *tok = NULL;
    struct template *t = NULL;
    struct conversation conv = { 0 };
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int rc = argc == 2 ? 0 : 2;

    while (rc == 0 && (len = getline(&line, &cap, stdin)) > 0) {
        json_t *row = json_parse_text(line, (size_t)len, "input", &err);
        if (row == NULL)
            rc = 1;
        else if (json_object_get(row, "template") != NULL)
            rc = open_template(&t, &tok, argv[1], row) < 0;
        else
            encode(t, &conv, row);
        json_decref(row);
    }
    if (rc == 1)
        (void)fprintf(stderr, "%s\n", err.msg);
    free(line);
    conversation_release(&conv);
    template_close(t);
    tokenizer_close(tok);
    return rc;
}
