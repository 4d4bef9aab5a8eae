/*
 * format/jsonl.c: row bounds by brackets, quotes and line ends.
 */
#include "format/jsonl.h"

#include <string.h>

static int is_space(unsigned char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static size_t skip_space(const unsigned char *text, size_t len, size_t at)
{
    while (at < len && is_space(text[at]))
        at++;
    return at;
}

static size_t mark_length(const unsigned char *text, size_t len)
{
    return len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

void json_cursor_init(struct json_cursor *cursor, const unsigned char *text, size_t len,
                      const char *name)
{
    const size_t at = skip_space(text, len, mark_length(text, len));

    *cursor = (struct json_cursor){ .text = text, .len = len, .name = name, .limit = len };
    cursor->layout = JSON_LAYOUT_LINES;
    if (at < len && text[at] == '[') {
        cursor->layout = JSON_LAYOUT_ARRAY;
        cursor->at = at;
    }
}

void json_cursor_seek(struct json_cursor *cursor, size_t begin)
{
    cursor->at = begin;
    cursor->entered = 1;
    cursor->closed = 0;
}

void json_cursor_seek_line(struct json_cursor *cursor, size_t offset)
{
    const unsigned char *end;

    if (offset >= cursor->len) {
        cursor->at = cursor->len;
        return;
    }
    if (offset == 0) {
        cursor->at = 0;
        return;
    }
    end = memchr(cursor->text + offset - 1, '\n', cursor->len - offset + 1);
    cursor->at = end ? (size_t)(end - cursor->text) + 1 : cursor->len;
}

static int next_line(struct json_cursor *cursor, size_t *begin, size_t *end)
{
    const unsigned char *text = cursor->text;

    while (cursor->at < cursor->limit) {
        size_t from = cursor->at;
        const unsigned char *stop = memchr(text + from, '\n', cursor->len - from);
        size_t to = stop ? (size_t)(stop - text) : cursor->len;

        cursor->at = stop ? to + 1 : to;
        if (from == 0)
            from = mark_length(text, to);
        from = skip_space(text, to, from);
        while (to > from && is_space(text[to - 1]))
            to--;
        if (from < to) {
            *begin = from;
            *end = to;
            return 1;
        }
    }
    return 0;
}

static int fail_at(const struct json_cursor *cursor, size_t at, const char *what, struct error *err)
{
    return error_set(err, "%s:%zu: not JSON: %s", cursor->name,
                     json_line_of(cursor->text, cursor->len, at), what);
}

/* From behind the opening quote to behind the closing one; len + 1 when there is none. */
static size_t skip_string(const unsigned char *text, size_t len, size_t at)
{
    const size_t open = at;

    while (at < len) {
        const unsigned char *quote = memchr(text + at, '"', len - at);
        size_t back;

        if (!quote)
            break;
        at = (size_t)(quote - text);
        for (back = at; back > open && text[back - 1] == '\\';)
            back--;
        at++;
        if ((at - 1 - back) % 2 == 0)
            return at;
    }
    return len + 1;
}

/* The offset behind the value that begins at `at`, or len + 1 when it does not end. */
static size_t skip_value(const unsigned char *text, size_t len, size_t at)
{
    size_t depth = 0;

    while (at < len) {
        unsigned char c = text[at];

        if (c == '"') {
            at = skip_string(text, len, at + 1);
            if (at > len || depth == 0)
                return at;
            continue;
        }
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at;
            if (--depth == 0)
                return at + 1;
        } else if (depth == 0 && (c == ',' || is_space(c))) {
            return at;
        }
        at++;
    }
    return len + 1;
}

static int next_element(struct json_cursor *cursor, size_t *begin, size_t *end, struct error *err)
{
    const unsigned char *text = cursor->text;
    const size_t len = cursor->len;
    size_t at = skip_space(text, len, cursor->at);
    const int first = !cursor->entered;

    if (cursor->closed)
        return 0;
    if (first) {
        cursor->entered = 1;
        at = skip_space(text, len, at + 1);
    }
    if (at < len && text[at] == ']' && first) {
        *begin = *end = at;
    } else {
        *begin = at;
        *end = skip_value(text, len, at);
        if (*end > len)
            return fail_at(cursor, at, "the array is not closed: the file was cut off here", err);
        if (*end == at)
            return fail_at(cursor, at, "a value must stand here", err);
    }
    at = skip_space(text, len, *end);
    if (at < len && text[at] == ',' && *end > *begin) {
        cursor->at = skip_space(text, len, at + 1);
        return 1;
    }
    if (at >= len || text[at] != ']')
        return fail_at(cursor, at < len ? at : len, "',' or ']' must stand here", err);
    cursor->closed = 1;
    cursor->at = skip_space(text, len, at + 1);
    if (cursor->at < len)
        return fail_at(cursor, cursor->at, "something stands behind the array", err);
    return *end > *begin;
}

int json_cursor_next(struct json_cursor *cursor, size_t *begin, size_t *end, struct error *err)
{
    if (cursor->layout == JSON_LAYOUT_LINES)
        return next_line(cursor, begin, end);
    return next_element(cursor, begin, end, err);
}

size_t json_line_of(const unsigned char *text, size_t len, size_t offset)
{
    size_t line = 1;
    size_t at = 0;

    if (offset > len)
        offset = len;
    while (at < offset) {
        const unsigned char *stop = memchr(text + at, '\n', offset - at);

        if (!stop)
            break;
        at = (size_t)(stop - text) + 1;
        line++;
    }
    return line;
}
