/*
 * format/json.h: JSON text, read strictly.
 *
 * Jansson parses; this file says what we take from outside: UTF-8 without a
 * byte order mark or with one, one value and nothing after it, nesting below
 * JSON_DEPTH_MAX. Of a key that occurs twice the last value holds and keeps
 * the first one's place, as in Python. NaN, Infinity, a lone surrogate and
 * a number that overflows a double are refused; an integer beyond 64 bits
 * becomes a double. "\u0000" is a character like any other: use the length.
 * Objects keep the order of their keys.
 *
 * Layers above format include this header for <jansson.h>.
 *
 * Local.
 */
#ifndef FORMAT_JSON_H
#define FORMAT_JSON_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/error.h"
#include "base/strbuf.h"

#define JSON_DEPTH_MAX 2048 // JSON_PARSER_MAX_DEPTH of Jansson

/*
 * The value that text[0, len) holds; json_decref() it. NULL with a message
 * "<name>:<line>:<column>: why" when it is not one. name: what to call the
 * text, usually the file.
 */
json_t *json_parse_text(const char *text, size_t len, const char *name, struct error *err);

/* The value in a file. */
json_t *json_parse_file(const char *path, struct error *err);

/* "object", "array", "string", "integer", "real", "true or false", "null" or "nothing" (NULL). */
const char *json_kind(const json_t *value);

/*
 * object[key] by type. An absent key and null leave *out as it is, so that
 * the caller puts the default there first; another type, or a number outside
 * [min, max], is -1 with a message that names the key. object must be an
 * object. What is put in *out is borrowed from object.
 */
int json_get_string(const json_t *object, const char *key, const char **out, struct error *err);
int json_get_string_len(const json_t *object, const char *key, const char **out, size_t *len,
                        struct error *err);
int json_get_int(const json_t *object, const char *key, int64_t *out, int64_t min, int64_t max,
                 struct error *err);
int json_get_double(const json_t *object, const char *key, double *out, struct error *err);
int json_get_bool(const json_t *object, const char *key, int *out, struct error *err);
int json_get_object(const json_t *object, const char *key, json_t **out, struct error *err);
int json_get_array(const json_t *object, const char *key, json_t **out, struct error *err);

/* The same, where an absent key or null is an error too. */
int json_need_string(const json_t *object, const char *key, const char **out, struct error *err);
int json_need_int(const json_t *object, const char *key, int64_t *out, int64_t min, int64_t max,
                  struct error *err);
int json_need_object(const json_t *object, const char *key, json_t **out, struct error *err);
int json_need_array(const json_t *object, const char *key, json_t **out, struct error *err);

/*
 * Appends the value as Python's json.dumps(value, ensure_ascii=...) writes
 * it: ", " and ": " between, shortest decimals that give the same double,
 * keys in order. Failure shows at strbuf_check(out).
 */
void json_dump_python(struct strbuf *out, const json_t *value, int ensure_ascii);

/* The same with indent=n (n > 0): one item a line, "," at its end. */
void json_dump_python_indent(struct strbuf *out, const json_t *value, int ensure_ascii, int indent);

/* The text as a JSON string with its quotes, as above. text must be UTF-8. */
void json_dump_string(struct strbuf *out, const char *text, size_t len, int ensure_ascii);

#endif
