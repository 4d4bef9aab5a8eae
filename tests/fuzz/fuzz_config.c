/*
 * fuzz_config.c: a configuration file, pairs of the command line, and packs.
 *
 * The input up to the first zero byte is the file; zero bytes separate pairs
 * after it. What is read must come out of its own dump unchanged. The same
 * bytes are also read as a pack.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

#define PAIRS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct config *cfg)
{
    struct strbuf first = { 0 }, second = { 0 };
    struct config again;
    struct error err;

    config_dump(cfg, &first);
    if (config_parse(&again, strbuf_text(&first), first.len, "dump", NULL, 0, &err) < 0)
        abort();
    config_dump(&again, &second);
    if (first.len != second.len || strcmp(strbuf_text(&first), strbuf_text(&second)) != 0)
        abort();
    strbuf_reset(&second);
    config_result_text(&again, &second);
    config_release(&again);
    strbuf_release(&first);
    strbuf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    char *pairs[PAIRS_MAX];
    struct config cfg;
    struct error err;
    size_t len, at;
    int n = 0;

    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    len = strlen(text);
    for (at = len; at < size && n < PAIRS_MAX; at += strlen(text + at))
        pairs[n++] = text + ++at;
    if (config_parse(&cfg, text, len, "fuzz.yaml", pairs, n, &err) == 0) {
        round_trip(&cfg);
        config_release(&cfg);
    }
    if (config_unpack(&cfg, data, size, &err) == 0)
        config_release(&cfg);
    free(text);
    return 0;
}
