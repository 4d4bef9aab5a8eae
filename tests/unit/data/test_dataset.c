/*
 * data/dataset: rows become what LLaMA-Factory's converters make of them; entries
 * that cannot be used are refused with what to do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "data/dataset.h"
#include "format/json.h"

#define GOLDEN "tests/golden/data/records.json"

static const char *const role_names[] = { "user", "assistant", "observation", "function" };

static void same_text(const char *got, const char *want, const char *row)
{
    if (strcmp(got ? got : "", want) != 0)
        fail_msg("'%s' is not '%s' in %s", got ? got : "(none)", want, row);
}

static void same_conversation(const struct conversation *got, const json_t *want, const char *row)
{
    const json_t *messages = json_object_get(want, "messages");
    size_t i;

    if ((size_t)got->count != json_array_size(messages))
        fail_msg("%d messages in %s", got->count, row);
    for (i = 0; i < json_array_size(messages); i++) {
        const json_t *pair = json_array_get(messages, i);

        same_text(role_names[got->messages[i].role], json_string_value(json_array_get(pair, 0)),
                  row);
        same_text(got->messages[i].content, json_string_value(json_array_get(pair, 1)), row);
        assert_int_equal(got->messages[i].len, json_string_length(json_array_get(pair, 1)));
    }
    same_text(got->system, json_string_value(json_object_get(want, "system")), row);
    same_text(got->tools, json_string_value(json_object_get(want, "tools")), row);
}

static void check_case(json_t *sets, const json_t *entry, struct conversation *conv)
{
    const json_t *want = json_object_get(entry, "result");
    const char *set = json_string_value(json_object_get(entry, "set"));
    struct dataset_info info = { 0 };
    struct strbuf row = { 0 };
    struct error err = { { 0 } };
    int rc;

    json_dump_python(&row, json_object_get(entry, "row"), 0);
    if (dataset_info_read(&info, sets, set, "golden", &err) < 0)
        fail_msg("%s", err.msg);
    rc = dataset_convert(&info, json_object_get(entry, "row"), conv, &err);
    if (json_is_string(want)) {
        if (rc != (strcmp(json_string_value(want), "dropped") == 0 ? DATASET_DROPPED : -1))
            fail_msg("%d is not '%s' (%s) for %s", rc, json_string_value(want), err.msg,
                     strbuf_text(&row));
        assert_true(err.msg[0]);
    } else {
        if (rc != DATASET_ROW)
            fail_msg("%d (%s) for %s", rc, err.msg, strbuf_text(&row));
        same_conversation(conv, want, strbuf_text(&row));
    }
    strbuf_release(&row);
    dataset_info_release(&info);
}

static void rows_convert_as_in_the_reference(void **state)
{
    struct error err = { { 0 } };
    json_t *golden = json_parse_file(GOLDEN, &err);
    json_t *cases = json_object_get(golden, "cases");
    struct conversation conv = { 0 };
    size_t i;

    (void)state;
    assert_true(json_array_size(cases) > 50);
    for (i = 0; i < json_array_size(cases); i++)
        check_case(json_object_get(golden, "sets"), json_array_get(cases, i), &conv);
    conversation_release(&conv);
    json_decref(golden);
}

/* The verdict and message for one row of a set described by an entry. */
static int convert(const char *entry, const char *row, struct error *err)
{
    struct conversation conv = { 0 };
    struct dataset_info info = { 0 };
    struct strbuf all = { 0 };
    json_t *sets, *value;
    int rc;

    strbuf_printf(&all, "{\"d\": %s}", entry);
    sets = json_parse_text(all.text, all.len, "sets", err);
    value = json_parse_text(row, strlen(row), "row", err);
    assert_non_null(sets);
    assert_non_null(value);
    assert_int_equal(dataset_info_read(&info, sets, "d", "sets", err), 0);
    rc = dataset_convert(&info, value, &conv, err);
    conversation_release(&conv);
    dataset_info_release(&info);
    json_decref(sets);
    json_decref(value);
    strbuf_release(&all);
    return rc;
}

static void malformed_rows_say_what_is_wrong(void **state)
{
    static const char *const cases[][3] = {
        { "{\"file_name\": \"x\"}", "[1]", "must be an object, not array" },
        { "{\"file_name\": \"x\"}", "{\"output\": \"x\"}", "no column 'instruction'" },
        { "{\"file_name\": \"x\"}", "{\"instruction\": 3, \"output\": \"x\"}",
          "'instruction' must be a string, not integer" },
        { "{\"file_name\": \"x\"}", "{\"instruction\": \"\", \"output\": [\"x\"]}",
          "'output' must be a string, not array" },
        { "{\"file_name\": \"x\", \"formatting\": \"sharegpt\"}", "{\"conversations\": [3]}",
          "message 1 of 'conversations' must be an object, not integer" },
        { "{\"file_name\": \"x\", \"formatting\": \"sharegpt\"}",
          "{\"conversations\": [{\"from\": \"human\", \"value\": [{}]}]}",
          "message 1 of 'conversations': 'value' must be a string, not array" },
        { "{\"file_name\": \"x\", \"formatting\": \"sharegpt\"}",
          "{\"conversations\": [{\"from\": \"human\"}]}",
          "message 1 of 'conversations' has no 'value'" },
        { "{\"file_name\": \"x\", \"columns\": {\"prompt\": \"p\", \"response\": \"r\", "
          "\"images\": \"i\"}}",
          "{\"p\": \"<image>\", \"r\": \"x\", \"i\": [\"1.jpg\"]}", "column 'i' has media in it" },
    };
    struct error err = { { 0 } };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(convert(cases[i][0], cases[i][1], &err), -1);
        if (!strstr(err.msg, cases[i][2]))
            fail_msg("'%s' does not say '%s'", err.msg, cases[i][2]);
    }
}

static void empty_media_columns_are_no_media(void **state)
{
    const char *entry = "{\"file_name\": \"x\", \"columns\": {\"prompt\": \"p\", \"response\": "
                        "\"r\", \"images\": \"i\"}}";
    struct error err = { { 0 } };

    (void)state;
    assert_int_equal(convert(entry, "{\"p\": \"a\", \"r\": \"x\", \"i\": []}", &err), 0);
    assert_int_equal(convert(entry, "{\"p\": \"a\", \"r\": \"x\", \"i\": null}", &err), 0);
    assert_int_equal(convert(entry, "{\"p\": \"a\", \"r\": \"x\"}", &err), 0);
}

static void zero_characters_are_kept_in_messages(void **state)
{
    struct error err = { { 0 } };
    struct conversation conv = { 0 };
    struct dataset_info info = { 0 };
    json_t *sets = json_pack("{s{ss}}", "d", "file_name", "x");
    const char *text = "{\"instruction\": \"a\\u0000b\", \"output\": \"x\"}";
    json_t *row = json_parse_text(text, strlen(text), "row", &err);

    (void)state;
    assert_non_null(sets);
    assert_non_null(row);
    assert_int_equal(dataset_info_read(&info, sets, "d", "sets", &err), 0);
    assert_int_equal(dataset_convert(&info, row, &conv, &err), 0);
    assert_int_equal(conv.messages[0].len, 3);
    assert_memory_equal(conv.messages[0].content, "a\0b", 3);
    conversation_release(&conv);
    dataset_info_release(&info);
    json_decref(sets);
    json_decref(row);
}

static void entries_that_cannot_be_used_say_what_to_do(void **state)
{
    static const char *const cases[][2] = {
        { "{\"hf_hub_url\": \"a/b\"}", "hf download --repo-type dataset a/b" },
        { "{\"ms_hub_url\": \"a/b\"}", "download it first" },
        { "{\"script_url\": \"a.py\"}", "is not run" },
        { "{\"cloud_file_name\": \"s3://a\"}", "download 's3://a'" },
        { "{}", "no 'file_name'" },
        { "[]", "must be an object, not array" },
        { "{\"file_name\": \"x\", \"ranking\": true}", "'ranking' is true" },
        { "{\"file_name\": \"x\", \"split\": \"test\"}", "'split' is 'test'" },
        { "{\"file_name\": \"x\", \"formatting\": \"chatml\"}", "'formatting' is 'chatml'" },
        { "{\"file_name\": \"x\", \"num_samples\": -3}", "'num_samples' is -3" },
        { "{\"file_name\": \"x\", \"columns\": {\"prompt\": \"p\", \"kto_tag\": \"k\"}}",
          "'kto_tag'" },
        { "{\"file_name\": \"x\", \"columns\": {\"prompt\": \"p\"}}", "names no 'response'" },
        { "{\"file_name\": \"x\", \"formatting\": \"sharegpt\", \"tags\": {\"role_tag\": \"r\"}}",
          "names no 'content_tag'" },
        { "{\"file_name\": \"x\", \"columns\": {\"prompt\": 3}}", "'prompt' must be a string" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dataset_info info;
        struct error err = { { 0 } };
        struct strbuf all = { 0 };
        json_t *sets;

        strbuf_printf(&all, "{\"d\": %s}", cases[i][0]);
        sets = json_parse_text(all.text, all.len, "info.json", &err);
        assert_int_equal(dataset_info_read(&info, sets, "d", "info.json", &err), -1);
        if (!strstr(err.msg, cases[i][1]) || !strstr(err.msg, "info.json: data set 'd'"))
            fail_msg("'%s' does not say '%s'", err.msg, cases[i][1]);
        dataset_info_release(&info);
        json_decref(sets);
        strbuf_release(&all);
    }
}

static void an_unknown_name_lists_the_known_ones(void **state)
{
    json_t *sets = json_pack("{s{}s{}}", "one", "two");
    struct dataset_info info;
    struct error err = { { 0 } };

    (void)state;
    assert_int_equal(dataset_info_read(&info, sets, "three", "info.json", &err), -1);
    assert_string_equal(err.msg, "info.json: no data set 'three'; there are: one, two");
    dataset_info_release(&info);
    json_decref(sets);
}

static void omitted_columns_and_tags_are_none(void **state)
{
    json_t *sets =
        json_pack("{s{sss{ssss}}s{sssss{ssssssss}}}", "a", "file_name", "x", "columns", "prompt",
                  "p", "response", "r", "b", "file_name", "x", "formatting", "sharegpt", "tags",
                  "role_tag", "r", "content_tag", "c", "user_tag", "u", "assistant_tag", "a");
    struct dataset_info info;
    struct error err = { { 0 } };

    (void)state;
    assert_int_equal(dataset_info_read(&info, sets, "a", "f", &err), 0);
    assert_string_equal(info.columns.prompt, "p");
    assert_null(info.columns.query);
    assert_null(info.columns.messages);
    assert_string_equal(info.tags.role, "from");
    dataset_info_release(&info);
    assert_int_equal(dataset_info_read(&info, sets, "b", "f", &err), 0);
    assert_string_equal(info.columns.messages, "conversations");
    assert_null(info.tags.system);
    assert_null(info.tags.observation);
    assert_string_equal(info.tags.user, "u");
    dataset_info_release(&info);
    json_decref(sets);
}

static void files_of_a_folder_are_sorted_and_checked(void **state)
{
    char folder[] = "/tmp/lowrank-dataset-XXXXXX";
    struct dataset_info info = { .name = (char[]){ "d" }, .file_name = (char[]){ "rows" } };
    struct error err = { { 0 } };
    char path[128];
    char **paths = NULL;
    int count = 0;

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(dataset_files(&info, folder, &paths, &count, &err), -1);
    assert_non_null(strstr(err.msg, "no file '"));
    (void)snprintf(path, sizeof(path), "%s/rows", folder);
    assert_int_equal(folder_make(path, &err), 0);
    assert_int_equal(dataset_files(&info, folder, &paths, &count, &err), -1);
    assert_non_null(strstr(err.msg, "has no files"));
    (void)snprintf(path, sizeof(path), "%s/rows/b.jsonl", folder);
    assert_int_equal(file_write(path, "{}", 2, &err), 0);
    (void)snprintf(path, sizeof(path), "%s/rows/a.json", folder);
    assert_int_equal(file_write(path, "[]", 2, &err), 0);
    assert_int_equal(dataset_files(&info, folder, &paths, &count, &err), 0);
    assert_int_equal(count, 2);
    assert_non_null(strstr(paths[0], "a.json"));
    assert_non_null(strstr(paths[1], "b.jsonl"));
    dataset_files_free(paths, count);
    (void)snprintf(path, sizeof(path), "%s/rows/c.parquet", folder);
    assert_int_equal(file_write(path, "x", 1, &err), 0);
    assert_int_equal(dataset_files(&info, folder, &paths, &count, &err), -1);
    assert_non_null(strstr(err.msg, "read_parquet"));
    assert_int_equal(folder_remove(folder, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_convert_as_in_the_reference),
        cmocka_unit_test(malformed_rows_say_what_is_wrong),
        cmocka_unit_test(empty_media_columns_are_no_media),
        cmocka_unit_test(zero_characters_are_kept_in_messages),
        cmocka_unit_test(entries_that_cannot_be_used_say_what_to_do),
        cmocka_unit_test(an_unknown_name_lists_the_known_ones),
        cmocka_unit_test(omitted_columns_and_tags_are_none),
        cmocka_unit_test(files_of_a_folder_are_sorted_and_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
