/*
 * tests of format/safetensors.h, on files of the format's own library
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

#include "format/safetensors.h"

#define GOLDEN "tests/golden/lora/"

/* Temporary folder of this process; removed by main. */
static char folder[64];

static char *in_folder(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void every_type_is_found_and_floats_are_read(void **state)
{
    struct safetensors st;
    struct error err;
    const struct safetensors_tensor *t;
    const size_t shape[2] = { 3, 5 };
    float x[15];

    (void)state;
    assert_int_equal(safetensors_open(&st, GOLDEN "mixed.safetensors", &err), 0);
    assert_int_equal(st.count, 9);
    t = safetensors_need(&st, "half", 2, shape, &err);
    assert_non_null(t);
    assert_int_equal(t->dtype, DTYPE_F16);
    dtype_widen(x, t->data, DTYPE_F16, t->count);
    for (int i = 0; i < 15; i++)
        assert_true(x[i] == (float)i / 8);
    t = safetensors_find(&st, "number");
    assert_int_equal(t->dims, 0);
    assert_int_equal(t->count, 1);
    assert_true(*(const float *)t->data == 2.5F);
    t = safetensors_find(&st, "empty");
    assert_int_equal(t->count, 0);
    assert_int_equal(t->bytes, 0);
    t = safetensors_find(&st, "long");
    assert_int_equal(t->dtype, -1);
    assert_string_equal(t->type_name, "I64");
    assert_null(safetensors_find(&st, "hal"));
    safetensors_close(&st);
}

static void what_is_needed_and_not_there_is_named(void **state)
{
    struct safetensors st;
    struct error err;
    const size_t shape[2] = { 5, 3 }, four = 4;

    (void)state;
    assert_int_equal(safetensors_open(&st, GOLDEN "mixed.safetensors", &err), 0);
    assert_null(safetensors_need(&st, "none", 2, shape, &err));
    assert_non_null(strstr(err.msg, "no tensor 'none'"));
    assert_null(safetensors_need(&st, "half", 2, shape, &err));
    assert_non_null(strstr(err.msg, "'half' has the shape [3, 5]; [5, 3] is needed"));
    assert_null(safetensors_need(&st, "long", 1, &four, &err));
    assert_non_null(strstr(err.msg, "I64"));
    safetensors_close(&st);
}

static void a_sharded_folder_is_one_set_of_tensors(void **state)
{
    struct safetensors st;
    struct error err;
    const size_t four = 4;

    (void)state;
    assert_int_equal(safetensors_open(&st, GOLDEN "sharded", &err), 0);
    assert_int_equal(st.count, 3);
    assert_int_equal(st.files, 2);
    assert_string_equal(st.tensors[0].name, "x.weight");
    assert_string_equal(st.tensors[2].name, "z");
    assert_non_null(safetensors_need(&st, "y.weight", 1, &four, &err));
    assert_int_equal(safetensors_find(&st, "y.weight")->file, 1);
    safetensors_close(&st);
}

static void an_index_that_does_not_fit_its_shards_is_refused(void **state)
{
    static const struct {
        const char *index, *message;
    } cases[] = {
        { "{\"weight_map\": {\"x.weight\": \"b.safetensors\", \"y.weight\": \"b.safetensors\"}}",
          "'x.weight' is not in 'b.safetensors'" },
        { "{\"weight_map\": {\"q\": \"a.safetensors\"}}", "'q' is not in 'a.safetensors'" },
        { "{\"weight_map\": {\"x.weight\": \"../a.safetensors\"}}",
          "not in a file of this folder" },
        { "{\"weight_map\": {\"x.weight\": \"/a.safetensors\"}}", "not in a file of this folder" },
        { "{\"weight_map\": {\"x.weight\": 3}}", "not in a file of this folder" },
        { "{\"weight_map\": {\"x.weight\": \"c.safetensors\"}}", "c.safetensors" },
        { "{\"weight_map\": {}}", "names no tensor" },
        { "{}", "weight_map" },
        { "[1]", "weight_map" },
        { "{\"weight_map\": {\"x.weight\": \"a.safetensors\", \"z\": \"twin.safetensors\"}}",
          "is in both" },
    };
    const char *golden = GOLDEN "sharded/model-0000";
    struct safetensors st;
    struct error err;
    char from[128];

    (void)state;
    (void)snprintf(from, sizeof(from), "%s1-of-00002.safetensors", golden);
    assert_int_equal(file_copy(from, in_folder("a.safetensors"), &err), 0);
    assert_int_equal(file_copy(from, in_folder("twin.safetensors"), &err), 0);
    (void)snprintf(from, sizeof(from), "%s2-of-00002.safetensors", golden);
    assert_int_equal(file_copy(from, in_folder("b.safetensors"), &err), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(file_write(in_folder("model.safetensors.index.json"), cases[i].index,
                                    strlen(cases[i].index), &err),
                         0);
        assert_int_equal(safetensors_open(&st, folder, &err), -1);
        if (!strstr(err.msg, cases[i].message))
            fail_msg("case %zu: %s", i, err.msg);
    }
    assert_int_equal(unlink(in_folder("model.safetensors.index.json")), 0);
}

static void a_folder_without_weights_says_what_to_do(void **state)
{
    struct safetensors st;
    struct error err;

    (void)state;
    assert_int_equal(safetensors_open(&st, folder, &err), -1);
    assert_non_null(strstr(err.msg, "no model.safetensors"));
    assert_int_equal(file_write(in_folder("pytorch_model.bin"), "x", 1, &err), 0);
    assert_int_equal(safetensors_open(&st, folder, &err), -1);
    assert_non_null(strstr(err.msg, "save_pretrained"));
    assert_int_equal(safetensors_open(&st, "/no/such/file", &err), -1);
    assert_int_equal(
        file_write(in_folder("lfs"), "version https://git-lfs.github.com/spec/v1\n", 43, &err), 0);
    assert_int_equal(safetensors_open(&st, in_folder("lfs"), &err), -1);
    assert_non_null(strstr(err.msg, "git lfs pull"));
}

/* Opens a file made of this header and len bytes of data; -1 and the message when refused. */
static int open_made(const char *header, size_t len, struct error *err)
{
    size_t header_len = strlen(header);
    unsigned char *bytes = calloc(8 + header_len + len + 1, 1);
    struct safetensors st;
    int rc;

    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)header_len >> (8 * i));
    memcpy(bytes + 8, header, header_len);
    rc = safetensors_open_bytes(&st, bytes, 8 + header_len + len, "made", err);
    safetensors_close(&st);
    free(bytes);
    return rc;
}

#define T(dtype, shape, offsets) \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void hostile_headers_are_refused(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        const char *message; // NULL: accepted
    } cases[] = {
        { "{}", 0, NULL },
        { "{\"__metadata__\":{\"a\":\"b\"}}", 0, NULL },
        { "{\"a\":" T("F32", "[2]", "[0,8]") "}", 8, NULL },
        { "{\"a\":" T("F99", "[2]", "[0,7]") "}", 7, NULL },
        { "{\"a\":" T("U8", "[3]", "[0,3]") ",\"b\":" T("U8", "[0]", "[3,3]") "}", 3, NULL },
        { "{}", 1, "belong to no tensor" },
        { "[]", 0, "no header" },
        { "", 0, "no header" },
        { "{\"a\":1}", 0, "no dtype" },
        { "{\"a\"", 0, "not valid" },
        { "{\"a\":" T("F32", "[2]", "[0,8]") "} x", 8, "not valid" },
        { "{\"a\":" T("F32", "[2]", "[0,8]") ",\"a\":" T("F32", "[2]", "[0,8]") "}", 8,
          "not valid" },
        { "{\"a\":" T("F32", "[2]", "[0,8]") "}", 7, "is it whole" },
        { "{\"a\":" T("F32", "[2]", "[8,0]") "}", 8, "is it whole" },
        { "{\"a\":" T("F32", "[2]", "[-8,0]") "}", 8, "is it whole" },
        { "{\"a\":" T("F32", "[2]", "[0,8.0]") "}", 8, "is it whole" },
        { "{\"a\":" T("F32", "[2]", "[0]") "}", 8, "is it whole" },
        { "{\"a\":" T("F32", "[3]", "[0,8]") "}", 8, "8 bytes for 3 numbers" },
        { "{\"a\":" T("F4", "[3]", "[0,1]") "}", 1, "bytes for 3 numbers" },
        { "{\"a\":" T("F32", "2", "[0,8]") "}", 8, "no shape" },
        { "{\"a\":" T("F32", "[-2]", "[0,8]") "}", 8, "no shape" },
        { "{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]") "}", 8, "no shape" },
        { "{\"a\":" T("F32", "[4294967296,4294967296]", "[0,8]") "}", 8, "no shape" },
        { "{\"a\":" T("U8", "[9223372036854775807]", "[0,8]") "}", 8, "bytes for" },
        { "{\"a\":" T("U8", "[4]", "[0,4]") ",\"b\":" T("U8", "[4]", "[3,7]") "}", 7, "overlaps" },
        { "{\"a\":" T("U8", "[4]", "[0,4]") ",\"b\":" T("U8", "[4]", "[5,9]") "}", 9, "hole" },
        { "{\"a\":" T("U8", "[4]", "[4,8]") "}", 8, "hole" },
        { "{\"a\":" T("U8", "[4]", "[0,4]") ",\"b\":" T("U8", "[4]", "[0,4]") "}", 4, "overlaps" },
        { "{\"a\":" T("F32", "[2]", "[0,8]") " }", 8, "multiple of its number's size" },
    };
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* Padding puts the data at a multiple of 4, but for the last case. */
        char header[256];
        size_t len = strlen(cases[i].header);
        int rc;

        memcpy(header, cases[i].header, len + 1);
        while (len > 0 && i + 1 < sizeof(cases) / sizeof(cases[0]) && len % 4 != 0)
            header[len++] = ' ';
        header[len] = '\0';
        rc = open_made(header, cases[i].data, &err);
        if (rc != (cases[i].message ? -1 : 0) ||
            (cases[i].message && !strstr(err.msg, cases[i].message)))
            fail_msg("case %zu: %s: %s", i, cases[i].header, rc < 0 ? err.msg : "accepted");
    }
}

static void every_truncation_is_refused(void **state)
{
    struct safetensors st;
    struct error err;
    char *bytes;
    size_t len;

    (void)state;
    assert_int_equal(file_read(GOLDEN "mixed.safetensors", &bytes, &len, &err), 0);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(safetensors_open_bytes(&st, bytes, cut, "cut", &err), -1);
    assert_int_equal(safetensors_open_bytes(&st, bytes, len, "whole", &err), 0);
    safetensors_close(&st);
    memset(bytes, 0xFF, 8);
    assert_int_equal(safetensors_open_bytes(&st, bytes, len, "long", &err), -1);
    free(bytes);
}

static void written_bytes_are_those_of_the_library(void **state)
{
    float x[8];
    struct safetensors_out tensors[] = {
        { "b.weight", 2, { 2, 3 }, x },
        { "a", 1, { 5 }, x },
        { "c\xc3\xa9\"x", 3, { 1, 1, 2 }, x },
        { "B", 2, { 7, 1 }, x },
    };
    struct strbuf out = { 0 };
    struct error err;
    char *bytes, *written;
    size_t len, written_len;

    (void)state;
    for (int i = 0; i < 8; i++)
        x[i] = (float)i / 8;
    assert_int_equal(file_read(GOLDEN "plain.safetensors", &bytes, &len, &err), 0);
    assert_int_equal(safetensors_serialize(&out, tensors, 4, &err), 0);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.text, bytes, len);
    assert_int_equal(safetensors_write(in_folder("out"), tensors, 4, &err), 0);
    assert_int_equal(file_read(in_folder("out"), &written, &written_len, &err), 0);
    assert_int_equal(written_len, len);
    assert_memory_equal(written, bytes, len);
    free(written);
    free(bytes);
    strbuf_release(&out);
}

static void a_file_without_tensors_is_written_and_read(void **state)
{
    struct safetensors st;
    struct error err;

    (void)state;
    assert_int_equal(safetensors_write(in_folder("none"), NULL, 0, &err), 0);
    assert_int_equal(safetensors_open(&st, in_folder("none"), &err), 0);
    assert_int_equal(st.count, 0);
    assert_null(safetensors_find(&st, "x"));
    safetensors_close(&st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_found_and_floats_are_read),
        cmocka_unit_test(what_is_needed_and_not_there_is_named),
        cmocka_unit_test(a_sharded_folder_is_one_set_of_tensors),
        cmocka_unit_test(an_index_that_does_not_fit_its_shards_is_refused),
        cmocka_unit_test(a_folder_without_weights_says_what_to_do),
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(written_bytes_are_those_of_the_library),
        cmocka_unit_test(a_file_without_tensors_is_written_and_read),
    };
    struct error err;
    int failed;

    (void)snprintf(folder, sizeof(folder), "/tmp/lowrank-st-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)folder_remove(folder, &err);
    return failed;
}
