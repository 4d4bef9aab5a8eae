/*
 * text/tokenizer.c: a tokenizer from its parts, and the way of a text through
 * them.
 */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "text_internal.h"

/* -------------------------------------------------------------- token lists */

int token_list_add(struct token_list *list, int32_t id, struct error *err)
{
    if (list->n == list->cap &&
        mem_grow(&list->v, &list->cap, list->n + 1, sizeof(*list->v), err) < 0)
        return -1;
    list->v[list->n++] = id;
    return 0;
}

int token_list_extend(struct token_list *list, const int32_t *v, size_t n, struct error *err)
{
    if (n == 0)
        return 0;
    if (list->cap - list->n < n &&
        mem_grow(&list->v, &list->cap, size_add(list->n, n), sizeof(*list->v), err) < 0)
        return -1;
    memcpy(list->v + list->n, v, n * sizeof(*v));
    list->n += n;
    return 0;
}

void token_list_release(struct token_list *list)
{
    free(list->v);
    *list = (struct token_list){ 0 };
}

/* ------------------------------------------------------------------ opening */

static int read_parts(struct tokenizer *tok, const json_t *json, struct error *err)
{
    const char *version = "1.0";

    if (!json_is_object(json))
        return error_set(err, "it holds %s, not an object", json_kind(json));
    if (json_get_string(json, "version", &version, err) < 0)
        return -1;
    if (strcmp(version, "1.0") != 0)
        return error_set(err, "version '%.50s' is not supported", version);
    if (normalizer_read(&tok->nz, json_object_get(json, "normalizer"), &tok->uc, err) < 0 ||
        pretokenizer_read(&tok->pre, json_object_get(json, "pre_tokenizer"), &tok->uc, err) < 0)
        return -1;
    return bpe_open(&tok->bpe, json_object_get(json, "model"), tok->pre.byte_level, err);
}

/* Looks again at what depends on the added tokens. */
static int refresh(struct tokenizer *tok, struct error *err)
{
    tok->has_normalized_tokens = 0;
    for (size_t i = 0; i < tok->added.n; i++)
        tok->has_normalized_tokens |= tok->added.v[i].normalized;
    if (tok->pre.needs_start && tok->nz.n > 0 && tok->has_normalized_tokens)
        return error_set(err, "prepend_scheme 'first' with a normalizer and added tokens that are "
                              "normalized is not supported");
    return added_build(&tok->added, &tok->nz, err);
}

int tokenizer_parse(struct tokenizer **tok, const struct tokenizer_files *files, struct error *err)
{
    struct tokenizer *t = mem_alloc(1, sizeof(*t), err);
    json_t *json = NULL;
    int rc = -1;

    *tok = NULL;
    if (!t)
        return -1;
    json = json_parse_text(files->tokenizer_json, files->tokenizer_json_len, "tokenizer.json", err);
    if (!json || unicode_classes_init(&t->uc, err) < 0)
        goto out;
    if (read_parts(t, json, err) < 0 || tokenizer_read_special(t, json, files, err) < 0 ||
        refresh(t, err) < 0) {
        (void)error_wrap(err, "tokenizer.json");
        goto out;
    }
    t->content = hash_bytes(files->tokenizer_json, files->tokenizer_json_len);
    *tok = t;
    t = NULL;
    rc = 0;
out:
    json_decref(json);
    tokenizer_close(t);
    return rc;
}

void tokenizer_close(struct tokenizer *tok)
{
    if (!tok)
        return;
    normalizer_release(&tok->nz);
    pretokenizer_release(&tok->pre);
    added_release(&tok->added);
    bpe_close(tok->bpe);
    unicode_classes_release(&tok->uc);
    free(tok);
}

/* A file of the folder; *text stays NULL when it is not there and may be missing. */
static int read_file(const char *folder, const char *name, int must, char **text, size_t *len,
                     struct error *err)
{
    char *path = path_join(folder, name, err);
    int rc = 0;

    if (!path)
        return -1;
    if (must || file_exists(path))
        rc = file_read(path, text, len, err);
    free(path);
    return rc;
}

int tokenizer_open(struct tokenizer **tok, const char *folder, struct error *err)
{
    static const char *const names[] = { "tokenizer.json", "tokenizer_config.json",
                                         "special_tokens_map.json", "config.json" };
    char *text[4] = { NULL };
    size_t len[4] = { 0 };
    int rc = -1;

    *tok = NULL;
    for (int i = 0; i < 4; i++)
        if (read_file(folder, names[i], i == 0, &text[i], &len[i], err) < 0)
            goto out;
    rc = tokenizer_parse(tok,
                         &(struct tokenizer_files){ .tokenizer_json = text[0],
                                                    .tokenizer_json_len = len[0],
                                                    .tokenizer_config = text[1],
                                                    .tokenizer_config_len = len[1],
                                                    .special_tokens_map = text[2],
                                                    .special_tokens_map_len = len[2],
                                                    .config = text[3],
                                                    .config_len = len[3] },
                         err);
    if (rc < 0)
        (void)error_wrap(err, "cannot read the tokenizer in '%s'", folder);
out:
    for (int i = 0; i < 4; i++)
        free(text[i]);
    return rc;
}

/* ----------------------------------------------------------------- encoding */

/* Words of a text that scan.c cuts alone, straight to ids. */
static int encode_scan(struct tokenizer *tok, const char *text, size_t len, struct token_list *out,
                       struct error *err)
{
    const struct scan_rules *rules = &tok->pre.fast;
    const unsigned char *p = (const unsigned char *)text;
    const unsigned char *end = p + len;

    while (p < end) {
        const unsigned char *stop = end;
        size_t n = 0;

        if (rules->split_digit) {
            for (stop = p; stop < end && !scan_is_digit(tok->pre.scan, stop, &n); n = 0)
                do
                    stop++;
                while (stop < end && (*stop & 0xC0) == 0x80);
        }
        while (p < stop) {
            const unsigned char *next = scan_word(tok->pre.scan, rules, p, stop);

            if (bpe_encode(tok->bpe, (const char *)p, (size_t)(next - p), out, err) < 0)
                return -1;
            p = next;
        }
        if (stop < end) {
            if (bpe_encode(tok->bpe, (const char *)p, n, out, err) < 0)
                return -1;
            p += n;
        }
    }
    return 0;
}

/* A stretch without added tokens, already normalized. */
static int encode_text(struct tokenizer *tok, const char *text, size_t len, int at_start,
                       struct token_list *out, struct error *err)
{
    const char *base;
    const struct span_list *words;

    if (len == 0)
        return 0;
    if (tok->pre.fast.on)
        return encode_scan(tok, text, len, out, err);
    if (tok->pre.n == 0)
        return bpe_encode(tok->bpe, text, len, out, err);
    if (pretokenizer_run(&tok->pre, text, len, at_start, &base, &words, err) < 0)
        return -1;
    for (size_t i = 0; i < words->n; i++)
        if (bpe_encode(tok->bpe, base + words->v[i].start, words->v[i].end - words->v[i].start, out,
                       err) < 0)
            return -1;
    return 0;
}

/* A stretch between tokens that are cut out raw. */
static int encode_stretch(struct tokenizer *tok, const char *text, size_t len, int at_start,
                          int split_special, struct token_list *out, struct error *err)
{
    struct added_scan scan;
    struct added_piece piece;
    int moved = 0;

    if (normalizer_run(&tok->nz, &text, &len, &moved, err) < 0)
        return -1;
    at_start = at_start && !moved;
    if (!tok->has_normalized_tokens)
        return encode_text(tok, text, len, at_start, out, err);
    scan = (struct added_scan){ .added = &tok->added,
                                .trie = &tok->added.normalized,
                                .uc = &tok->uc,
                                .text = text,
                                .len = len,
                                .skip_special = split_special };
    while (added_next(&scan, &piece)) {
        int rc = piece.token ? token_list_add(out, piece.token->id, err)
                             : encode_text(tok, text + piece.start, piece.end - piece.start,
                                           at_start && piece.start == 0, out, err);

        if (rc < 0)
            return -1;
    }
    return 0;
}

static int encode_all(struct tokenizer *tok, const char *text, size_t len, int split_special,
                      struct token_list *out, struct error *err)
{
    struct added_scan scan = { .added = &tok->added,
                               .trie = &tok->added.raw,
                               .uc = &tok->uc,
                               .text = text,
                               .len = len,
                               .skip_special = split_special };
    struct added_piece piece;

    while (added_next(&scan, &piece)) {
        int rc = piece.token ? token_list_add(out, piece.token->id, err)
                             : encode_stretch(tok, text + piece.start, piece.end - piece.start,
                                              piece.start == 0, split_special, out, err);

        if (rc < 0)
            return -1;
    }
    return 0;
}

int tokenizer_encode(const struct tokenizer *tok, const char *utf8, size_t len,
                     int split_special_tokens, struct token_list *out, struct error *err)
{
    size_t before = out->n;
    size_t bad;

    if (len > TEXT_LEN_MAX)
        return error_set(err, "a text of %zu bytes; at most %d are supported", len, TEXT_LEN_MAX);
    bad = utf8_invalid_at(utf8, len);
    if (bad < len)
        return error_set(err, "the text is not UTF-8: byte 0x%02X at offset %zu",
                         (unsigned char)utf8[bad], bad);
    /* The parts keep scratch memory; the tokenizer as seen from outside stays the same. */
    if (encode_all((struct tokenizer *)(uintptr_t)tok, utf8, len, split_special_tokens, out, err) <
        0) {
        out->n = before;
        return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------ look-up */

int32_t tokenizer_id(const struct tokenizer *tok, const char *token)
{
    const struct added_token *added = added_find(&tok->added, token, strlen(token));

    return added ? added->id : bpe_id(tok->bpe, token, strlen(token));
}

const char *tokenizer_token(const struct tokenizer *tok, int32_t id)
{
    for (size_t i = 0; i < tok->added.n; i++)
        if (tok->added.v[i].id == id)
            return tok->added.v[i].text;
    return bpe_token(tok->bpe, id);
}

int32_t tokenizer_size(const struct tokenizer *tok)
{
    int32_t end = bpe_end(tok->bpe);

    for (size_t i = 0; i < tok->added.n; i++)
        if (tok->added.v[i].id >= end)
            end = tok->added.v[i].id + 1;
    return end;
}

int32_t tokenizer_bos(const struct tokenizer *tok)
{
    return tok->bos;
}

int32_t tokenizer_eos(const struct tokenizer *tok)
{
    return tok->eos;
}

int32_t tokenizer_pad(const struct tokenizer *tok)
{
    return tok->pad;
}

int tokenizer_adds_bos(const struct tokenizer *tok)
{
    return tok->adds_bos;
}

/* ------------------------------------------------------------------ changing */

int tokenizer_add_special(struct tokenizer *tok, const char *token, struct error *err)
{
    const struct added_token *old = added_find(&tok->added, token, strlen(token));
    int32_t id = tokenizer_id(tok, token);
    char *text;
    int rc;

    if (id < 0)
        return error_set(err,
                         "'%.200s' is no token of this model, and a new one would have no "
                         "embedding; choose a template that fits the model",
                         token);
    if (old && old->special)
        return 0;
    text = mem_strdup(token, err);
    if (!text)
        return -1;
    rc = added_put(
        &tok->added,
        &(struct added_token){ .text = text, .len = strlen(text), .id = id, .special = 1 }, err);
    free(text);
    return rc < 0 ? -1 : refresh(tok, err);
}

int tokenizer_set_eos(struct tokenizer *tok, const char *token, struct error *err)
{
    if (tokenizer_add_special(tok, token, err) < 0)
        return -1;
    tok->eos = tokenizer_id(tok, token);
    return 0;
}

int tokenizer_set_pad(struct tokenizer *tok, const char *token, struct error *err)
{
    if (tokenizer_add_special(tok, token, err) < 0)
        return -1;
    tok->pad = tokenizer_id(tok, token);
    return 0;
}

struct hash tokenizer_hash(const struct tokenizer *tok)
{
    struct hash hash = tok->content;
    int32_t ends[3] = { tok->bos, tok->eos, tok->pad };

    for (size_t i = 0; i < tok->added.n; i++) {
        const struct added_token *t = &tok->added.v[i];
        int32_t flags[6] = {
            t->id, t->special, t->lstrip, t->rstrip, t->single_word, t->normalized
        };

        hash = hash_chain(hash, t->text, t->len);
        hash = hash_chain(hash, flags, sizeof(flags));
    }
    return hash_chain(hash, ends, sizeof(ends));
}
