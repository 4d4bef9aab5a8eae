/*
 * text/pretokenizer.c: the pre_tokenizer part of tokenizer.json.
 *
 * A Sequence is laid out flat. Each step takes words, stretches of one text,
 * and gives words; steps that change characters write a new text. ByteLevel
 * as the last step changes none: words stay raw bytes and the model looks
 * them up as such. Where the whole pipeline is one of scan.c's patterns and
 * ByteLevel, no step runs at all.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text_internal.h"

#define STEPS_MAX 64
#define DEPTH_MAX 16

enum pre_kind {
    PRE_PATTERN,
    PRE_SCAN,
    PRE_CHARS,
    PRE_WORDS,
    PRE_METASPACE, // from here on steps write a new text
    PRE_PREFIX_SPACE,
    PRE_BYTES
};
enum behavior { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };
enum prepend { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };

struct pre_step {
    enum pre_kind kind;
    enum behavior behavior;
    int invert;
    struct pattern *pattern;
    struct scan_rules rules;
    uint32_t categories; // PRE_CHARS: which characters are cut out
    uint16_t flags;
    char mark[5]; // Metaspace: what stands for a space
    size_t mark_len;
    enum prepend prepend;
    int split;
};

void pretokenizer_release(struct pretokenizer *pre)
{
    for (size_t i = 0; i < pre->n; i++)
        pattern_close(pre->steps[i].pattern);
    free(pre->steps);
    free(pre->scan);
    for (int i = 0; i < 2; i++) {
        strbuf_release(&pre->text[i]);
        free(pre->words[i].v);
    }
    free(pre->spans.v);
    *pre = (struct pretokenizer){ 0 };
}

/* ------------------------------------------------------------------ reading */

static struct pre_step *add_step(struct pretokenizer *pre, enum pre_kind kind, struct error *err)
{
    if (pre->n == STEPS_MAX) {
        (void)error_set(err, "more than %d steps", STEPS_MAX);
        return NULL;
    }
    if (mem_grow(&pre->steps, &pre->cap, pre->n + 1, sizeof(*pre->steps), err) < 0)
        return NULL;
    pre->steps[pre->n] = (struct pre_step){ .kind = kind, .behavior = ISOLATED };
    return &pre->steps[pre->n++];
}

static int read_behavior(struct pre_step *step, const json_t *json, struct error *err)
{
    static const char *const names[] = { "Removed", "Isolated", "MergedWithPrevious",
                                         "MergedWithNext", "Contiguous" };
    const char *name = NULL;

    if (json_get_string(json, "behavior", &name, err) < 0)
        return -1;
    for (int i = 0; name && i < 5; i++) {
        if (strcmp(name, names[i]) == 0) {
            step->behavior = (enum behavior)i;
            return 0;
        }
    }
    return name ? error_set(err, "behavior '%.100s' is not supported", name) : 0;
}

static int read_split(struct pretokenizer *pre, const json_t *json, struct error *err)
{
    struct pre_step *step = add_step(pre, PRE_PATTERN, err);
    json_t *pattern = NULL;
    const char *text = NULL;
    size_t len = 0;
    int literal = 0;

    if (!step || read_behavior(step, json, err) < 0 ||
        json_get_bool(json, "invert", &step->invert, err) < 0 ||
        json_need_object(json, "pattern", &pattern, err) < 0 ||
        json_get_string_len(pattern, "Regex", &text, &len, err) < 0)
        return -1;
    if (!text) {
        literal = 1;
        if (json_get_string_len(pattern, "String", &text, &len, err) < 0)
            return -1;
        if (!text)
            return error_set(err, "no 'Regex' or 'String' in 'pattern'");
    } else if (step->behavior == ISOLATED || (step->behavior == REMOVED && step->invert)) {
        scan_rules_find(&step->rules, text, len); // these patterns leave no gaps
        step->kind = step->rules.on ? PRE_SCAN : PRE_PATTERN;
    }
    if (step->kind == PRE_SCAN)
        return 0;
    return pattern_open(&step->pattern, text, len, literal, pre->uc, err);
}

static int read_byte_level(struct pretokenizer *pre, const json_t *json, struct error *err)
{
    static const char gpt2[] =
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    int prefix = 0;
    int use_regex = 1;
    struct pre_step *step;

    if (json_get_bool(json, "add_prefix_space", &prefix, err) < 0 ||
        json_get_bool(json, "use_regex", &use_regex, err) < 0)
        return -1;
    if (prefix && !add_step(pre, PRE_PREFIX_SPACE, err))
        return -1;
    if (use_regex) {
        step = add_step(pre, PRE_SCAN, err);
        if (!step)
            return -1;
        scan_rules_find(&step->rules, gpt2, sizeof(gpt2) - 1);
    }
    return add_step(pre, PRE_BYTES, err) ? 0 : -1;
}

static int read_metaspace(struct pretokenizer *pre, const json_t *json, struct error *err)
{
    static const char *const schemes[] = { "always", "first", "never" };
    struct pre_step *step = add_step(pre, PRE_METASPACE, err);
    const char *mark = NULL;
    const char *scheme = NULL;
    size_t len = 0;
    size_t n = 0;
    int prefix = 1;
    int i = 0;

    if (!step)
        return -1;
    step->split = 1;
    if (json_get_string_len(json, "replacement", &mark, &len, err) < 0 ||
        json_get_string(json, "prepend_scheme", &scheme, err) < 0 ||
        json_get_bool(json, "add_prefix_space", &prefix, err) < 0 ||
        json_get_bool(json, "split", &step->split, err) < 0)
        return -1;
    if (mark && len)
        (void)utf8_get((const unsigned char *)mark, &n);
    if (n == 0 || n != len)
        return error_set(err, "'replacement' is not one character");
    memcpy(step->mark, mark, n);
    step->mark_len = n;
    while (scheme && i < 3 && strcmp(scheme, schemes[i]) != 0)
        i++;
    if (i == 3)
        return error_set(err, "prepend_scheme '%.100s' is not supported", scheme);
    step->prepend = (enum prepend)i;
    if (!prefix && step->prepend != PREPEND_NEVER)
        return error_set(err, "add_prefix_space is false but prepend_scheme is '%s'", schemes[i]);
    if (step->prepend != PREPEND_FIRST)
        return 0;
    pre->needs_start = 1;
    return pre->n == 1 ? 0
                       : error_set(err, "prepend_scheme 'first' after another pre-tokenizer is not "
                                        "supported");
}

static int read_chars(struct pretokenizer *pre, uint32_t categories, uint16_t flags,
                      enum behavior behavior, const json_t *json, struct error *err)
{
    struct pre_step *step = add_step(pre, PRE_CHARS, err);

    if (!step)
        return -1;
    step->categories = categories;
    step->flags = flags;
    step->behavior = behavior;
    return flags == UC_PUNCT ? read_behavior(step, json, err) : 0;
}

static int read_step(struct pretokenizer *pre, const json_t *json, const char *type,
                     struct error *err)
{
    int individual = 0;

    if (strcmp(type, "Split") == 0)
        return read_split(pre, json, err);
    if (strcmp(type, "ByteLevel") == 0)
        return read_byte_level(pre, json, err);
    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(pre, json, err);
    if (strcmp(type, "Digits") == 0) {
        if (json_get_bool(json, "individual_digits", &individual, err) < 0)
            return -1;
        return read_chars(pre, CATS_N, 0, individual ? ISOLATED : CONTIGUOUS, json, err);
    }
    if (strcmp(type, "Punctuation") == 0)
        return read_chars(pre, 0, UC_PUNCT, ISOLATED, json, err);
    if (strcmp(type, "WhitespaceSplit") == 0)
        return read_chars(pre, 0, UC_SPACE, REMOVED, json, err);
    if (strcmp(type, "Whitespace") == 0)
        return add_step(pre, PRE_WORDS, err) ? 0 : -1;
    return error_set(err, "pre-tokenizer '%.100s' is not supported", type);
}

static int read_any(struct pretokenizer *pre, const json_t *json, int depth, struct error *err)
{
    const char *type = NULL;
    json_t *list = NULL;
    json_t *item;
    size_t i;

    if (!json_is_object(json))
        return error_set(err, "a pre-tokenizer is %s, not an object", json_kind(json));
    if (json_need_string(json, "type", &type, err) < 0)
        return -1;
    if (strcmp(type, "Sequence") != 0) {
        if (read_step(pre, json, type, err) < 0)
            return error_wrap(err, "%.100s", type);
        return 0;
    }
    if (depth == DEPTH_MAX)
        return error_set(err, "sequences within sequences are nested too deep");
    if (json_need_array(json, "pretokenizers", &list, err) < 0)
        return -1;
    json_array_foreach(list, i, item)
    {
        if (read_any(pre, item, depth + 1, err) < 0)
            return -1;
    }
    return 0;
}

/* The pipelines that scan.c can do alone: (Digits,) one scan, ByteLevel (given back already). */
static void find_fast(struct pretokenizer *pre)
{
    const struct pre_step *first = &pre->steps[0];
    int digits = pre->n == 2 && first->kind == PRE_CHARS && first->categories == CATS_N &&
                 first->behavior == ISOLATED;

    if (!pre->byte_level || pre->n != 1u + (unsigned)digits || pre->steps[digits].kind != PRE_SCAN)
        return;
    pre->fast = pre->steps[digits].rules;
    pre->fast.split_digit = digits;
}

int pretokenizer_read(struct pretokenizer *pre, const json_t *json,
                      const struct unicode_classes *uc, struct error *err)
{
    pre->uc = uc;
    pre->scan = mem_alloc(1, sizeof(*pre->scan), err);
    if (!pre->scan)
        return -1;
    scan_table_init(pre->scan, uc);
    if (!json || json_is_null(json))
        return 0;
    if (read_any(pre, json, 0, err) < 0)
        return error_wrap(err, "pre_tokenizer");
    if (pre->n > 0 && pre->steps[pre->n - 1].kind == PRE_BYTES) {
        pre->byte_level = 1;
        pre->n--;
    }
    if (pre->n > 0)
        find_fast(pre);
    return 0;
}

/* ---------------------------------------------------------------- splitting */

/* Joins a span to the word before it when join, else starts a new word. */
static int put_word(struct span_list *words, size_t first, const struct span *span, int join,
                    struct error *err)
{
    if (join && words->n > first) {
        words->v[words->n - 1].end = span->end;
        return 0;
    }
    return span_add(words, span->start, span->end, 0, err);
}

/* Spans from the right: a match goes to what follows it, unless that is a match too. */
static void merge_with_next(struct span_list *spans)
{
    size_t kept = spans->n;
    int after = 0; // the span to the right was a match

    for (size_t i = spans->n; i-- > 0;) {
        struct span span = spans->v[i];

        if (span.match && !after && kept < spans->n)
            spans->v[kept].start = span.start;
        else
            spans->v[--kept] = span;
        after = span.match;
    }
    memmove(spans->v, spans->v + kept, (spans->n - kept) * sizeof(*spans->v));
    spans->n -= kept;
}

/* What becomes of the spans of one word that starts at base. */
static int apply_behavior(const struct pre_step *step, struct span_list *spans, size_t base,
                          struct span_list *words, struct error *err)
{
    size_t first = words->n;
    int before = 0; // the span to the left was a match

    for (size_t i = 0; step->invert && i < spans->n; i++)
        spans->v[i].match = !spans->v[i].match;
    if (step->behavior == MERGED_WITH_NEXT && spans->n > 0)
        merge_with_next(spans);
    for (size_t i = 0; i < spans->n; i++) {
        struct span span = spans->v[i];
        int join = 0;

        span.start += base;
        span.end += base;
        if (step->behavior == REMOVED && span.match)
            continue;
        if (step->behavior == CONTIGUOUS)
            join = span.match == before;
        else if (step->behavior == MERGED_WITH_PREVIOUS)
            join = span.match && !before;
        if (put_word(words, first, &span, join, err) < 0)
            return -1;
        before = span.match;
    }
    return 0;
}

/* Spans of the characters that a step cuts out. */
static int char_spans(const struct pretokenizer *pre, const struct pre_step *step, const char *text,
                      size_t len, struct span_list *spans, struct error *err)
{
    size_t done = 0;
    size_t n;

    spans->n = 0;
    for (size_t at = 0; at < len; at += n) {
        uint16_t class = unicode_class(pre->uc, utf8_get((const unsigned char *)text + at, &n));

        if (!unicode_in(class, step->categories) && !(class & step->flags))
            continue;
        if (at > done && span_add(spans, done, at, 0, err) < 0)
            return -1;
        if (span_add(spans, at, at + n, 1, err) < 0)
            return -1;
        done = at + n;
    }
    return done < len ? span_add(spans, done, len, 0, err) : 0;
}

static int scan_words(const struct pretokenizer *pre, const struct pre_step *step, const char *base,
                      const struct span *word, struct span_list *words, struct error *err)
{
    const unsigned char *text = (const unsigned char *)base;
    const unsigned char *p = text + word->start;
    const unsigned char *end = text + word->end;

    while (p < end) {
        const unsigned char *next = scan_word(pre->scan, &step->rules, p, end);

        if (span_add(words, (size_t)(p - text), (size_t)(next - text), 0, err) < 0)
            return -1;
        p = next;
    }
    return 0;
}

/* \w+|[^\w\s]+ of Rust's regular expressions, with all else removed: runs of one flag. */
static int word_runs(const struct pretokenizer *pre, const char *base, const struct span *word,
                     struct span_list *words, struct error *err)
{
    size_t start = word->start;
    int before = UC_SPACE;
    size_t n;

    for (size_t at = word->start; at < word->end; at += n) {
        uint16_t class = unicode_class(pre->uc, utf8_get((const unsigned char *)base + at, &n));
        int kind = class & (UC_SPACE | UC_WORD);

        if (kind == before)
            continue;
        if (before != UC_SPACE && span_add(words, start, at, 0, err) < 0)
            return -1;
        start = at;
        before = kind;
    }
    return before == UC_SPACE ? 0 : span_add(words, start, word->end, 0, err);
}

/* One word by a step that changes no characters. */
static int split_word(struct pretokenizer *pre, struct pre_step *step, const char *base,
                      const struct span *word, struct span_list *words, struct error *err)
{
    const char *text = base + word->start;
    size_t len = word->end - word->start;

    if (step->kind == PRE_SCAN)
        return scan_words(pre, step, base, word, words, err);
    if (step->kind == PRE_WORDS)
        return word_runs(pre, base, word, words, err);
    if (step->kind == PRE_PATTERN) {
        if (pattern_spans(step->pattern, text, len, &pre->spans, err) < 0)
            return -1;
    } else if (char_spans(pre, step, text, len, &pre->spans, err) < 0) {
        return -1;
    }
    return apply_behavior(step, &pre->spans, word->start, words, err);
}

/* ----------------------------------------------------------- changing words */

/* Spans of the mark in a word that has just been written to out. */
static int mark_spans(const struct pre_step *step, const char *text, size_t len,
                      struct span_list *spans, struct error *err)
{
    size_t done = 0;

    spans->n = 0;
    for (size_t at = 0; at + step->mark_len <= len;) {
        if (memcmp(text + at, step->mark, step->mark_len) != 0) {
            at++;
            continue;
        }
        if (at > done && span_add(spans, done, at, 0, err) < 0)
            return -1;
        if (span_add(spans, at, at + step->mark_len, 1, err) < 0)
            return -1;
        at += step->mark_len;
        done = at;
    }
    return done < len ? span_add(spans, done, len, 0, err) : 0;
}

static int metaspace_word(struct pretokenizer *pre, const struct pre_step *step, const char *text,
                          size_t len, int at_start, struct strbuf *out, struct span_list *words,
                          struct error *err)
{
    static const struct pre_step to_next = { .behavior = MERGED_WITH_NEXT };
    size_t start = out->len;
    int has_mark =
        text[0] == ' ' || (len >= step->mark_len && memcmp(text, step->mark, step->mark_len) == 0);

    if (!has_mark &&
        (step->prepend == PREPEND_ALWAYS || (step->prepend == PREPEND_FIRST && at_start)))
        strbuf_add(out, step->mark, step->mark_len);
    for (size_t at = 0; at < len;) {
        const char *space = memchr(text + at, ' ', len - at);
        size_t end = space ? (size_t)(space - text) : len;

        strbuf_add(out, text + at, end - at);
        if (space)
            strbuf_add(out, step->mark, step->mark_len);
        at = space ? end + 1 : end;
    }
    if (strbuf_check(out, err) < 0)
        return -1;
    if (!step->split)
        return span_add(words, start, out->len, 0, err);
    if (mark_spans(step, out->text + start, out->len - start, &pre->spans, err) < 0)
        return -1;
    return apply_behavior(&to_next, &pre->spans, start, words, err);
}

/* One word by a step that writes a new text. */
static int rewrite_word(struct pretokenizer *pre, const struct pre_step *step, const char *text,
                        size_t len, int at_start, struct strbuf *out, struct span_list *words,
                        struct error *err)
{
    size_t start = out->len;

    if (step->kind == PRE_METASPACE)
        return metaspace_word(pre, step, text, len, at_start, out, words, err);
    if (step->kind == PRE_PREFIX_SPACE) {
        if (text[0] != ' ')
            strbuf_putc(out, ' ');
        strbuf_add(out, text, len);
    } else {
        for (size_t i = 0; i < len; i++) {
            char bytes[4];

            strbuf_add(out, bytes, utf8_put(bytes, byte_level_char((unsigned char)text[i])));
        }
    }
    if (strbuf_check(out, err) < 0)
        return -1;
    return span_add(words, start, out->len, 0, err);
}

int pretokenizer_run(struct pretokenizer *pre, const char *text, size_t len, int at_start,
                     const char **base, const struct span_list **words, struct error *err)
{
    struct span_list *from = &pre->words[0];
    struct span_list *to = &pre->words[1];
    int turn = 0; // the buffer that *base is not in

    *base = text;
    from->n = 0;
    if (span_add(from, 0, len, 0, err) < 0)
        return -1;
    for (size_t s = 0; s < pre->n; s++) {
        struct pre_step *step = &pre->steps[s];
        int rewrites = step->kind >= PRE_METASPACE;
        struct strbuf *out = &pre->text[turn];
        struct span_list *swap = from;

        to->n = 0;
        if (rewrites)
            strbuf_reset(out);
        for (size_t i = 0; i < from->n; i++) {
            const struct span *word = &from->v[i];
            int rc = 0;

            if (word->start == word->end)
                continue;
            if (rewrites)
                rc = rewrite_word(pre, step, *base + word->start, word->end - word->start, at_start,
                                  out, to, err);
            else
                rc = split_word(pre, step, *base, word, to, err);
            if (rc < 0)
                return -1;
        }
        if (rewrites) {
            *base = strbuf_text(out);
            turn = !turn;
        }
        from = to;
        to = swap;
    }
    *words = from;
    return 0;
}
