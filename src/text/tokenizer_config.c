/*
 * text/tokenizer_config.c: added and special tokens.
 *
 * Added tokens come from tokenizer.json and, where a later save added some,
 * from added_tokens_decoder in tokenizer_config.json. As in the library, the
 * id of an added token is that of its text in the model's vocabulary, else
 * the next free one; the id written beside it is not looked at. The named
 * tokens (bos, eos, ...) become added ones when they are not.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "text_internal.h"

/* The id a new added token gets. */
static int32_t next_id(const struct tokenizer *tok)
{
    int32_t count = (int32_t)bpe_count(tok->bpe);
    int32_t max = -1;

    for (size_t i = 0; i < tok->added.n; i++)
        if (tok->added.v[i].id > max)
            max = tok->added.v[i].id;
    return max >= count ? max + 1 : count;
}

/* Adds or changes a token; said is the id the file gives it, or -1. */
static int put_token(struct tokenizer *tok, struct added_token *token, int64_t said,
                     struct error *err)
{
    const struct added_token *old = added_find(&tok->added, token->text, token->len);

    if (token->len == 0)
        return 0;
    token->id = old ? old->id : bpe_id(tok->bpe, token->text, token->len);
    if (token->id < 0)
        token->id = next_id(tok);
    if (said >= 0 && said != token->id)
        log_warn("added token '%s' has id %d, not %lld as its file says: its text or place in the "
                 "vocabulary decides",
                 token->text, (int)token->id, (long long)said);
    return added_put(&tok->added, token, err);
}

/* Reads {"content": ..., "lstrip": ..., ...}; the text is borrowed from json. */
static int read_token(const json_t *json, struct added_token *token, struct error *err)
{
    const char *text = NULL;

    *token = (struct added_token){ 0 };
    if (!json_is_object(json))
        return error_set(err, "an added token is %s, not an object", json_kind(json));
    if (json_get_string_len(json, "content", &text, &token->len, err) < 0)
        return -1;
    if (!text)
        return error_set(err, "an added token has no 'content'");
    token->text = (char *)(uintptr_t)text;
    if (json_get_bool(json, "special", &token->special, err) < 0 ||
        json_get_bool(json, "lstrip", &token->lstrip, err) < 0 ||
        json_get_bool(json, "rstrip", &token->rstrip, err) < 0 ||
        json_get_bool(json, "single_word", &token->single_word, err) < 0 ||
        json_get_bool(json, "normalized", &token->normalized, err) < 0)
        return error_wrap(err, "added token '%.100s'", text);
    return 0;
}

static int read_added_tokens(struct tokenizer *tok, const json_t *json, struct error *err)
{
    json_t *list = NULL;
    json_t *item;
    size_t i;

    if (json_get_array(json, "added_tokens", &list, err) < 0)
        return -1;
    json_array_foreach(list, i, item)
    {
        struct added_token token;
        int64_t id = -1;

        if (read_token(item, &token, err) < 0 ||
            json_get_int(item, "id", &id, 0, INT32_MAX, err) < 0)
            return -1;
        if (token.len && added_find(&tok->added, token.text, token.len))
            return error_set(err, "added token '%.100s' is there twice", token.text);
        if (put_token(tok, &token, id, err) < 0)
            return -1;
    }
    return 0;
}

/* ------------------------------------------------------ added_tokens_decoder */

struct decoder_entry {
    long id;
    const json_t *token;
};

static int compare_entries(const void *a, const void *b)
{
    long x = ((const struct decoder_entry *)a)->id;
    long y = ((const struct decoder_entry *)b)->id;

    return x < y ? -1 : x > y;
}

static int read_decoder(struct tokenizer *tok, const json_t *config, struct error *err)
{
    struct decoder_entry *entries = NULL;
    json_t *object = NULL;
    json_t *value;
    const char *key;
    size_t n = 0;
    int rc = -1;

    if (json_get_object(config, "added_tokens_decoder", &object, err) < 0)
        return -1;
    if (!object)
        return 0;
    entries = mem_alloc(json_object_size(object), sizeof(*entries), err);
    if (!entries)
        return -1;
    json_object_foreach(object, key, value)
    {
        char *end;
        long id = strtol(key, &end, 10);

        if (*key == '\0' || *end != '\0' || id < 0 || id > INT32_MAX) {
            (void)error_set(err, "added_tokens_decoder: '%.50s' is no id", key);
            goto out;
        }
        entries[n++] = (struct decoder_entry){ .id = id, .token = value };
    }
    if (n > 0)
        qsort(entries, n, sizeof(*entries), compare_entries);
    for (size_t i = 0; i < n; i++) {
        struct added_token token;

        if (read_token(entries[i].token, &token, err) < 0) {
            (void)error_wrap(err, "added_tokens_decoder");
            goto out;
        }
        if (put_token(tok, &token, entries[i].id, err) < 0)
            goto out;
    }
    rc = 0;
out:
    free(entries);
    return rc;
}

/* ------------------------------------------------------------- named tokens */

/* A special token written as text or as an object. */
static int read_special(const json_t *json, const char *key, struct added_token *token,
                        struct error *err)
{
    if (json_is_string(json)) {
        *token = (struct added_token){ .text = (char *)(uintptr_t)json_string_value(json),
                                       .len = json_string_length(json) };
    } else if (read_token(json, token, err) < 0) {
        return error_wrap(err, "'%s'", key);
    }
    token->special = 1;
    return 0;
}

/* Makes it an added token when it is none. */
static int need_special(struct tokenizer *tok, const json_t *json, const char *key, int32_t *id,
                        struct error *err)
{
    struct added_token token;
    const struct added_token *found;

    if (read_special(json, key, &token, err) < 0)
        return -1;
    if (token.len == 0) {
        *id = -1;
        return 0;
    }
    if (!added_find(&tok->added, token.text, token.len) && put_token(tok, &token, -1, err) < 0)
        return -1;
    found = added_find(&tok->added, token.text, token.len);
    *id = found ? found->id : -1;
    return 0;
}

static int read_named(struct tokenizer *tok, const json_t *config, const json_t *map,
                      const char *key, int32_t *id, int *decided, struct error *err)
{
    const json_t *value = config ? json_object_get(config, key) : NULL;

    if (!value && map)
        value = json_object_get(map, key);
    *decided = value != NULL;
    *id = -1;
    if (!value || json_is_null(value))
        return 0;
    return need_special(tok, value, key, id, err);
}

/* A list of tokens, or an object whose values are tokens. */
static int read_extra(struct tokenizer *tok, const json_t *from, const char *key, struct error *err)
{
    const json_t *list = from ? json_object_get(from, key) : NULL;
    json_t *item;
    const char *name;
    size_t i;
    int32_t id;

    if (!list || json_is_null(list))
        return 0;
    if (json_is_array(list)) {
        json_array_foreach(list, i, item)
        {
            if (need_special(tok, item, key, &id, err) < 0)
                return -1;
        }
        return 0;
    }
    if (!json_is_object(list))
        return error_set(err, "'%s' is %s, not a list or an object", key, json_kind(list));
    json_object_foreach((json_t *)(uintptr_t)list, name, item)
    {
        if (need_special(tok, item, key, &id, err) < 0)
            return -1;
    }
    return 0;
}

/* An id in config.json, a number or a list of them. */
static int32_t config_id(const struct tokenizer *tok, const json_t *config, const char *key)
{
    const json_t *value = config ? json_object_get(config, key) : NULL;

    if (json_is_array(value))
        value = json_array_get(value, 0);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) >= tokenizer_size(tok) ||
        !tokenizer_token(tok, (int32_t)json_integer_value(value)))
        return -1;
    return (int32_t)json_integer_value(value);
}

static int read_all_named(struct tokenizer *tok, const json_t *config, const json_t *map,
                          const json_t *model, struct error *err)
{
    static const char *const others[] = { "unk_token", "sep_token", "cls_token", "mask_token" };
    int has_bos, has_eos, decided;
    int32_t id;

    if (read_named(tok, config, map, "bos_token", &tok->bos, &has_bos, err) < 0 ||
        read_named(tok, config, map, "eos_token", &tok->eos, &has_eos, err) < 0 ||
        read_named(tok, config, map, others[0], &id, &decided, err) < 0 ||
        read_named(tok, config, map, others[1], &id, &decided, err) < 0 ||
        read_named(tok, config, map, "pad_token", &tok->pad, &decided, err) < 0 ||
        read_named(tok, config, map, others[2], &id, &decided, err) < 0 ||
        read_named(tok, config, map, others[3], &id, &decided, err) < 0)
        return -1;
    if (read_extra(tok, config, "additional_special_tokens", err) < 0 ||
        read_extra(tok, config, "extra_special_tokens", err) < 0 ||
        read_extra(tok, map, "additional_special_tokens", err) < 0)
        return -1;
    if (!has_bos)
        tok->bos = config_id(tok, model, "bos_token_id");
    if (!has_eos)
        tok->eos = config_id(tok, model, "eos_token_id");
    return 0;
}

/* ------------------------------------------------------------ automatic bos */

/* True when the post-processor's template for one text begins with the bos. */
static int template_has_bos(const struct tokenizer *tok, const json_t *post)
{
    const json_t *list = json_object_get(post, "processors");
    const json_t *first = json_array_get(json_object_get(post, "single"), 0);
    const char *name =
        json_string_value(json_object_get(json_object_get(first, "SpecialToken"), "id"));

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);

        if (!json_object_get(item, "processors") && template_has_bos(tok, item))
            return 1;
    }
    return name && tok->bos >= 0 && tokenizer_id(tok, name) == tok->bos;
}

static void find_adds_bos(struct tokenizer *tok, const json_t *json, const json_t *config)
{
    const json_t *bos = config ? json_object_get(config, "add_bos_token") : NULL;
    const json_t *eos = config ? json_object_get(config, "add_eos_token") : NULL;

    if (bos || eos)
        tok->adds_bos = json_is_true(bos) && tok->bos >= 0;
    else
        tok->adds_bos = template_has_bos(tok, json_object_get(json, "post_processor"));
}

/* A file that may be missing; what it holds must be an object. */
static int parse_object(const char *text, size_t len, const char *name, json_t **json,
                        struct error *err)
{
    *json = NULL;
    if (!text)
        return 0;
    *json = json_parse_text(text, len, name, err);
    if (!*json)
        return -1;
    if (!json_is_object(*json))
        return error_set(err, "%s holds %s, not an object", name, json_kind(*json));
    return 0;
}

int tokenizer_read_special(struct tokenizer *tok, const json_t *json,
                           const struct tokenizer_files *files, struct error *err)
{
    json_t *config = NULL;
    json_t *map = NULL;
    json_t *model = NULL;
    int rc = -1;

    if (read_added_tokens(tok, json, err) < 0)
        return -1;
    if (parse_object(files->tokenizer_config, files->tokenizer_config_len, "tokenizer_config.json",
                     &config, err) < 0 ||
        parse_object(files->special_tokens_map, files->special_tokens_map_len,
                     "special_tokens_map.json", &map, err) < 0 ||
        parse_object(files->config, files->config_len, "config.json", &model, err) < 0)
        goto out;
    if (config && read_decoder(tok, config, err) < 0)
        goto out;
    if (read_all_named(tok, config, map, model, err) < 0)
        goto out;
    find_adds_bos(tok, json, config);
    rc = 0;
out:
    json_decref(config);
    json_decref(map);
    json_decref(model);
    return rc;
}
