/*
 * format/json and format/jsonl: what is taken, what is refused, and where
 * messages point.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/json.h"
#include "format/jsonl.h"

static json_t *parse(const char *text, struct error *err)
{
    return json_parse_text(text, strlen(text), "f.json", err);
}

static void refused(const char *text, const char *part)
{
    struct error err = { { 0 } };
    json_t *value = parse(text, &err);

    assert_null(value);
    if (!strstr(err.msg, part))
        fail_msg("'%s' does not say '%s'", err.msg, part);
}

static void a_message_names_file_line_and_column(void **state)
{
    (void)state;
    refused("{\"a\": 1,\n \"b\": nope}", "f.json:2:");
    refused("", "f.json:1:1: not JSON: there is nothing");
}

static void what_is_not_strict_json_is_refused(void **state)
{
    (void)state;
    refused("{\"a\": NaN}", "not JSON");
    refused("[Infinity]", "not JSON");
    refused("[1,]", "not JSON");
    refused("{'a': 1}", "not JSON");
    refused("[1] 2", "not JSON");
    refused("[1e999]", "not JSON");
    refused("[\"\\ud800\"]", "not JSON");
    refused("[\"\xff\xfe\"]", "not JSON");
    refused("[\"\xc0\xaf\"]", "not JSON");
    refused("[\"a\nb\"]", "not JSON");
    refused("[01]", "not JSON");
    refused("{\"a\"", "not JSON");
}

static void nesting_is_limited(void **state)
{
    char *text = calloc(1, 2 * 100000 + 1);
    struct error err = { { 0 } };

    (void)state;
    memset(text, '[', 100000);
    memset(text + 100000, ']', 100000);
    assert_null(json_parse_text(text, 200000, "deep", &err));
    assert_non_null(strstr(err.msg, "depth"));
    free(text);
}

static void the_last_of_two_equal_keys_holds(void **state)
{
    struct error err = { { 0 } };
    json_t *value = parse("{\"a\": 1, \"b\": 2, \"a\": 3}", &err);
    struct strbuf out = { 0 };

    (void)state;
    json_dump_python(&out, value, 0);
    assert_string_equal(strbuf_text(&out), "{\"a\": 3, \"b\": 2}");
    strbuf_release(&out);
    json_decref(value);
}

static void typed_access_keeps_defaults_and_checks_kinds(void **state)
{
    struct error err = { { 0 } };
    json_t *value = parse("{\"s\": \"x\", \"z\": \"a\\u0000b\", \"n\": null, \"i\": 3, \"r\": 4.0, "
                          "\"f\": 0.5, \"t\": true, \"big\": 123456789012345678901234}",
                          &err);
    const char *s = "default";
    size_t len = 0;
    int64_t i = 7;
    double d = 0;
    int b = 0;

    (void)state;
    assert_non_null(value);
    assert_int_equal(json_get_string(value, "absent", &s, &err), 0);
    assert_int_equal(json_get_string(value, "n", &s, &err), 0);
    assert_string_equal(s, "default");
    assert_int_equal(json_get_string(value, "s", &s, &err), 0);
    assert_string_equal(s, "x");
    assert_int_equal(json_get_string(value, "z", &s, &err), -1);
    assert_int_equal(json_get_string_len(value, "z", &s, &len, &err), 0);
    assert_int_equal(len, 3);
    assert_int_equal(json_get_int(value, "i", &i, 0, 9, &err), 0);
    assert_int_equal(i, 3);
    assert_int_equal(json_get_int(value, "r", &i, 0, 9, &err), 0);
    assert_int_equal(i, 4);
    assert_int_equal(json_get_int(value, "i", &i, 0, 2, &err), -1);
    assert_string_equal(err.msg, "'i' is 3; give 0 to 2");
    assert_int_equal(json_get_int(value, "f", &i, 0, 9, &err), -1);
    assert_int_equal(json_get_int(value, "big", &i, 0, 9, &err), -1);
    assert_int_equal(json_get_double(value, "f", &d, &err), 0);
    assert_true(d == 0.5);
    assert_int_equal(json_get_bool(value, "t", &b, &err), 0);
    assert_int_equal(b, 1);
    assert_int_equal(json_get_bool(value, "s", &b, &err), -1);
    assert_string_equal(err.msg, "'s' must be true or false, not string");
    assert_int_equal(json_need_string(value, "n", &s, &err), -1);
    assert_string_equal(err.msg, "no 'n'");
    json_decref(value);
}

/* Expected texts are what Python 3.11's json.dumps gives for json.loads of the left side. */
static void dumping_equals_python(void **state)
{
    static const struct {
        const char *in, *plain, *ascii;
    } cases[] = {
        { "[]", "[]", "[]" },
        { "{\"a\":[1,2],\"b\":{}}", "{\"a\": [1, 2], \"b\": {}}", "{\"a\": [1, 2], \"b\": {}}" },
        { "[1.0,0.1,1e16,123456789.125,1e-5,0.0001,-0.0,1e22,5e-324,1.7976931348623157e308]",
          "[1.0, 0.1, 1e+16, 123456789.125, 1e-05, 0.0001, -0.0, 1e+22, 5e-324, "
          "1.7976931348623157e+308]",
          "[1.0, 0.1, 1e+16, 123456789.125, 1e-05, 0.0001, -0.0, 1e+22, 5e-324, "
          "1.7976931348623157e+308]" },
        { "\"\\u00e9\\ud83d\\ude00\\u0001\\u007f/\\\"\\\\\\n\"",
          "\"\xc3\xa9\xf0\x9f\x98\x80\\u0001\x7f/\\\"\\\\\\n\"",
          "\"\\u00e9\\ud83d\\ude00\\u0001\\u007f/\\\"\\\\\\n\"" },
        { "[true,false,null,-3,1234567890123456]", "[true, false, null, -3, 1234567890123456]",
          "[true, false, null, -3, 1234567890123456]" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = { { 0 } };
        json_t *value = parse(cases[i].in, &err);
        struct strbuf out = { 0 };

        assert_non_null(value);
        json_dump_python(&out, value, 0);
        assert_string_equal(strbuf_text(&out), cases[i].plain);
        strbuf_reset(&out);
        json_dump_python(&out, value, 1);
        assert_string_equal(strbuf_text(&out), cases[i].ascii);
        strbuf_release(&out);
        json_decref(value);
    }
}

static void indented_dumping_equals_python(void **state)
{
    struct error err = { { 0 } };
    json_t *value = parse("{\"a\":[1,{}],\"b\":[]}", &err);
    struct strbuf out = { 0 };

    (void)state;
    json_dump_python_indent(&out, value, 0, 2);
    assert_string_equal(strbuf_text(&out), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
    strbuf_release(&out);
    json_decref(value);
}

/* All rows joined by '|'; then the message on failure. */
static void rows_of(const char *text, struct strbuf *out)
{
    struct json_cursor cursor;
    struct error err = { { 0 } };
    size_t begin, end;
    int rc;

    strbuf_reset(out);
    json_cursor_init(&cursor, (const unsigned char *)text, strlen(text), "f");
    while ((rc = json_cursor_next(&cursor, &begin, &end, &err)) == 1) {
        strbuf_add(out, text + begin, end - begin);
        strbuf_putc(out, '|');
    }
    if (rc < 0)
        strbuf_puts(out, err.msg);
}

static void rows_are_found_in_arrays_and_lines(void **state)
{
    static const char *const cases[][2] = {
        { "[{\"a\": 1}, {\"b\": \"]}\\\\\"} ]\n", "{\"a\": 1}|{\"b\": \"]}\\\\\"}|" },
        { " [ ] ", "" },
        { "[1,2 , \"x\",[3]]", "1|2|\"x\"|[3]|" },
        { "{\"a\": 1}\n\n  {\"b\": 2} \r\n", "{\"a\": 1}|{\"b\": 2}|" },
        { "\xEF\xBB\xBF[1]", "1|" },
        { "", "" },
        { "[{\"a\": \"\\\\\\\"}]\"}]", "{\"a\": \"\\\\\\\"}]\"}|" },
        { "[1,]", "1|f:1: not JSON: a value must stand here" },
        { "[,1]", "f:1: not JSON: a value must stand here" },
        { "[1\n2]", "f:2: not JSON: ',' or ']' must stand here" },
        { "[1,\n{\"a\"", "1|f:2: not JSON: the array is not closed: the file was cut off here" },
        { "[", "f:1: not JSON: the array is not closed: the file was cut off here" },
        { "[1] x", "f:1: not JSON: something stands behind the array" },
        { "[}", "f:1: not JSON: a value must stand here" },
    };
    struct strbuf out = { 0 };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rows_of(cases[i][0], &out);
        assert_string_equal(strbuf_text(&out), cases[i][1]);
    }
    strbuf_release(&out);
}

static void pieces_of_lines_give_each_row_once(void **state)
{
    const char *text = "\xEF\xBB\xBF"
                       "11\n\n  222\n3\n\r\n44444\n5";
    const size_t len = strlen(text);
    size_t cut;

    (void)state;
    for (cut = 0; cut <= len; cut++) {
        struct json_cursor cursor;
        struct error err = { { 0 } };
        size_t begin, end, seen = 0;

        json_cursor_init(&cursor, (const unsigned char *)text, len, "f");
        cursor.limit = cut;
        while (json_cursor_next(&cursor, &begin, &end, &err) == 1)
            seen++;
        cursor.limit = len;
        json_cursor_seek_line(&cursor, cut);
        while (json_cursor_next(&cursor, &begin, &end, &err) == 1)
            seen++;
        assert_int_equal(seen, 5);
    }
}

static void an_array_can_be_entered_at_any_row(void **state)
{
    const char *text = "[{\"a\":1}, [2] ,3]";
    struct json_cursor cursor;
    struct error err = { { 0 } };
    size_t begin[3], end[3], b, e;
    int i;

    (void)state;
    json_cursor_init(&cursor, (const unsigned char *)text, strlen(text), "f");
    for (i = 0; i < 3; i++)
        assert_int_equal(json_cursor_next(&cursor, &begin[i], &end[i], &err), 1);
    for (i = 2; i >= 0; i--) {
        json_cursor_seek(&cursor, begin[i]);
        assert_int_equal(json_cursor_next(&cursor, &b, &e, &err), 1);
        assert_int_equal(b, begin[i]);
        assert_int_equal(e, end[i]);
    }
}

static void lines_are_counted(void **state)
{
    const unsigned char text[] = "a\nb\n\nc";

    (void)state;
    assert_int_equal(json_line_of(text, 6, 0), 1);
    assert_int_equal(json_line_of(text, 6, 2), 2);
    assert_int_equal(json_line_of(text, 6, 5), 4);
    assert_int_equal(json_line_of(text, 6, 99), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_names_file_line_and_column),
        cmocka_unit_test(what_is_not_strict_json_is_refused),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(the_last_of_two_equal_keys_holds),
        cmocka_unit_test(typed_access_keeps_defaults_and_checks_kinds),
        cmocka_unit_test(dumping_equals_python),
        cmocka_unit_test(indented_dumping_equals_python),
        cmocka_unit_test(rows_are_found_in_arrays_and_lines),
        cmocka_unit_test(pieces_of_lines_give_each_row_once),
        cmocka_unit_test(an_array_can_be_entered_at_any_row),
        cmocka_unit_test(lines_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
