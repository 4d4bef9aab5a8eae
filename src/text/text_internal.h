/*
 * text/text_internal.h: the parts of a tokenizer.
 *
 *   pattern       a regular expression of tokenizer.json over our own classes
 *   normalizer    changes text before it is cut
 *   pretokenizer  cuts text into words
 *   bpe           a word to ids
 *   added         tokens that are cut out before anything else
 *
 * Each is read from its part of tokenizer.json by <part>_read() and given
 * back by <part>_release(), which accepts { 0 }.
 */
#ifndef TEXT_INTERNAL_H
#define TEXT_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "format/json.h"
#include "text/tokenizer.h"
#include "unicode.h"

#define TEXT_LEN_MAX 0x7FFFFFFF // bytes of one text

/* ------------------------------------------------------------------ pattern */

struct pattern;

/* literal: text is taken as it is, else it is in Oniguruma's syntax. */
int pattern_open(struct pattern **pattern, const char *text, size_t len, int literal,
                 const struct unicode_classes *uc, struct error *err);
void pattern_close(struct pattern *pattern);
int pattern_may_match_empty(const struct pattern *pattern);

/* A stretch of text: bytes [start, end), matched by a pattern or not. */
struct span {
    size_t start, end;
    int match;
};

struct span_list {
    struct span *v;
    size_t n, cap;
};

int span_add(struct span_list *list, size_t start, size_t end, int match, struct error *err);

/* Cuts text into spans, matches and what is between them, in order; nothing is left out. */
int pattern_spans(struct pattern *pattern, const char *text, size_t len, struct span_list *spans,
                  struct error *err);

/* --------------------------------------------------------------- normalizer */

struct norm_step;

struct normalizer {
    struct norm_step *steps;
    size_t n, cap;
    const struct unicode_classes *uc;
    struct strbuf text[2]; // results of the steps in turn
    int32_t *chars;        // characters of the region in hand
    size_t chars_cap;
};

int normalizer_read(struct normalizer *nz, const json_t *json, const struct unicode_classes *uc,
                    struct error *err);
void normalizer_release(struct normalizer *nz);

/*
 * Replaces *text and *len by the normalized text, which stays in nz until the
 * next call. *moved becomes 1 when the first character left is not the first
 * of the original any more (Metaspace asks).
 */
int normalizer_run(struct normalizer *nz, const char **text, size_t *len, int *moved,
                   struct error *err);

/* NFC, NFD, NFKC, NFKD: appends to out. nz lends scratch memory. */
enum norm_form { FORM_NFC, FORM_NFD, FORM_NFKC, FORM_NFKD };

int normalize_form(struct normalizer *nz, enum norm_form form, const char *text, size_t len,
                   struct strbuf *out, struct error *err);

/* 1 when the text is in form NFC for sure. */
int normalize_is_plain(const struct unicode_classes *uc, const char *text, size_t len);

/* The character that stands for a byte in byte-level vocabularies. */
uint32_t byte_level_char(unsigned char byte);

/* ------------------------------------------------------------- pretokenizer */

/* A family of patterns that scan.c cuts by hand; see there. */
struct scan_rules {
    int on;
    int caseless;    // contractions in capitals too
    int any_lead;    // letters may follow one character of nearly any kind, else a space
    int digits_max;  // digits in a word; 0: any number, after an optional space
    int newlines;    // line ends belong to the word before; blank lines are words
    int split_digit; // digits are cut out one by one before anything else
};

struct scan_table {
    unsigned char kind[0x10000]; // SCAN_* by code point
    const struct unicode_classes *uc;
};

void scan_table_init(struct scan_table *table, const struct unicode_classes *uc);

/* Recognises the text of a pattern; rules->on is 1 when it did. */
void scan_rules_find(struct scan_rules *rules, const char *pattern, size_t len);

/* End of the word that starts at p, p < end. Characters from end on do not exist for it. */
const unsigned char *scan_word(const struct scan_table *table, const struct scan_rules *rules,
                               const unsigned char *p, const unsigned char *end);

/* 1 when a digit of any script starts at p; *n is its length. */
int scan_is_digit(const struct scan_table *table, const unsigned char *p, size_t *n);

struct pre_step;

struct pretokenizer {
    struct pre_step *steps;
    size_t n, cap;
    const struct unicode_classes *uc;
    struct scan_table *scan;
    struct scan_rules fast; // the whole pipeline is a scan and byte-level
    int byte_level;         // words are raw bytes: the model maps them
    int needs_start;        // Metaspace with "first" is there
    struct strbuf text[2];
    struct span_list words[2];
    struct span_list spans;
};

int pretokenizer_read(struct pretokenizer *pre, const json_t *json,
                      const struct unicode_classes *uc, struct error *err);
void pretokenizer_release(struct pretokenizer *pre);

/*
 * Cuts text into words: *words are stretches of *base, both kept in pre until
 * the next call. at_start: text[0] is the first character of the input.
 */
int pretokenizer_run(struct pretokenizer *pre, const char *text, size_t len, int at_start,
                     const char **base, const struct span_list **words, struct error *err);

/* ---------------------------------------------------------------------- bpe */

struct bpe;

/* byte_level: words come as raw bytes. */
int bpe_open(struct bpe **bpe, const json_t *json, int byte_level, struct error *err);
void bpe_close(struct bpe *bpe);
int bpe_encode(struct bpe *bpe, const char *word, size_t len, struct token_list *out,
               struct error *err);
int32_t bpe_id(const struct bpe *bpe, const char *token, size_t len);
const char *bpe_token(const struct bpe *bpe, int32_t id);
size_t bpe_count(const struct bpe *bpe); // tokens
int32_t bpe_end(const struct bpe *bpe);  // largest id + 1

/* -------------------------------------------------------------------- added */

struct added_token {
    char *text;
    size_t len;
    int32_t id;
    int special, lstrip, rstrip, single_word, normalized;
};

struct trie {
    struct trie_node *nodes;
    size_t n, cap;
    int32_t root[256]; // node, or -1
    int only_byte;     // the first byte of every token, or -1
};

struct added {
    struct added_token *v;
    size_t n, cap;
    struct trie raw, normalized;
};

void added_release(struct added *added);
struct added_token *added_find(const struct added *added, const char *text, size_t len);

/* token's text is copied. An entry of that text is replaced; special stays. */
int added_put(struct added *added, const struct added_token *token, struct error *err);

/* Makes the tries; to be called after the last added_put(). */
int added_build(struct added *added, struct normalizer *nz, struct error *err);

/* A piece of text, or an added token in it: token is NULL or says which. */
struct added_piece {
    size_t start, end;
    const struct added_token *token;
};

struct added_scan {
    const struct added *added;
    const struct trie *trie;
    const struct unicode_classes *uc;
    const char *text;
    size_t len;
    size_t at;   // where to look for the next token
    size_t done; // end of what has been given out
    int skip_special;
    struct added_piece token; // found and not yet given out, when pending
    int pending;
};

/* The next piece from the left; 0 when there is none. */
int added_next(struct added_scan *scan, struct added_piece *piece);

/* -------------------------------------------------------- tokenizer_config.c */

struct tokenizer {
    struct unicode_classes uc;
    struct normalizer nz;
    struct pretokenizer pre;
    struct bpe *bpe;
    struct added added;
    struct hash content;
    int32_t bos, eos, pad;
    int adds_bos;
    int has_normalized_tokens;
};

/* Added tokens and the named special tokens, from the four files. */
int tokenizer_read_special(struct tokenizer *tok, const json_t *json,
                           const struct tokenizer_files *files, struct error *err);

#endif
