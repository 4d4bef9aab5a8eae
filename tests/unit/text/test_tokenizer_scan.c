/*
 * text/scan and text/pattern: the patterns that are cut by hand give the same
 * words as the general way, on texts of random characters of every kind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "text/text_internal.h"

#define GPT2   "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define TAIL   "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3 "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" TAIL
#define QWEN2  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" TAIL

static struct error err;
static struct unicode_classes uc;
static struct scan_table table;

/* Characters that matter to the patterns more often than others. */
static uint32_t any_char(uint32_t a, uint32_t b)
{
    static const uint32_t often[] = { ' ',     ' ',     '\n',   '\r',   '\t',     '\'',    '\'',
                                      's',     'S',     'l',    'L',    'r',      'e',     'v',
                                      'm',     'd',     't',    'a',    'Z',      '1',     '9',
                                      '.',     '!',     '_',    0x17F,  0x212A,   0x85,    0xA0,
                                      0x3000,  0x2028,  0x180E, 0x200B, 0x301,    0x660,   0xBD,
                                      0x4E00,  0x1F600, 0x200D, 0xE9,   0x10FFFF, 0x1E5D0, 0x11F02,
                                      0x323AF, 0x1C89,  0x2581, 0 };
    static const uint32_t ranges[] = { 0x80, 0x250, 0x3000, 0x10000, 0x110000 };
    uint32_t c;

    if (a % 4 != 0)
        return often[b % (sizeof(often) / sizeof(often[0]))];
    c = b % ranges[a / 4 % 5];
    return c >= 0xD800 && c <= 0xDFFF ? ' ' : c;
}

static size_t random_text(uint32_t number, char *text)
{
    size_t len = 0;
    uint32_t words[4];
    uint32_t n = 1 + number % 24;

    for (uint32_t i = 0; i < n; i++) {
        rng_philox(words, 11, (const uint32_t[4]){ number, i, 0, 0 });
        len += utf8_put(text + len, any_char(words[0], words[1]));
    }
    return len;
}

static void same_words(const char *re)
{
    struct scan_rules rules;
    struct pattern *pattern;
    struct span_list spans = { 0 };
    char text[4 * 32];

    scan_rules_find(&rules, re, strlen(re));
    assert_int_equal(rules.on, 1);
    if (pattern_open(&pattern, re, strlen(re), 0, &uc, &err) < 0)
        fail_msg("%s", err.msg);
    for (uint32_t number = 0; number < 60000; number++) {
        size_t len = random_text(number, text);
        const unsigned char *start = (const unsigned char *)text;
        const unsigned char *p = start;

        assert_int_equal(pattern_spans(pattern, text, len, &spans, &err), 0);
        for (size_t i = 0; i < spans.n; i++) {
            assert_true(spans.v[i].match);
            p = scan_word(&table, &rules, p, start + len);
            if ((size_t)(p - start) != spans.v[i].end)
                fail_msg("text %u: word %zu ends at %zu, not %zu", (unsigned)number, i,
                         (size_t)(p - start), spans.v[i].end);
        }
        assert_int_equal(p - start, len);
    }
    free(spans.v);
    pattern_close(pattern);
}

static void gpt2_words_are_cut_as_the_pattern_cuts_them(void **state)
{
    (void)state;
    same_words(GPT2);
}

static void llama3_words_are_cut_as_the_pattern_cuts_them(void **state)
{
    (void)state;
    same_words(LLAMA3);
}

static void qwen2_words_are_cut_as_the_pattern_cuts_them(void **state)
{
    (void)state;
    same_words(QWEN2);
}

static void another_pattern_is_not_taken_for_one_of_them(void **state)
{
    struct scan_rules rules;

    (void)state;
    scan_rules_find(&rules, GPT2 "|x", strlen(GPT2 "|x"));
    assert_int_equal(rules.on, 0);
    scan_rules_find(&rules, LLAMA3, strlen(LLAMA3) - 1);
    assert_int_equal(rules.on, 0);
}

/* Where the matches of re in text start and end, as text: "0-3 5-6". */
static void check_matches(const char *re, const char *text, const char *want)
{
    struct strbuf got = { 0 };
    struct span_list spans = { 0 };
    struct pattern *pattern;

    if (pattern_open(&pattern, re, strlen(re), 0, &uc, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(pattern_spans(pattern, text, strlen(text), &spans, &err), 0);
    for (size_t i = 0; i < spans.n; i++)
        if (spans.v[i].match)
            strbuf_printf(&got, "%s%zu-%zu", got.len ? " " : "", spans.v[i].start, spans.v[i].end);
    if (strcmp(strbuf_text(&got), want) != 0)
        fail_msg("'%s' on '%s': %s, not %s", re, text, strbuf_text(&got), want);
    strbuf_release(&got);
    free(spans.v);
    pattern_close(pattern);
}

static void patterns_match_as_oniguruma_does(void **state)
{
    (void)state;
    check_matches("[a-c&&[^b]]+", "abcab", "0-1 2-4");
    check_matches("[a[x-z]-]+", "ax-yb", "0-4");
    check_matches("[^a]", "a\nb", "1-2 2-3");
    check_matches(".", "a\nb", "0-1 2-3");
    check_matches("x*", "axxb", "0-0 1-3 4-4"); // no empty match right after a match
    check_matches("(?=b)", "abb", "1-1 2-2");
    check_matches("(?<=a)b", "abcb", "1-2");
    check_matches("(?i:k)", "kK\xE2\x84\xAA", "0-1 1-2 2-5");
    check_matches("\\s", "a\xE1\xA0\x8E\xC2\x85", "4-6");         // U+180E is none
    check_matches("\\w+", "a\xE2\x80\x8D\xC2\xB2_1-", "0-1 4-8"); // no joiner, but squares
    check_matches("\\p{Han}+", "a\xE4\xB8\x80\xE4\xB8\x81z", "1-7");
    check_matches("\\P{L}", "a1", "1-2");
    check_matches("\\p{^L}", "a1", "1-2");
    check_matches("[\\p{Lu}\\p{N}]+", "aB2c", "1-3");
    check_matches("\\x41\\x{e9}\\u4e00", "A\xC3\xA9\xE4\xB8\x80", "0-6");
    check_matches("a{2}|b{2,}|c{1,2}", "aaabbbccc", "0-2 3-6 6-8 8-9");
    check_matches("a+?b|a++", "aab aaa", "0-3 4-7");
}

static void properties_of_unassigned_characters_are_refused(void **state)
{
    struct pattern *pattern;

    (void)state;
    assert_int_equal(pattern_open(&pattern, "\\p{Cn}", 6, 0, &uc, &err), -1);
}

static int open_tables(void **state)
{
    (void)state;
    if (unicode_classes_init(&uc, &err) < 0)
        return -1;
    scan_table_init(&table, &uc);
    return 0;
}

static int close_tables(void **state)
{
    (void)state;
    unicode_classes_release(&uc);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_words_are_cut_as_the_pattern_cuts_them),
        cmocka_unit_test(llama3_words_are_cut_as_the_pattern_cuts_them),
        cmocka_unit_test(qwen2_words_are_cut_as_the_pattern_cuts_them),
        cmocka_unit_test(another_pattern_is_not_taken_for_one_of_them),
        cmocka_unit_test(patterns_match_as_oniguruma_does),
        cmocka_unit_test(properties_of_unassigned_characters_are_refused),
    };

    return cmocka_run_group_tests(tests, open_tables, close_tables);
}
