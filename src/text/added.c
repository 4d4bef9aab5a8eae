/*
 * text/added.c: tokens that are cut out of the text before anything else.
 *
 * At each place from the left the longest token wins, and the search goes on
 * behind it, also when the token is passed over (special ones on request,
 * single words inside a word). Tokens marked `normalized` are looked for in
 * the normalized text, in their own normalized form, with a second trie.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text_internal.h"

#define ADDED_MAX 65536

struct trie_node {
    int32_t child, sibling; // nodes, or -1
    int32_t token;          // that ends here, or -1
    unsigned char byte;
};

static void trie_release(struct trie *trie)
{
    free(trie->nodes);
    *trie = (struct trie){ 0 };
}

void added_release(struct added *added)
{
    for (size_t i = 0; i < added->n; i++)
        free(added->v[i].text);
    free(added->v);
    trie_release(&added->raw);
    trie_release(&added->normalized);
    *added = (struct added){ 0 };
}

struct added_token *added_find(const struct added *added, const char *text, size_t len)
{
    for (size_t i = 0; i < added->n; i++)
        if (added->v[i].len == len && memcmp(added->v[i].text, text, len) == 0)
            return &added->v[i];
    return NULL;
}

int added_put(struct added *added, const struct added_token *token, struct error *err)
{
    struct added_token *old = added_find(added, token->text, token->len);
    char *text;

    if (old) {
        text = old->text;
        token = &(struct added_token){ .text = text,
                                       .len = token->len,
                                       .id = token->id,
                                       .special = token->special | old->special,
                                       .lstrip = token->lstrip,
                                       .rstrip = token->rstrip,
                                       .single_word = token->single_word,
                                       .normalized = token->normalized };
        *old = *token;
        return 0;
    }
    if (added->n == ADDED_MAX)
        return error_set(err, "more than %d added tokens", ADDED_MAX);
    if (mem_grow(&added->v, &added->cap, added->n + 1, sizeof(*added->v), err) < 0)
        return -1;
    text = mem_strndup(token->text, token->len, err);
    if (!text)
        return -1;
    added->v[added->n] = *token;
    added->v[added->n++].text = text;
    return 0;
}

/* -------------------------------------------------------------------- tries */

static int32_t new_node(struct trie *trie, unsigned char byte, struct error *err)
{
    if (mem_grow(&trie->nodes, &trie->cap, trie->n + 1, sizeof(*trie->nodes), err) < 0)
        return -1;
    trie->nodes[trie->n] =
        (struct trie_node){ .child = -1, .sibling = -1, .token = -1, .byte = byte };
    return (int32_t)trie->n++;
}

/* The child of a node for this byte, or -1. */
static int32_t child_of(const struct trie *trie, int32_t node, unsigned char byte)
{
    int32_t child = trie->nodes[node].child;

    while (child >= 0 && trie->nodes[child].byte != byte)
        child = trie->nodes[child].sibling;
    return child;
}

static int trie_add(struct trie *trie, const char *text, size_t len, int32_t token,
                    struct error *err)
{
    int32_t node = trie->root[(unsigned char)text[0]];

    if (node < 0) {
        node = new_node(trie, (unsigned char)text[0], err);
        if (node < 0)
            return -1;
        trie->root[(unsigned char)text[0]] = node;
    }
    for (size_t i = 1; i < len; i++) {
        int32_t child = child_of(trie, node, (unsigned char)text[i]);

        if (child < 0) {
            child = new_node(trie, (unsigned char)text[i], err);
            if (child < 0)
                return -1;
            trie->nodes[child].sibling = trie->nodes[node].child;
            trie->nodes[node].child = child;
        }
        node = child;
    }
    if (trie->nodes[node].token < 0) // of equal texts the first counts
        trie->nodes[node].token = token;
    return 0;
}

static void trie_init(struct trie *trie)
{
    trie_release(trie);
    for (int b = 0; b < 256; b++)
        trie->root[b] = -1;
}

static void find_only_byte(struct trie *trie)
{
    trie->only_byte = -1;
    for (int b = 0; b < 256; b++) {
        if (trie->root[b] < 0)
            continue;
        if (trie->only_byte >= 0) {
            trie->only_byte = -1;
            return;
        }
        trie->only_byte = b;
    }
}

static int add_token(struct added *added, size_t i, struct normalizer *nz, struct error *err)
{
    const struct added_token *token = &added->v[i];
    const char *text = token->text;
    size_t len = token->len;
    int moved;

    if (!token->normalized)
        return trie_add(&added->raw, text, len, (int32_t)i, err);
    if (normalizer_run(nz, &text, &len, &moved, err) < 0)
        return -1;
    if (len == 0)
        return error_set(err, "added token '%.100s' is empty when normalized", token->text);
    return trie_add(&added->normalized, text, len, (int32_t)i, err);
}

int added_build(struct added *added, struct normalizer *nz, struct error *err)
{
    trie_init(&added->raw);
    trie_init(&added->normalized);
    for (int special = 1; special >= 0; special--) // the library puts special tokens first
        for (size_t i = 0; i < added->n; i++)
            if (added->v[i].special == special && add_token(added, i, nz, err) < 0)
                return -1;
    find_only_byte(&added->raw);
    find_only_byte(&added->normalized);
    return 0;
}

/* ----------------------------------------------------------------- scanning */

/* The longest token at text[at], or -1. */
static int32_t longest_at(const struct trie *trie, const char *text, size_t len, size_t at,
                          size_t *end)
{
    int32_t node = trie->root[(unsigned char)text[at]];
    int32_t found = -1;

    while (node >= 0) {
        at++;
        if (trie->nodes[node].token >= 0) {
            found = trie->nodes[node].token;
            *end = at;
        }
        if (at == len)
            break;
        node = child_of(trie, node, (unsigned char)text[at]);
    }
    return found;
}

/* The first place from at on where a token may start, or len. */
static size_t next_start(const struct trie *trie, const char *text, size_t len, size_t at)
{
    if (trie->n == 0)
        return len;
    if (trie->only_byte >= 0) {
        const char *hit = at < len ? memchr(text + at, trie->only_byte, len - at) : NULL;

        return hit ? (size_t)(hit - text) : len;
    }
    while (at < len && trie->root[(unsigned char)text[at]] < 0)
        at++;
    return at;
}

static uint16_t class_at(const struct added_scan *scan, size_t at)
{
    size_t n;

    return unicode_class(scan->uc, utf8_get((const unsigned char *)scan->text + at, &n));
}

/* True when a word character touches the stretch from outside. */
static int inside_word(const struct added_scan *scan, size_t start, size_t end)
{
    if (start > 0 && (class_at(scan, utf8_before(scan->text, start)) & UC_WORD))
        return 1;
    return end < scan->len && (class_at(scan, end) & UC_WORD);
}

static size_t before_spaces(const struct added_scan *scan, size_t at)
{
    while (at > 0 && (class_at(scan, utf8_before(scan->text, at)) & UC_SPACE))
        at = utf8_before(scan->text, at);
    return at;
}

static size_t after_spaces(const struct added_scan *scan, size_t at)
{
    while (at < scan->len && (class_at(scan, at) & UC_SPACE)) {
        size_t n;

        (void)utf8_get((const unsigned char *)scan->text + at, &n);
        at += n;
    }
    return at;
}

/* The next token that counts, with the spaces it takes; 0 when there is none. */
static int find_token(struct added_scan *scan, struct added_piece *piece)
{
    for (;;) {
        size_t start = next_start(scan->trie, scan->text, scan->len, scan->at);
        size_t end = 0;
        const struct added_token *token;
        int32_t found;

        if (start >= scan->len) {
            scan->at = scan->len;
            return 0;
        }
        found = longest_at(scan->trie, scan->text, scan->len, start, &end);
        scan->at = found < 0 ? start + 1 : end;
        if (found < 0)
            continue;
        token = &scan->added->v[found];
        if (scan->skip_special && token->special)
            continue;
        if (token->single_word && inside_word(scan, start, end))
            continue;
        if (token->lstrip) {
            start = before_spaces(scan, start);
            if (start < scan->done)
                start = scan->done;
        }
        if (token->rstrip)
            end = after_spaces(scan, end);
        *piece = (struct added_piece){ .start = start, .end = end, .token = token };
        return 1;
    }
}

int added_next(struct added_scan *scan, struct added_piece *piece)
{
    for (;;) {
        if (!scan->pending && find_token(scan, &scan->token)) {
            scan->pending = 1;
            if (scan->done < scan->token.start) {
                *piece = (struct added_piece){ .start = scan->done, .end = scan->token.start };
                scan->done = scan->token.start;
                return 1;
            }
        }
        if (!scan->pending)
            break;
        scan->pending = 0;
        scan->done = scan->token.end; // may go back: a token inside the spaces of the last one
        if (scan->token.start < scan->token.end) { // else all of it was in those spaces
            *piece = scan->token;
            return 1;
        }
    }
    if (scan->done >= scan->len)
        return 0;
    *piece = (struct added_piece){ .start = scan->done, .end = scan->len };
    scan->done = scan->len;
    return 1;
}
