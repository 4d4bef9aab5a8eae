/*
 * template.c: a template made ready for one tokenizer and one set of
 * parameters.
 */
#include "template_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

/* Counts the changes of the rules that tables, parameters and tokenizer do not show. */
#define TEMPLATE_RULES 1

static int config_has_chat(const char *path, int *has, struct error *err)
{
    json_t *root = json_parse_file(path, err);

    if (root == NULL)
        return -1;
    *has = json_is_object(root) && json_object_get(root, "chat_template") != NULL &&
           !json_is_null(json_object_get(root, "chat_template"));
    json_decref(root);
    return 0;
}

/* *has = 1 when the model folder says how to chat, in any of the places where it may. */
static int folder_has_chat(const char *folder, int *has, struct error *err)
{
    static const char *const names[] = { "chat_template.jinja", "chat_template.json",
                                         "tokenizer_config.json" };
    int rc = 0;

    *has = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && rc == 0 && !*has; i++) {
        char *path = path_join(folder, names[i], err);
        if (path == NULL)
            return -1;
        if (file_exists(path)) {
            if (strcmp(names[i], "tokenizer_config.json") == 0)
                rc = config_has_chat(path, has, err);
            else
                *has = 1;
        }
        free(path);
    }
    return rc;
}

static const struct template_row *choose_row(const struct template_params *params,
                                             struct error *err)
{
    struct strbuf list = { 0 };
    int has_chat = 0;

    if (params->name != NULL)
        return template_row_find(params->name, err);
    if (params->model_folder != NULL && folder_has_chat(params->model_folder, &has_chat, err) < 0)
        return NULL;
    if (!has_chat)
        return template_row_find("empty", err);
    template_names(&list);
    (void)error_set(err, "no 'template' is set and '%.256s' is a chat model; name its template: %s",
                    params->model_folder, strbuf_text(&list));
    strbuf_release(&list);
    return NULL;
}

static int check_params(const struct template_params *params, const struct template_row *row,
                        struct error *err)
{
    if (params->cutoff_len < 1)
        return error_set(err, "'cutoff_len' is %d; give 1 or more", params->cutoff_len);
    if (params->train_on_prompt && params->mask_history)
        return error_set(err, "'train_on_prompt' and 'mask_history' exclude each other");
    if (params->train_on_prompt && (row->flags & ROW_EFFICIENT_EOS))
        return error_set(err, "template '%s' cannot do 'train_on_prompt'", row->name);
    return 0;
}

/* What a row leaves out; see template_table.c. */
static void fill_texts(struct template *t)
{
    const struct template_row *row = t->row;
    const char *reply = row->flags & ROW_EFFICIENT_EOS ? C : C EOS;

    t->prefix = row->prefix != NULL ? row->prefix : "";
    t->system = row->system != NULL ? row->system : C;
    t->user = row->user != NULL ? row->user : C;
    t->assistant = row->assistant != NULL ? row->assistant : reply;
    t->function = row->function != NULL ? row->function : t->assistant;
    t->observation = row->observation != NULL ? row->observation : t->user;
    t->describe = row->tools;
    t->call = row->tools == TOOLS_PHI4_MINI ? TOOLS_DEFAULT : row->tools;
}

static int apply_params(struct template *t, const struct template_params *params, struct error *err)
{
    const char *system = t->row->default_system != NULL ? t->row->default_system : "";
    const char *date = params->tool_date != NULL ? params->tool_date : TEMPLATE_TOOL_DATE;

    t->cutoff_len = (size_t)params->cutoff_len;
    t->train_on_prompt = params->train_on_prompt;
    t->mask_history = params->mask_history;
    t->enable_thinking = params->enable_thinking;
    t->preserve_thinking = t->row->flags & ROW_THINKS ? params->preserve_thinking : 0;
    t->split_special_tokens = params->split_special_tokens;
    if (params->tool_format != NULL) {
        if (tool_format_find(&t->describe, params->tool_format, err) < 0)
            return -1;
        t->call = t->describe;
        t->function = t->row->flags & ROW_EFFICIENT_EOS ? C : C EOS;
    }
    if (params->default_system != NULL)
        system = params->default_system;
    t->default_system = mem_strdup(system, err);
    t->tool_date = mem_strdup(date, err);
    return t->default_system != NULL && t->tool_date != NULL ? 0 : -1;
}

static int writes_word(const struct template *t, const char *word)
{
    const char *texts[] = {
        t->prefix, t->system, t->user, t->assistant, t->function, t->observation
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strstr(texts[i], word) != NULL)
            return 1;
    return 0;
}

/* A word that the tokenizer lacks may go missing, unless the template itself writes it. */
static int add_stop_words(struct template *t, int first, struct error *err)
{
    for (int i = first; i < TEMPLATE_STOPS && t->row->stops[i] != NULL; i++) {
        const char *word = t->row->stops[i];
        if (tokenizer_id(t->tok, word) < 0 && !writes_word(t, word))
            log_warn("template '%s' has the stop word '%s', which the tokenizer has not; left out",
                     t->row->name, word);
        else if (tokenizer_add_special(t->tok, word, err) < 0)
            return error_wrap(err, "template '%s' ends turns with '%s'", t->row->name, word);
    }
    return 0;
}

static int set_eos(struct template *t, const char *word, struct error *err)
{
    int32_t eos = tokenizer_eos(t->tok);

    if (eos >= 0 && tokenizer_id(t->tok, word) == eos)
        return 0;
    if (tokenizer_set_eos(t->tok, word, err) == 0)
        return 0;
    return error_wrap(err, "template '%s' ends turns with '%s'", t->row->name, word);
}

/* eos, pad and stop words, in the order in which LLaMA-Factory sees to them. */
static int fix_tokenizer(struct template *t, struct error *err)
{
    int replace = (t->row->flags & ROW_REPLACE_EOS) != 0;

    if (replace && set_eos(t, t->row->stops[0], err) < 0)
        return -1;
    if (tokenizer_eos(t->tok) < 0 && set_eos(t, "<|endoftext|>", err) < 0)
        return -1;
    if (tokenizer_pad(t->tok) < 0 &&
        tokenizer_set_pad(t->tok, tokenizer_token(t->tok, tokenizer_eos(t->tok)), err) < 0)
        return -1;
    return add_stop_words(t, replace, err);
}

int template_open(struct template **tmpl, const struct template_params *params,
                  struct tokenizer *tok, struct error *err)
{
    const struct template_row *row = choose_row(params, err);
    struct template *t = NULL;

    *tmpl = NULL;
    if (row == NULL || check_params(params, row, err) < 0)
        return -1;
    if ((t = mem_alloc(1, sizeof(*t), err)) == NULL)
        return -1;
    t->row = row;
    t->tok = tok;
    fill_texts(t);
    if (apply_params(t, params, err) < 0 || fix_tokenizer(t, err) < 0) {
        template_close(t);
        return -1;
    }
    *tmpl = t;
    return 0;
}

void template_close(struct template *t)
{
    if (t == NULL)
        return;
    free(t->default_system);
    free(t->tool_date);
    strbuf_release(&t->text);
    strbuf_release(&t->head);
    strbuf_release(&t->reply);
    strbuf_release(&t->body);
    token_list_release(&t->all);
    free(t->bounds);
    free(t);
}

const char *template_name(const struct template *t)
{
    return t->row->name;
}

static struct hash chain_text(struct hash hash, const char *text)
{
    return hash_chain(hash, text, strlen(text));
}

struct hash template_hash(const struct template *t)
{
    const int64_t numbers[] = { TEMPLATE_RULES,          (int64_t)t->cutoff_len,
                                t->train_on_prompt,      t->mask_history,
                                t->enable_thinking,      t->preserve_thinking,
                                t->split_special_tokens, t->row->flags,
                                (int64_t)t->describe,    (int64_t)t->call };
    const char *texts[] = {
        t->row->name,   t->prefix,         t->system,
        t->user,        t->assistant,      t->function,
        t->observation, t->default_system, t->describe == TOOLS_LLAMA3 ? t->tool_date : ""
    };
    struct hash tok = tokenizer_hash(t->tok);
    struct hash hash = hash_bytes(numbers, sizeof(numbers));

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        hash = chain_text(hash, texts[i]);
    return hash_chain(hash, &tok, sizeof(tok));
}
