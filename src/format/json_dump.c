/*
 * format/json_dump.c: JSON as Python's json module writes it.
 *
 * Templates put such text before the tokenizer, so every blank counts.
 */
#include "format/json.h"

#include <string.h>

#include "base/number.h"

/* Decodes one character of valid UTF-8; returns its bytes. */
static size_t decode(const unsigned char *s, size_t len, uint32_t *point)
{
    if (s[0] < 0x80 || len < 2) {
        *point = s[0];
        return 1;
    }
    if (s[0] < 0xE0) {
        *point = (uint32_t)(s[0] & 0x1F) << 6 | (s[1] & 0x3F);
        return 2;
    }
    if (s[0] < 0xF0 || len < 4) {
        *point = (uint32_t)(s[0] & 0x0F) << 12 | (uint32_t)(s[1] & 0x3F) << 6 |
                 (len > 2 ? s[2] & 0x3F : 0);
        return len > 2 ? 3 : 2;
    }
    *point = (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3F) << 12 |
             (uint32_t)(s[2] & 0x3F) << 6 | (s[3] & 0x3F);
    return 4;
}

static void put_ascii(struct strbuf *out, uint32_t point)
{
    if (point >= 0x10000) {
        point -= 0x10000;
        strbuf_printf(out, "\\u%04x\\u%04x", 0xD800 + (unsigned)(point >> 10),
                      0xDC00 + (unsigned)(point & 0x3FF));
    } else {
        strbuf_printf(out, "\\u%04x", (unsigned)point);
    }
}

/* The escape with a letter that a byte has, or 0. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    default:
        return 0;
    }
}

void json_dump_string(struct strbuf *out, const char *text, size_t len, int ensure_ascii)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t plain = 0; // bytes from here on are copied as they are
    size_t i = 0;

    strbuf_putc(out, '"');
    while (i < len) {
        char letter = short_escape(s[i]);
        uint32_t point = s[i];
        size_t n = 1;

        if (!letter && s[i] >= 0x20 && (!ensure_ascii || s[i] < 0x7F)) {
            i++;
            continue;
        }
        strbuf_add(out, text + plain, i - plain);
        if (letter) {
            strbuf_putc(out, '\\');
            strbuf_putc(out, letter);
        } else {
            n = decode(s + i, len - i, &point);
            put_ascii(out, point);
        }
        i += n;
        plain = i;
    }
    strbuf_add(out, text + plain, len - plain);
    strbuf_putc(out, '"');
}

struct dump {
    struct strbuf *out;
    int ensure_ascii;
    int indent; // 0: all on one line
};

static void dump_value(const struct dump *dump, const json_t *value, int depth);

static void new_line(const struct dump *dump, int depth)
{
    if (dump->indent)
        strbuf_printf(dump->out, "\n%*s", dump->indent * depth, "");
}

static void separator(const struct dump *dump, size_t i, int depth)
{
    if (i > 0)
        strbuf_puts(dump->out, dump->indent ? "," : ", ");
    new_line(dump, depth);
}

static void dump_array(const struct dump *dump, const json_t *value, int depth)
{
    size_t i, count = json_array_size(value);

    strbuf_putc(dump->out, '[');
    for (i = 0; i < count; i++) {
        separator(dump, i, depth + 1);
        dump_value(dump, json_array_get(value, i), depth + 1);
    }
    if (count)
        new_line(dump, depth);
    strbuf_putc(dump->out, ']');
}

/* Jansson's iterators take an object that is not const, though they only read. */
static json_t *unconst(const json_t *value)
{
    union {
        const json_t *in;
        json_t *out;
    } u = { value };

    return u.out;
}

static void dump_object(const struct dump *dump, const json_t *value, int depth)
{
    json_t *object = unconst(value);
    void *at = json_object_iter(object);
    size_t i = 0;

    strbuf_putc(dump->out, '{');
    for (; at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);

        separator(dump, i++, depth + 1);
        json_dump_string(dump->out, key, strlen(key), dump->ensure_ascii);
        strbuf_puts(dump->out, ": ");
        dump_value(dump, json_object_iter_value(at), depth + 1);
    }
    if (i)
        new_line(dump, depth);
    strbuf_putc(dump->out, '}');
}

static void dump_value(const struct dump *dump, const json_t *value, int depth)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        dump_object(dump, value, depth);
        break;
    case JSON_ARRAY:
        dump_array(dump, value, depth);
        break;
    case JSON_STRING:
        json_dump_string(dump->out, json_string_value(value), json_string_length(value),
                         dump->ensure_ascii);
        break;
    case JSON_INTEGER:
        strbuf_printf(dump->out, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        number_add(dump->out, json_real_value(value));
        break;
    case JSON_TRUE:
        strbuf_puts(dump->out, "true");
        break;
    case JSON_FALSE:
        strbuf_puts(dump->out, "false");
        break;
    case JSON_NULL:
        strbuf_puts(dump->out, "null");
        break;
    }
}

void json_dump_python(struct strbuf *out, const json_t *value, int ensure_ascii)
{
    const struct dump dump = { out, ensure_ascii, 0 };

    dump_value(&dump, value, 0);
}

void json_dump_python_indent(struct strbuf *out, const json_t *value, int ensure_ascii, int indent)
{
    const struct dump dump = { out, ensure_ascii, indent };

    dump_value(&dump, value, 0);
}
