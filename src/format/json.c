/*
 * format/json.c: strict parsing through Jansson and typed access.
 */
#include "format/json.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

/* Jansson quotes the input in its messages: keep that to one printable line. */
static void make_printable(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || (unsigned char)*s == 0x7F)
            *s = ' ';
}

static void parse_failed(json_error_t *why, size_t len, const char *name, struct error *err)
{
    int line = why->line > 0 ? why->line : 1;
    int column = why->column > 0 ? why->column : 1;

    make_printable(why->text);
    if (len > 0 && why->text[0] == '\0') // the one case in which Jansson says nothing
        (void)error_set(err, "%s: out of memory", name);
    else if (len == 0)
        (void)error_set(err, "%s:%d:1: not JSON: there is nothing", name, line);
    else
        (void)error_set(err, "%s:%d:%d: not JSON: %s", name, line, column, why->text);
}

json_t *json_parse_text(const char *text, size_t len, const char *name, struct error *err)
{
    const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_error_t why = { 0 };
    json_t *value;

    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        len -= 3;
    }
    value = json_loadb(text, len, flags, &why);
    if (!value && json_error_code(&why) == json_error_numeric_overflow)
        value = json_loadb(text, len, flags | JSON_DECODE_INT_AS_REAL, &why);
    if (!value)
        parse_failed(&why, len, name, err);
    return value;
}

json_t *json_parse_file(const char *path, struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    json_t *value;

    if (file_read(path, &text, &len, err) < 0)
        return NULL;
    value = json_parse_text(text, len, path, err);
    free(text);
    return value;
}

const char *json_kind(const json_t *value)
{
    if (!value)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "integer";
    case JSON_REAL:
        return "real";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    default:
        return "null";
    }
}

/* object[key], or NULL when it is absent or null. */
static json_t *lookup(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}

static int wrong_kind(const char *key, const char *wanted, const json_t *value, struct error *err)
{
    return error_set(err, "'%s' must be %s, not %s", key, wanted, json_kind(value));
}

int json_get_string_len(const json_t *object, const char *key, const char **out, size_t *len,
                        struct error *err)
{
    const json_t *value = lookup(object, key);

    if (!value)
        return 0;
    if (!json_is_string(value))
        return wrong_kind(key, "a string", value, err);
    *out = json_string_value(value);
    *len = json_string_length(value);
    return 0;
}

int json_get_string(const json_t *object, const char *key, const char **out, struct error *err)
{
    const char *text = NULL;
    size_t len = 0;

    if (json_get_string_len(object, key, &text, &len, err) < 0)
        return -1;
    if (!text)
        return 0;
    if (strlen(text) != len)
        return error_set(err, "'%s' has a zero character in it", key);
    *out = text;
    return 0;
}

/* The integer that a number is; a real such as 3.0 counts. */
static int to_integer(const json_t *value, int64_t *out)
{
    double d;

    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return 0;
    }
    if (!json_is_real(value))
        return -1;
    d = json_real_value(value);
    if (d != floor(d) || fabs(d) > 0x1p62)
        return -1;
    *out = (int64_t)d;
    return 0;
}

int json_get_int(const json_t *object, const char *key, int64_t *out, int64_t min, int64_t max,
                 struct error *err)
{
    const json_t *value = lookup(object, key);
    int64_t n;

    if (!value)
        return 0;
    if (to_integer(value, &n) < 0)
        return wrong_kind(key, "an integer", value, err);
    if (n < min || n > max)
        return error_set(err, "'%s' is %lld; give %lld to %lld", key, (long long)n, (long long)min,
                         (long long)max);
    *out = n;
    return 0;
}

int json_get_double(const json_t *object, const char *key, double *out, struct error *err)
{
    const json_t *value = lookup(object, key);

    if (!value)
        return 0;
    if (!json_is_number(value))
        return wrong_kind(key, "a number", value, err);
    *out = json_number_value(value);
    return 0;
}

int json_get_bool(const json_t *object, const char *key, int *out, struct error *err)
{
    const json_t *value = lookup(object, key);

    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return wrong_kind(key, "true or false", value, err);
    *out = json_is_true(value);
    return 0;
}

int json_get_object(const json_t *object, const char *key, json_t **out, struct error *err)
{
    json_t *value = lookup(object, key);

    if (!value)
        return 0;
    if (!json_is_object(value))
        return wrong_kind(key, "an object", value, err);
    *out = value;
    return 0;
}

int json_get_array(const json_t *object, const char *key, json_t **out, struct error *err)
{
    json_t *value = lookup(object, key);

    if (!value)
        return 0;
    if (!json_is_array(value))
        return wrong_kind(key, "an array", value, err);
    *out = value;
    return 0;
}

static int need(const json_t *object, const char *key, struct error *err)
{
    if (lookup(object, key))
        return 0;
    return error_set(err, "no '%s'", key);
}

int json_need_string(const json_t *object, const char *key, const char **out, struct error *err)
{
    return need(object, key, err) < 0 ? -1 : json_get_string(object, key, out, err);
}

int json_need_int(const json_t *object, const char *key, int64_t *out, int64_t min, int64_t max,
                  struct error *err)
{
    return need(object, key, err) < 0 ? -1 : json_get_int(object, key, out, min, max, err);
}

int json_need_object(const json_t *object, const char *key, json_t **out, struct error *err)
{
    return need(object, key, err) < 0 ? -1 : json_get_object(object, key, out, err);
}

int json_need_array(const json_t *object, const char *key, json_t **out, struct error *err)
{
    return need(object, key, err) < 0 ? -1 : json_get_array(object, key, out, err);
}
