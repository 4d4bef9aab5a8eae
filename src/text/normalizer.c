/*
 * text/normalizer.c: the normalizer part of tokenizer.json.
 *
 * A Sequence is laid out flat. Each step reads the text before it and writes
 * into one of two buffers in turn, or leaves the text as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text_internal.h"

#define STEPS_MAX 64
#define DEPTH_MAX 16

enum norm_kind { NORM_FORM, NORM_LOWER, NORM_STRIP, NORM_REPLACE, NORM_PREPEND, NORM_BYTES };

struct norm_step {
    enum norm_kind kind;
    enum norm_form form;
    int left, right; // Strip
    char *content;   // Replace: what to put there; Prepend: what to put first
    size_t content_len;
    char *find; // Replace: a text
    size_t find_len;
    struct pattern *pattern; // Replace: or a pattern
    struct span_list spans;
};

uint32_t byte_level_char(unsigned char byte)
{
    if ((byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE)
        return byte;
    if (byte <= ' ')
        return 0x100u + byte;
    if (byte <= 0xA0) // 0x7F to 0xA0 follow the 33 below '!'
        return 0x100u + 33 + (byte - 0x7Fu);
    return 0x100u + 33 + 34; // 0xAD
}

void normalizer_release(struct normalizer *nz)
{
    for (size_t i = 0; i < nz->n; i++) {
        free(nz->steps[i].content);
        free(nz->steps[i].find);
        free(nz->steps[i].spans.v);
        pattern_close(nz->steps[i].pattern);
    }
    free(nz->steps);
    free(nz->chars);
    strbuf_release(&nz->text[0]);
    strbuf_release(&nz->text[1]);
    *nz = (struct normalizer){ 0 };
}

/* ------------------------------------------------------------------ reading */

static int need_text(const json_t *json, const char *key, char **text, size_t *len,
                     struct error *err)
{
    const char *value = NULL;

    if (json_get_string_len(json, key, &value, len, err) < 0)
        return -1;
    if (!value)
        return error_set(err, "no '%s'", key);
    *text = mem_strndup(value, *len, err);
    return *text ? 0 : -1;
}

static int read_replace(struct normalizer *nz, struct norm_step *step, const json_t *json,
                        struct error *err)
{
    json_t *pattern = NULL;
    const char *regex = NULL;
    size_t len = 0;

    if (need_text(json, "content", &step->content, &step->content_len, err) < 0 ||
        json_need_object(json, "pattern", &pattern, err) < 0 ||
        json_get_string_len(pattern, "Regex", &regex, &len, err) < 0)
        return -1;
    if (!regex) {
        if (need_text(pattern, "String", &step->find, &step->find_len, err) < 0)
            return -1;
        return step->find_len ? 0 : error_set(err, "the text to replace is empty");
    }
    if (pattern_open(&step->pattern, regex, len, 0, nz->uc, err) < 0)
        return -1;
    if (pattern_may_match_empty(step->pattern))
        return error_set(err, "pattern '%.200s' may match nothing, which is not supported", regex);
    return 0;
}

static int read_step(struct normalizer *nz, const json_t *json, const char *type, struct error *err)
{
    static const char *const forms[] = { "NFC", "NFD", "NFKC", "NFKD" };
    struct norm_step *step;

    if (nz->n == STEPS_MAX)
        return error_set(err, "more than %d steps", STEPS_MAX);
    if (mem_grow(&nz->steps, &nz->cap, nz->n + 1, sizeof(*nz->steps), err) < 0)
        return -1;
    step = &nz->steps[nz->n++];
    *step = (struct norm_step){ 0 };
    for (int i = 0; i < 4; i++) {
        step->form = (enum norm_form)i;
        if (strcmp(type, forms[i]) == 0)
            return 0;
    }
    if (strcmp(type, "Lowercase") == 0) {
        step->kind = NORM_LOWER;
        return 0;
    }
    if (strcmp(type, "ByteLevel") == 0) {
        step->kind = NORM_BYTES;
        return 0;
    }
    if (strcmp(type, "Strip") == 0) {
        step->kind = NORM_STRIP;
        if (json_get_bool(json, "strip_left", &step->left, err) < 0)
            return -1;
        return json_get_bool(json, "strip_right", &step->right, err);
    }
    if (strcmp(type, "Prepend") == 0) {
        step->kind = NORM_PREPEND;
        return need_text(json, "prepend", &step->content, &step->content_len, err);
    }
    if (strcmp(type, "Replace") == 0) {
        step->kind = NORM_REPLACE;
        return read_replace(nz, step, json, err);
    }
    return error_set(err, "normalizer '%.100s' is not supported", type);
}

static int read_any(struct normalizer *nz, const json_t *json, int depth, struct error *err)
{
    const char *type = NULL;
    json_t *list = NULL;
    json_t *item;
    size_t i;

    if (!json_is_object(json))
        return error_set(err, "a normalizer is %s, not an object", json_kind(json));
    if (json_need_string(json, "type", &type, err) < 0)
        return -1;
    if (strcmp(type, "Sequence") != 0) {
        if (read_step(nz, json, type, err) < 0)
            return error_wrap(err, "%.100s", type);
        return 0;
    }
    if (depth == DEPTH_MAX)
        return error_set(err, "sequences within sequences are nested too deep");
    if (json_need_array(json, "normalizers", &list, err) < 0)
        return -1;
    json_array_foreach(list, i, item)
    {
        if (read_any(nz, item, depth + 1, err) < 0)
            return -1;
    }
    return 0;
}

int normalizer_read(struct normalizer *nz, const json_t *json, const struct unicode_classes *uc,
                    struct error *err)
{
    nz->uc = uc;
    if (!json || json_is_null(json))
        return 0;
    if (read_any(nz, json, 0, err) < 0)
        return error_wrap(err, "normalizer");
    return 0;
}

/* ------------------------------------------------------------------ running */

static void lower(const char *text, size_t len, struct strbuf *out)
{
    for (size_t at = 0; at < len;) {
        size_t n;
        uint32_t c = utf8_get((const unsigned char *)text + at, &n);
        char bytes[4];

        if (c == 0x130) // the only one with a lower case of two characters
            strbuf_add(out, "i\xCC\x87", 3);
        else
            strbuf_add(out, bytes, utf8_put(bytes, unicode_lower(c)));
        at += n;
    }
}

static void replace_text(const struct norm_step *step, const char *text, size_t len,
                         struct strbuf *out, int *moved)
{
    size_t at = 0;

    while (len - at >= step->find_len) {
        const char *hit = memchr(text + at, step->find[0], len - at - step->find_len + 1);
        size_t start;

        if (!hit)
            break;
        start = (size_t)(hit - text);
        if (memcmp(hit, step->find, step->find_len) != 0) {
            strbuf_add(out, text + at, start + 1 - at);
            at = start + 1;
            continue;
        }
        strbuf_add(out, text + at, start - at);
        strbuf_add(out, step->content, step->content_len);
        at = start + step->find_len;
        if (start == 0) {
            size_t n;

            (void)utf8_get((const unsigned char *)text, &n);
            if (step->find_len > n || step->content_len == 0)
                *moved = 1;
        }
    }
    strbuf_add(out, text + at, len - at);
}

static int replace_pattern(struct norm_step *step, const char *text, size_t len, struct strbuf *out,
                           int *moved, struct error *err)
{
    if (pattern_spans(step->pattern, text, len, &step->spans, err) < 0)
        return -1;
    for (size_t i = 0; i < step->spans.n; i++) {
        const struct span *span = &step->spans.v[i];
        size_t n;

        if (!span->match) {
            strbuf_add(out, text + span->start, span->end - span->start);
            continue;
        }
        strbuf_add(out, step->content, step->content_len);
        (void)utf8_get((const unsigned char *)text + span->start, &n);
        if (span->start == 0 && (span->end > n || step->content_len == 0))
            *moved = 1;
    }
    return 0;
}

/* Shortens *text; nothing is copied. */
static void strip(const struct normalizer *nz, const struct norm_step *step, const char **text,
                  size_t *len, int *moved)
{
    size_t n;

    while (step->left && *len > 0) {
        uint32_t c = utf8_get((const unsigned char *)*text, &n);

        if (!(unicode_class(nz->uc, c) & UC_SPACE))
            break;
        *text += n;
        *len -= n;
        *moved = 1;
    }
    while (step->right && *len > 0) {
        size_t last = utf8_before(*text, *len);
        uint32_t c = utf8_get((const unsigned char *)*text + last, &n);

        if (!(unicode_class(nz->uc, c) & UC_SPACE))
            break;
        *len = last;
    }
}

static void map_bytes(const char *text, size_t len, struct strbuf *out)
{
    for (size_t i = 0; i < len; i++) {
        char bytes[4];

        strbuf_add(out, bytes, utf8_put(bytes, byte_level_char((unsigned char)text[i])));
    }
}

static int run_step(struct normalizer *nz, struct norm_step *step, const char *text, size_t len,
                    struct strbuf *out, int *moved, struct error *err)
{
    switch (step->kind) {
    case NORM_FORM:
        return normalize_form(nz, step->form, text, len, out, err);
    case NORM_LOWER:
        lower(text, len, out);
        return 0;
    case NORM_REPLACE:
        if (step->pattern)
            return replace_pattern(step, text, len, out, moved, err);
        replace_text(step, text, len, out, moved);
        return 0;
    case NORM_PREPEND:
        strbuf_add(out, step->content, step->content_len);
        strbuf_add(out, text, len);
        return 0;
    case NORM_BYTES:
        map_bytes(text, len, out);
        return 0;
    default:
        BUG("normalizer step %d", (int)step->kind);
    }
}

int normalizer_run(struct normalizer *nz, const char **text, size_t *len, int *moved,
                   struct error *err)
{
    int turn = 0; // the buffer that *text is not in

    *moved = 0;
    for (size_t i = 0; i<nz->n && * len> 0; i++) {
        struct norm_step *step = &nz->steps[i];
        struct strbuf *out = &nz->text[turn];

        if (step->kind == NORM_STRIP) {
            strip(nz, step, text, len, moved);
            continue;
        }
        if (step->kind == NORM_FORM && step->form == FORM_NFC &&
            normalize_is_plain(nz->uc, *text, *len))
            continue;
        strbuf_reset(out);
        if (run_step(nz, step, *text, *len, out, moved, err) < 0 || strbuf_check(out, err) < 0)
            return -1;
        *text = strbuf_text(out);
        *len = out->len;
        turn = !turn;
        if (*len > TEXT_LEN_MAX)
            return error_set(err, "the normalized text has %zu bytes; at most %d are supported",
                             *len, TEXT_LEN_MAX);
    }
    return 0;
}
