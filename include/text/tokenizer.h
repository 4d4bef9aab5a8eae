/*
 * text/tokenizer.h: text to token ids, as the `tokenizers` library does it.
 *
 * A tokenizer comes from a model folder: tokenizer.json says how text is cut
 * and what the ids are; tokenizer_config.json, special_tokens_map.json and
 * config.json say which token is bos, eos and pad. Supported is BPE in its
 * two families, byte-level (Llama 3, Qwen, SmolLM) and byte-fallback (Llama
 * 2, Mistral), with the normalizers NFC, NFD, NFKC, NFKD, Lowercase, Strip,
 * Replace, Prepend, ByteLevel, Sequence; the pre-tokenizers Split, Digits,
 * ByteLevel, Metaspace, Whitespace, WhitespaceSplit, Punctuation, Sequence;
 * and added tokens. Anything else in the file is refused by name: ids are
 * equal to the library's or there are none.
 *
 * Text goes through these steps:
 *
 *     text -> added tokens cut out -> normalizer -> added tokens marked
 *     `normalized` cut out -> pre-tokenizer -> words -> BPE -> ids
 *
 * Everything here is local. A tokenizer carries scratch memory and a cache of
 * words, also behind a const pointer: use one from one thread at a time.
 *
 * Source: Sennrich et al. 2016 (arXiv:1508.07909) for BPE; the file format is
 * that of the `tokenizers` library 0.22.
 */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

/* Token ids in a growing array; { 0 } is an empty one. */
struct token_list {
    int32_t *v;
    size_t n, cap;
};

int token_list_add(struct token_list *list, int32_t id, struct error *err);
int token_list_extend(struct token_list *list, const int32_t *v, size_t n, struct error *err);
void token_list_release(struct token_list *list);

struct tokenizer;

/*
 * Reads a model folder. tokenizer.json must be there; the other three files
 * may be missing. bos, eos and pad are looked up in tokenizer_config.json,
 * then in special_tokens_map.json, then, bos and eos only, as ids in
 * config.json; an explicit null in the first one found is "none".
 */
int tokenizer_open(struct tokenizer **tok, const char *folder, struct error *err);

/*
 * The same from bytes in memory, for callers that have broadcast the files;
 * each may be NULL except tokenizer_json. Texts end with a zero byte.
 */
struct tokenizer_files {
    const char *tokenizer_json, *tokenizer_config, *special_tokens_map, *config;
    size_t tokenizer_json_len, tokenizer_config_len, special_tokens_map_len, config_len;
};

int tokenizer_parse(struct tokenizer **tok, const struct tokenizer_files *files, struct error *err);

void tokenizer_close(struct tokenizer *tok);

/*
 * Appends the ids of len bytes of UTF-8 to out. No bos or eos is added. The
 * text of special tokens becomes their ids, or, with split_special_tokens,
 * is taken as ordinary text (added tokens that are not special are still
 * recognised). Characters for which the vocabulary has nothing are left out,
 * as the library does without an unk_token. On an error out is as before:
 * text that is not UTF-8 (the message has the offset of the first bad byte),
 * a pattern that would take too long, no memory.
 */
int tokenizer_encode(const struct tokenizer *tok, const char *utf8, size_t len,
                     int split_special_tokens, struct token_list *out, struct error *err);

/* The id of a token by its text in the file (byte-level tokens in their mapped
 * form; added tokens first, as they are); -1 when absent. */
int32_t tokenizer_id(const struct tokenizer *tok, const char *token);

/* The token's text in the file; NULL when the id has none. Owned by tok. */
const char *tokenizer_token(const struct tokenizer *tok, int32_t id);

/* Largest id + 1, added tokens included. */
int32_t tokenizer_size(const struct tokenizer *tok);

/* Ids, or -1 when the tokenizer has none. */
int32_t tokenizer_bos(const struct tokenizer *tok);
int32_t tokenizer_eos(const struct tokenizer *tok);
int32_t tokenizer_pad(const struct tokenizer *tok);

/*
 * Makes an existing token the eos or pad. A token that is not an added one
 * becomes one, marked special, as tokenizer_add_special() does. A text
 * that is no token would be a new id, for which the model has no embedding:
 * refused.
 */
int tokenizer_set_eos(struct tokenizer *tok, const char *token, struct error *err);
int tokenizer_set_pad(struct tokenizer *tok, const char *token, struct error *err);

/*
 * Marks a token as special, so that its text is always cut out whole and
 * obeys split_special_tokens. A text that is no token yet is refused.
 */
int tokenizer_add_special(struct tokenizer *tok, const char *token, struct error *err);

/* 1 when the tokenizer, asked for automatic special tokens, puts bos first. */
int tokenizer_adds_bos(const struct tokenizer *tok);

/* Hash of everything that decides ids: the files and the changes made since. */
struct hash tokenizer_hash(const struct tokenizer *tok);

#endif
