/*
 * fuzz/fuzz_tokenizer.c: tokenizer.json with a text to encode.
 *
 * The input is one file of JSON: an object with "file", the tokenizer.json,
 * "config", the tokenizer_config.json, and "text", encoded both ways. An
 * input without "file" is taken as a tokenizer.json itself and encodes a text
 * of its own.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char some_text[] =
    "I'll  say: <s>h\xC3\xA9llo\n\n123 \xE4\xB8\x80\xE2\x96\x81 e\xCC\x81\xCC\xA7 "
    "\xF0\x9F\x98\x80\t</s>";

static void encode(const struct tokenizer *tok, const char *text, size_t len)
{
    struct token_list out = { 0 };
    struct error err;

    for (int split = 0; split < 2; split++) {
        if (tokenizer_encode(tok, text, len, split, &out, &err) < 0)
            continue;
        for (size_t i = 0; i < out.n; i++)
            if (out.v[i] < 0 || out.v[i] >= tokenizer_size(tok))
                abort();
    }
    token_list_release(&out);
}

static void open_and_encode(const char *file, size_t file_len, const char *config,
                            size_t config_len, const char *text, size_t len)
{
    struct tokenizer_files files = { .tokenizer_json = file,
                                     .tokenizer_json_len = file_len,
                                     .tokenizer_config = config,
                                     .tokenizer_config_len = config_len };
    struct tokenizer *tok;
    struct error err;

    if (tokenizer_parse(&tok, &files, &err) < 0)
        return;
    encode(tok, text, len);
    (void)tokenizer_add_special(tok, "a", &err);
    (void)tokenizer_hash(tok);
    encode(tok, text, len);
    tokenizer_close(tok);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    json_t *json = json_parse_text((const char *)data, size, "input", &err);
    const json_t *file = json_object_get(json, "file");
    const json_t *text = json_object_get(json, "text");

    if (file) {
        char *file_text = json_dumps(file, JSON_ENCODE_ANY);
        char *config = json_dumps(json_object_get(json, "config"), JSON_ENCODE_ANY);
        int own = json_is_string(text);

        if (file_text)
            open_and_encode(file_text, strlen(file_text), config, config ? strlen(config) : 0,
                            own ? json_string_value(text) : some_text,
                            own ? json_string_length(text) : sizeof(some_text) - 1);
        free(file_text);
        free(config);
    } else {
        open_and_encode((const char *)data, size, NULL, 0, some_text, sizeof(some_text) - 1);
    }
    json_decref(json);
    return 0;
}
