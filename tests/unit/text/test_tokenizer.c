/*
 * text/tokenizer: ids equal the `tokenizers` library's; files are read as
 * transformers reads them; what is not supported is refused by name.
 *
 * Golden ids: tests/golden/make_tokenizer_ids.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/json.h"
#include "text/tokenizer.h"

#define GOLDEN "tests/golden/"

static struct error err;

static json_t *golden(const char *name)
{
    json_t *json = json_parse_file(name, &err);

    if (!json)
        fail_msg("%s", err.msg);
    return json;
}

static struct tokenizer *open_family(const char *family)
{
    struct tokenizer *tok;
    char folder[256];

    (void)snprintf(folder, sizeof(folder), GOLDEN "tokenizers/%s", family);
    if (tokenizer_open(&tok, folder, &err) < 0)
        fail_msg("%s", err.msg);
    return tok;
}

/* A tokenizer from texts; the ones that are NULL are missing files. */
static int parse_texts(struct tokenizer **tok, const char *json, const char *config,
                       const char *map, const char *model)
{
    struct tokenizer_files files = { .tokenizer_json = json,
                                     .tokenizer_json_len = strlen(json),
                                     .tokenizer_config = config,
                                     .tokenizer_config_len = config ? strlen(config) : 0,
                                     .special_tokens_map = map,
                                     .special_tokens_map_len = map ? strlen(map) : 0,
                                     .config = model,
                                     .config_len = model ? strlen(model) : 0 };

    return tokenizer_parse(tok, &files, &err);
}

static void check_ids(const struct tokenizer *tok, const json_t *text, int split, const json_t *ids,
                      const char *name)
{
    struct token_list out = { 0 };
    size_t n = json_array_size(ids);

    if (tokenizer_encode(tok, json_string_value(text), json_string_length(text), split, &out,
                         &err) < 0)
        fail_msg("%s: '%s': %s", name, json_string_value(text), err.msg);
    for (size_t i = 0; i < n && i < out.n; i++)
        if (out.v[i] != json_integer_value(json_array_get(ids, i)))
            fail_msg("%s: '%s': id %zu is %d, not %d", name, json_string_value(text), i, out.v[i],
                     (int)json_integer_value(json_array_get(ids, i)));
    if (out.n != n)
        fail_msg("%s: '%s': %zu ids, not %zu", name, json_string_value(text), out.n, n);
    token_list_release(&out);
}

static void ids_equal_the_librarys_for_every_family(void **state)
{
    json_t *all = golden(GOLDEN "tokenizer_ids.json");
    const json_t *texts = json_object_get(all, "texts");
    const char *family;
    json_t *ids;

    (void)state;
    assert_true(json_array_size(texts) > 250);
    json_object_foreach(json_object_get(all, "ids"), family, ids)
    {
        struct tokenizer *tok = open_family(family);

        for (int pass = 0; pass < 2; pass++) // the second finds its words in the cache
            for (size_t i = 0; i < json_array_size(texts); i++)
                check_ids(tok, json_array_get(texts, i), 0, json_array_get(ids, i), family);
        tokenizer_close(tok);
    }
    json_decref(all);
}

static void special_tokens_are_text_on_request(void **state)
{
    json_t *all = golden(GOLDEN "tokenizer_ids.json");
    const json_t *texts = json_object_get(all, "texts");
    const char *family, *number;
    json_t *split, *ids;

    (void)state;
    json_object_foreach(json_object_get(all, "split"), family, split)
    {
        struct tokenizer *tok = open_family(family);

        assert_true(json_object_size(split) > 5);
        json_object_foreach(split, number, ids)
        {
            check_ids(tok, json_array_get(texts, strtoul(number, NULL, 10)), 1, ids, family);
        }
        tokenizer_close(tok);
    }
    json_decref(all);
}

/* A family's tokenizer.json with these changes. */
static struct tokenizer *open_variant(const json_t *variant)
{
    char path[256];
    struct tokenizer *tok;
    json_t *json;
    char *text;

    (void)snprintf(path, sizeof(path), GOLDEN "tokenizers/%s/tokenizer.json",
                   json_string_value(json_object_get(variant, "family")));
    json = golden(path);
    assert_int_equal(json_object_update(json, json_object_get(variant, "set")), 0);
    assert_int_equal(
        json_object_update(json_object_get(json, "model"), json_object_get(variant, "model")), 0);
    text = json_dumps(json, JSON_COMPACT);
    assert_non_null(text);
    if (parse_texts(&tok, text, NULL, NULL, NULL) < 0)
        fail_msg("%s: %s", json_string_value(json_object_get(variant, "name")), err.msg);
    free(text);
    json_decref(json);
    return tok;
}

static void ids_equal_the_librarys_for_every_step_and_flag(void **state)
{
    json_t *all = golden(GOLDEN "tokenizer_variants.json");
    const json_t *list = json_object_get(all, "variants");

    (void)state;
    assert_true(json_array_size(list) > 40);
    for (size_t v = 0; v < json_array_size(list); v++) {
        const json_t *variant = json_array_get(list, v);
        const json_t *texts = json_object_get(variant, "texts");
        struct tokenizer *tok = open_variant(variant);

        if (!json_is_array(texts))
            texts = json_object_get(all, "texts");
        for (size_t i = 0; i < json_array_size(texts); i++)
            check_ids(tok, json_array_get(texts, i), 0,
                      json_array_get(json_object_get(variant, "ids"), i),
                      json_string_value(json_object_get(variant, "name")));
        tokenizer_close(tok);
    }
    json_decref(all);
}

static void text_that_is_not_utf8_is_named_by_its_first_bad_byte(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *says;
    } bad[] = {
        { "abc\xFFxyz", 7, "byte 0xFF at offset 3" },
        { "\x80", 1, "byte 0x80 at offset 0" },
        { "a\xC0\xAF", 3, "offset 1" },             // longer than needed
        { "\xE0\x9F\xBF", 3, "offset 0" },          // longer than needed
        { "12345678\xED\xA0\x80", 11, "offset 8" }, // a surrogate
        { "\xF4\x90\x80\x80", 4, "offset 0" },      // past the last code point
        { "12345678abc\xE2\x82", 13, "offset 11" }, // cut short
        { "ok \xF0\x9F\x98\x80 \xF0\x9F\x98", 11, "offset 8" },
        { "\xE2\x28\xA1", 3, "offset 0" },
    };
    struct tokenizer *tok = open_family("llama3");
    struct token_list out = { 0 };

    (void)state;
    assert_int_equal(token_list_add(&out, 7, &err), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(tokenizer_encode(tok, bad[i].text, bad[i].len, 0, &out, &err), -1);
        if (!strstr(err.msg, bad[i].says) || !strstr(err.msg, "not UTF-8"))
            fail_msg("text %zu: '%s'", i, err.msg);
        assert_int_equal(out.n, 1);
    }
    token_list_release(&out);
    tokenizer_close(tok);
}

static void ids_are_appended(void **state)
{
    struct tokenizer *tok = open_family("qwen3");
    struct token_list out = { 0 };
    struct token_list one = { 0 };

    (void)state;
    assert_int_equal(tokenizer_encode(tok, "", 0, 0, &out, &err), 0);
    assert_int_equal(out.n, 0);
    assert_int_equal(tokenizer_encode(tok, "some words", 10, 0, &one, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tokenizer_encode(tok, "some words", 10, 0, &out, &err), 0);
    assert_int_equal(out.n, 3 * one.n);
    for (size_t i = 0; i < out.n; i++)
        assert_int_equal(out.v[i], one.v[i % one.n]);
    token_list_release(&out);
    token_list_release(&one);
    tokenizer_close(tok);
}

static void named_tokens_come_from_the_folder(void **state)
{
    static const struct {
        const char *family, *bos, *eos, *pad;
        int adds_bos;
    } want[] = {
        { "llama2", "<s>", "</s>", NULL, 1 },
        { "llama3", "<|begin_of_text|>", "<|eot_id|>", NULL, 1 },
        { "mistral", "<s>", "</s>", NULL, 1 },
        { "qwen2", NULL, "<|im_end|>", "<|endoftext|>", 0 },
        { "qwen3", NULL, "<|im_end|>", "<|endoftext|>", 0 },
        { "smollm2", "<|im_start|>", "<|im_end|>", "<|im_end|>", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        struct tokenizer *tok = open_family(want[i].family);
        int32_t size = tokenizer_size(tok);

        assert_int_equal(tokenizer_bos(tok), want[i].bos ? tokenizer_id(tok, want[i].bos) : -1);
        assert_int_equal(tokenizer_eos(tok), tokenizer_id(tok, want[i].eos));
        assert_int_equal(tokenizer_pad(tok), want[i].pad ? tokenizer_id(tok, want[i].pad) : -1);
        assert_int_equal(tokenizer_adds_bos(tok), want[i].adds_bos);
        assert_true(tokenizer_eos(tok) >= 0 && size > 600 && size < 1000);
        assert_string_equal(tokenizer_token(tok, tokenizer_eos(tok)), want[i].eos);
        assert_null(tokenizer_token(tok, size));
        assert_null(tokenizer_token(tok, -1));
        for (int32_t id = 0; id < size; id++)
            assert_int_equal(tokenizer_id(tok, tokenizer_token(tok, id)), id);
        assert_int_equal(tokenizer_id(tok, "no such token"), -1);
        assert_int_equal(tokenizer_id(tok, ""), -1);
        tokenizer_close(tok);
    }
}

static size_t count_ids(const struct tokenizer *tok, const char *text, int split)
{
    struct token_list out = { 0 };
    size_t n;

    assert_int_equal(tokenizer_encode(tok, text, strlen(text), split, &out, &err), 0);
    n = out.n;
    token_list_release(&out);
    return n;
}

static void an_existing_token_can_become_special_and_a_new_one_cannot(void **state)
{
    struct tokenizer *tok = open_family("qwen3");
    struct hash before = tokenizer_hash(tok);
    int32_t size = tokenizer_size(tok);

    (void)state;
    assert_int_equal(count_ids(tok, "<think>", 0), 1);
    assert_int_equal(count_ids(tok, "<think>", 1), 1); // not special yet
    assert_int_equal(tokenizer_add_special(tok, "<think>", &err), 0);
    assert_int_equal(count_ids(tok, "<think>", 0), 1);
    assert_true(count_ids(tok, "<think>", 1) > 1);
    assert_false(hash_equal(before, tokenizer_hash(tok)));

    before = tokenizer_hash(tok);
    assert_int_equal(tokenizer_set_eos(tok, "<|im_start|>", &err), 0);
    assert_int_equal(tokenizer_eos(tok), tokenizer_id(tok, "<|im_start|>"));
    assert_int_equal(tokenizer_set_pad(tok, "<|im_end|>", &err), 0);
    assert_int_equal(tokenizer_pad(tok), tokenizer_id(tok, "<|im_end|>"));
    assert_false(hash_equal(before, tokenizer_hash(tok)));

    assert_int_equal(tokenizer_add_special(tok, "<|nothing|>", &err), -1);
    assert_non_null(strstr(err.msg, "<|nothing|>"));
    assert_int_equal(tokenizer_set_eos(tok, "<|nothing|>", &err), -1);
    assert_int_equal(tokenizer_size(tok), size);
    tokenizer_close(tok);
}

/* A vocabulary of a few letters; %s: further members of the file. */
#define TINY                                                                              \
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"abc\":4," \
    "\"d\":5},\"merges\":[\"a b\",\"ab c\"]}"

static void merges_go_by_rank_and_unknown_characters_vanish(void **state)
{
    struct tokenizer *tok;
    struct token_list out = { 0 };
    static const int32_t want[] = { 4, 3, 3, 1, 5 };

    (void)state;
    assert_int_equal(parse_texts(&tok, TINY "}", NULL, NULL, NULL), 0);
    assert_int_equal(tokenizer_encode(tok, "abcxababbd", 10, 0, &out, &err), 0);
    assert_int_equal(out.n, 5);
    assert_memory_equal(out.v, want, sizeof(want));
    token_list_release(&out);
    tokenizer_close(tok);
}

static void config_files_are_read_as_transformers_reads_them(void **state)
{
    struct tokenizer *tok;

    (void)state;
    /* Text or object; tokens that are in the vocabulary become added ones, others get new ids. */
    assert_int_equal(parse_texts(&tok, TINY "}",
                                 "{\"bos_token\":\"ab\",\"eos_token\":{\"content\":\"abc\"},"
                                 "\"pad_token\":\"[PAD]\"}",
                                 NULL, NULL),
                     0);
    assert_int_equal(tokenizer_bos(tok), 3);
    assert_int_equal(tokenizer_eos(tok), 4);
    assert_int_equal(tokenizer_pad(tok), 6);
    assert_int_equal(tokenizer_size(tok), 7);
    tokenizer_close(tok);

    /* The map is for what the config does not say; null says "none". */
    assert_int_equal(parse_texts(&tok, TINY "}", "{\"bos_token\":null}",
                                 "{\"bos_token\":\"a\",\"eos_token\":\"b\"}",
                                 "{\"bos_token_id\":2,\"eos_token_id\":2}"),
                     0);
    assert_int_equal(tokenizer_bos(tok), -1);
    assert_int_equal(tokenizer_eos(tok), 1);
    tokenizer_close(tok);

    assert_int_equal(
        parse_texts(&tok, TINY "}", NULL, NULL, "{\"bos_token_id\":2,\"eos_token_id\":[3,1]}"), 0);
    assert_int_equal(tokenizer_bos(tok), 2);
    assert_int_equal(tokenizer_eos(tok), 3);
    tokenizer_close(tok);

    assert_int_equal(parse_texts(&tok, TINY "}", NULL, NULL, "{\"eos_token_id\":77}"), 0);
    assert_int_equal(tokenizer_eos(tok), -1);
    tokenizer_close(tok);

    assert_int_equal(
        parse_texts(&tok,
                    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":5},\"merges\":[]}}",
                    NULL, NULL, "{\"eos_token_id\":3}"),
        0);
    assert_int_equal(tokenizer_eos(tok), -1); // a number that no token has
    tokenizer_close(tok);
}

static void later_additions_are_found_in_the_config(void **state)
{
    struct tokenizer *tok;

    (void)state;
    assert_int_equal(
        parse_texts(&tok,
                    TINY ",\"added_tokens\":[{\"id\":6,\"content\":\"<x>\",\"special\":true}]}",
                    "{\"added_tokens_decoder\":{\"7\":{\"content\":\"<y>\",\"special\":false},"
                    "\"6\":{\"content\":\"<x>\",\"special\":true},"
                    "\"10\":{\"content\":\"<later>\"},\"8\":{\"content\":\"<z>\"}},"
                    "\"additional_special_tokens\":[\"<e>\",{\"content\":\"<f>\"}],"
                    "\"extra_special_tokens\":{\"image_token\":\"<image>\"}}",
                    NULL, NULL),
        0);
    assert_int_equal(tokenizer_id(tok, "<x>"), 6);
    assert_int_equal(tokenizer_id(tok, "<y>"), 7);
    assert_int_equal(tokenizer_id(tok, "<z>"), 8);
    assert_int_equal(tokenizer_id(tok, "<later>"), 9); // the next free one, as in the library
    assert_int_equal(tokenizer_id(tok, "<e>"), 10);
    assert_int_equal(tokenizer_id(tok, "<f>"), 11);
    assert_int_equal(tokenizer_id(tok, "<image>"), 12);
    assert_int_equal(count_ids(tok, "<x><y><z><later><e><f><image>", 0), 7);
    assert_int_equal(count_ids(tok, "<y><z><later>", 1), 3); // not special
    tokenizer_close(tok);
}

static void automatic_bos_is_what_the_config_says_else_the_template(void **state)
{
    static const char with_template[] =
        TINY ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
             "{\"id\":\"ab\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]}}";
    struct tokenizer *tok;

    (void)state;
    assert_int_equal(parse_texts(&tok, with_template, "{\"bos_token\":\"ab\"}", NULL, NULL), 0);
    assert_int_equal(tokenizer_adds_bos(tok), 1);
    tokenizer_close(tok);
    assert_int_equal(parse_texts(&tok, with_template,
                                 "{\"bos_token\":\"ab\",\"add_bos_token\":false}", NULL, NULL),
                     0);
    assert_int_equal(tokenizer_adds_bos(tok), 0);
    tokenizer_close(tok);
    assert_int_equal(
        parse_texts(&tok, TINY "}", "{\"bos_token\":\"a\",\"add_bos_token\":true}", NULL, NULL), 0);
    assert_int_equal(tokenizer_adds_bos(tok), 1);
    tokenizer_close(tok);
}

#define MODEL(rest) "{\"model\":{\"type\":\"BPE\"," rest "}}"
#define PRE(step)   TINY ",\"pre_tokenizer\":" step "}"
#define NORM(step)  TINY ",\"normalizer\":" step "}"
#define SPLIT(re) \
    PRE("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" re "\"},\"behavior\":\"Isolated\"}")

static const struct {
    const char *json, *says;
} refused[] = {
    { "", "tokenizer.json" },
    { "[]", "not an object" },
    { "{}", "'model' is nothing" },
    { "{\"version\":\"2.0\"}", "version '2.0'" },
    { "{\"model\":{\"type\":\"Unigram\"}}", "'Unigram' is not supported" },
    { "{\"model\":{\"type\":\"WordPiece\"}}", "'WordPiece' is not supported" },
    { MODEL("\"vocab\":{},\"merges\":[],\"dropout\":0.1"), "'dropout' is set" },
    { MODEL("\"vocab\":{},\"merges\":[],\"continuing_subword_prefix\":\"##\""),
      "'continuing_subword_prefix' is set" },
    { MODEL("\"vocab\":{},\"merges\":[],\"end_of_word_suffix\":\"</w>\""),
      "'end_of_word_suffix' is set" },
    { MODEL("\"merges\":[]"), "vocab" },
    { MODEL("\"vocab\":{}"), "merges" },
    { MODEL("\"vocab\":{\"a\":-1},\"merges\":[]"), "token 'a' has no id" },
    { MODEL("\"vocab\":{\"a\":99999999999},\"merges\":[]"), "token 'a' has no id" },
    { MODEL("\"vocab\":{\"a\":\"x\"},\"merges\":[]"), "token 'a' has no id" },
    { MODEL("\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]"), "'a' and 'b' have one id" },
    { MODEL("\"vocab\":{\"a\":0},\"merges\":[\"a a\"]"), "merge 0 needs the token 'aa'" },
    { MODEL("\"vocab\":{\"a\":0},\"merges\":[\"a b\"]"), "merge 0 needs the token 'b'" },
    { MODEL("\"vocab\":{\"a\":0},\"merges\":[\"a\"]"), "merge 0 is not of two tokens" },
    { MODEL("\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]"), "merge 0 is not of two tokens" },
    { MODEL("\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]"), "merge 0 is not of two tokens" },
    { MODEL("\"vocab\":{\"a\":0},\"merges\":[[\"a\",1]]"), "merge 0 is not of two tokens" },
    { PRE("{\"type\":\"BertPreTokenizer\"}"), "'BertPreTokenizer' is not supported" },
    { PRE("{\"type\":\"UnicodeScripts\"}"), "'UnicodeScripts' is not supported" },
    { PRE("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Odd\"}]}"), "'Odd'" },
    { PRE("[]"), "not an object" },
    { PRE("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Odd\"}"), "'Odd'" },
    { PRE("{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"), "'replacement'" },
    { PRE("{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"odd\"}"), "'odd'" },
    { PRE("{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}"),
      "prepend_scheme" },
    { NORM("{\"type\":\"BertNormalizer\"}"), "'BertNormalizer' is not supported" },
    { NORM("{\"type\":\"Precompiled\"}"), "'Precompiled' is not supported" },
    { NORM("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a*\"},\"content\":\"b\"}"),
      "may match nothing" },
    { NORM("{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"b\"}"), "empty" },
    { NORM("{\"type\":\"Prepend\"}"), "'prepend'" },
    { SPLIT("^a"), "an operator that is not supported at byte 0" },
    { SPLIT("a$"), "an operator that is not supported at byte 1" },
    { SPLIT("(a"), "'(' without ')'" },
    { SPLIT("a)"), "')' without '('" },
    { SPLIT("[a"), "'[' without ']'" },
    { SPLIT("[[:alpha:]]"), "a POSIX class" },
    { SPLIT("[b-a]"), "runs backwards" },
    { SPLIT("\\\\p{Greek}"), "a property that is not supported" },
    { SPLIT("\\\\p{L"), "a property that is not supported" },
    { SPLIT("\\\\b"), "an escape that is not supported" },
    { SPLIT("(a)\\\\1"), "an escape that is not supported" },
    { SPLIT("(?i:stop)"), "fold to one" },
    { SPLIT("(?i:\\u00e9)"), "under (?i)" },
    { SPLIT("(?m:a)"), "a group that is not supported" },
    { SPLIT("a**"), "a repetition of a repetition" },
    { SPLIT("a{3,1}"), "runs backwards" },
    { SPLIT("a{99999}"), "a repetition that is not supported" },
    { SPLIT("a{,2}"), "a repetition that is not supported" },
    { SPLIT("*a"), "an operator that is not supported" },
    { TINY ",\"added_tokens\":[{\"id\":6}]}", "'content'" },
    { TINY ",\"added_tokens\":[{\"content\":\"x\"},{\"content\":\"x\"}]}", "'x' is there twice" },
    { TINY ",\"added_tokens\":[7]}", "not an object" },
};

static void what_is_not_supported_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct tokenizer *tok;

        if (parse_texts(&tok, refused[i].json, NULL, NULL, NULL) == 0)
            fail_msg("accepted: %s", refused[i].json);
        assert_null(tok);
        if (!strstr(err.msg, refused[i].says) || !strstr(err.msg, "tokenizer.json"))
            fail_msg("%s\n  says '%s'\n  not '%s'", refused[i].json, err.msg, refused[i].says);
    }
}

static void a_missing_tokenizer_names_the_file(void **state)
{
    struct tokenizer *tok;

    (void)state;
    assert_int_equal(tokenizer_open(&tok, GOLDEN "no such folder", &err), -1);
    assert_non_null(strstr(err.msg, "no such folder/tokenizer.json"));
    assert_null(tok);
    tokenizer_close(NULL);
}

/* Repeats a part until the text has this length. */
static char *long_text(const char *part, size_t len)
{
    size_t n = strlen(part);
    char *text = malloc(len);

    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = part[i % n];
    return text;
}

static void long_words_take_time_in_proportion(void **state)
{
    static const char *const parts[] = { "a",   "ab",           " ",        "\n", "1",
                                         "the", "\xE4\xB8\x80", "e\xCC\x81" };
    static const char *const families[] = { "llama2", "mistral", "qwen3", "smollm2" };
    size_t len = 600000; // a whole number of each part

    (void)state;
    for (size_t f = 0; f < 4; f++) {
        struct tokenizer *tok = open_family(families[f]);

        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
            char *text = long_text(parts[i], len);
            struct token_list out = { 0 };

            assert_int_equal(tokenizer_encode(tok, text, len, 0, &out, &err), 0);
            assert_true(out.n > 0 && out.n <= len + 1);
            token_list_release(&out);
            free(text);
        }
        tokenizer_close(tok);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_equal_the_librarys_for_every_family),
        cmocka_unit_test(special_tokens_are_text_on_request),
        cmocka_unit_test(ids_equal_the_librarys_for_every_step_and_flag),
        cmocka_unit_test(text_that_is_not_utf8_is_named_by_its_first_bad_byte),
        cmocka_unit_test(ids_are_appended),
        cmocka_unit_test(named_tokens_come_from_the_folder),
        cmocka_unit_test(an_existing_token_can_become_special_and_a_new_one_cannot),
        cmocka_unit_test(merges_go_by_rank_and_unknown_characters_vanish),
        cmocka_unit_test(config_files_are_read_as_transformers_reads_them),
        cmocka_unit_test(later_additions_are_found_in_the_config),
        cmocka_unit_test(automatic_bos_is_what_the_config_says_else_the_template),
        cmocka_unit_test(what_is_not_supported_is_refused_by_name),
        cmocka_unit_test(a_missing_tokenizer_names_the_file),
        cmocka_unit_test(long_words_take_time_in_proportion),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
