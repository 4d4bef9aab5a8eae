/*
 * tools_default.c: the tool format of models that were trained with none of
 * their own: each tool in words, and calls as "Action:" and "Action Input:".
 *
 * Values are put into the words with Python's str(), which for lists and
 * objects is repr(): quotes, escapes and the names None, True and False.
 */
#include "template_internal.h"

#include <string.h>

#include <utf8proc.h>

static int is_printable(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return 0;
    case UTF8PROC_CATEGORY_ZS:
        return c == ' ';
    default:
        return 1;
    }
}

static void add_repr_char(struct strbuf *out, utf8proc_int32_t c, const char *bytes, size_t n,
                          char quote)
{
    static const char named[] = "\\\\\nn\rr\tt";

    for (size_t i = 0; i + 1 < sizeof(named); i += 2)
        if (c == named[i]) {
            strbuf_printf(out, "\\%c", named[i + 1]);
            return;
        }
    if (c == quote)
        strbuf_printf(out, "\\%c", quote);
    else if (is_printable(c))
        strbuf_add(out, bytes, n);
    else if (c < 0x100)
        strbuf_printf(out, "\\x%02x", (unsigned)c);
    else if (c < 0x10000)
        strbuf_printf(out, "\\u%04x", (unsigned)c);
    else
        strbuf_printf(out, "\\U%08x", (unsigned)c);
}

/* A string that stands for a long integer: see tools.c. */
static int is_big(struct span text)
{
    size_t open = strlen(BIG_OPEN), close = strlen(BIG_CLOSE);

    return text.len > open + close && memcmp(text.text, BIG_OPEN, open) == 0 &&
           memcmp(text.text + text.len - close, BIG_CLOSE, close) == 0 &&
           strspn(text.text + open, "-0123456789") == text.len - open - close;
}

static int is_text(const json_t *value)
{
    return json_is_string(value) &&
           !is_big((struct span){ json_string_value(value), json_string_length(value) });
}

static void add_repr_string(struct strbuf *out, const char *text, size_t len)
{
    char quote = memchr(text, '\'', len) != NULL && memchr(text, '"', len) == NULL ? '"' : '\'';
    utf8proc_int32_t c;

    strbuf_putc(out, quote);
    for (size_t pos = 0; pos < len;) {
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + pos,
                                              (utf8proc_ssize_t)(len - pos), &c);
        if (n <= 0)
            break;
        add_repr_char(out, c, text + pos, (size_t)n, quote);
        pos += (size_t)n;
    }
    strbuf_putc(out, quote);
}

static void add_repr(struct strbuf *out, json_t *value);

static void add_repr_object(struct strbuf *out, json_t *value)
{
    const char *key;
    size_t len;
    json_t *item;
    int i = 0;

    strbuf_putc(out, '{');
    json_object_keylen_foreach(value, key, len, item)
    {
        strbuf_puts(out, i++ == 0 ? "" : ", ");
        add_repr_string(out, key, len);
        strbuf_puts(out, ": ");
        add_repr(out, item);
    }
    strbuf_putc(out, '}');
}

static void add_repr(struct strbuf *out, json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        if (!is_text(value)) // its marks go later, with all others
            strbuf_add(out, json_string_value(value), json_string_length(value));
        else
            add_repr_string(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_ARRAY:
        strbuf_putc(out, '[');
        for (size_t i = 0; i < json_array_size(value); i++) {
            strbuf_puts(out, i == 0 ? "" : ", ");
            add_repr(out, json_array_get(value, i));
        }
        strbuf_putc(out, ']');
        break;
    case JSON_OBJECT:
        add_repr_object(out, value);
        break;
    case JSON_TRUE:
        strbuf_puts(out, "True");
        break;
    case JSON_FALSE:
        strbuf_puts(out, "False");
        break;
    case JSON_NULL:
        strbuf_puts(out, "None");
        break;
    default:
        json_dump_python(out, value, 0);
    }
}

void json_add_python_str(struct strbuf *out, json_t *value)
{
    if (value == NULL)
        return;
    if (json_is_string(value))
        strbuf_add(out, json_string_value(value), json_string_length(value));
    else
        add_repr(out, value);
}

/* Python's truth of a value; an absent one is false. */
static int is_true(const json_t *v)
{
    switch (v == NULL ? JSON_NULL : json_typeof(v)) {
    case JSON_STRING:
        return json_string_length(v) > 0;
    case JSON_ARRAY:
        return json_array_size(v) > 0;
    case JSON_OBJECT:
        return json_object_size(v) > 0;
    case JSON_INTEGER:
        return json_integer_value(v) != 0;
    case JSON_REAL:
        return json_real_value(v) != 0;
    case JSON_TRUE:
        return 1;
    default:
        return 0;
    }
}

/* Python's `name in value`. */
static int contains(const json_t *value, const char *name, size_t len)
{
    struct span text = { json_string_value(value), json_string_length(value) };

    if (json_is_object(value))
        return json_object_getn(value, name, len) != NULL;
    if (json_is_string(value))
        return len == 0 || span_find(text, 0, name) < text.len;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        if (json_is_string(item) && json_string_length(item) == len &&
            memcmp(json_string_value(item), name, len) == 0)
            return 1;
    }
    return 0;
}

/* Python's ", ".join(text): its characters. */
static void join_characters(struct strbuf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        int starts = ((unsigned char)text.text[i] & 0xC0) != 0x80;
        strbuf_puts(out, i > 0 && starts ? ", " : "");
        strbuf_putc(out, text.text[i]);
    }
}

static void join_keys(struct strbuf *out, json_t *object)
{
    const char *key;
    size_t len, i = 0;
    json_t *item;

    json_object_keylen_foreach(object, key, len, item)
    {
        strbuf_puts(out, i++ == 0 ? "" : ", ");
        strbuf_add(out, key, len);
    }
}

static int join_items(struct strbuf *out, const json_t *list, struct error *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        if (!is_text(item))
            return error_set(err, "'enum' has %s; give strings", json_kind(item));
        strbuf_puts(out, i == 0 ? "" : ", ");
        json_add_python_str(out, item);
    }
    return 0;
}

static int add_enum(struct strbuf *out, json_t *choices, struct error *err)
{
    int rc = 0;

    strbuf_puts(out, ", should be one of [");
    if (json_is_array(choices))
        rc = join_items(out, choices, err);
    else if (json_is_object(choices))
        join_keys(out, choices);
    else if (is_text(choices))
        join_characters(out,
                        (struct span){ json_string_value(choices), json_string_length(choices) });
    else
        rc = error_set(err, "'enum' is %s; give a list of strings", json_kind(choices));
    strbuf_putc(out, ']');
    return rc;
}

/* "  - name (type, required): what, should be one of [...], where each item should be type" */
static int add_param(struct strbuf *out, const char *name, size_t len, json_t *param, int required,
                     struct error *err)
{
    json_t *choices = json_object_get(param, "enum"), *items = json_object_get(param, "items");

    if (!json_is_object(param))
        return error_set(err, "it is %s; give an object", json_kind(param));
    strbuf_puts(out, "  - ");
    strbuf_add(out, name, len);
    strbuf_puts(out, " (");
    json_add_python_str(out, json_object_get(param, "type"));
    strbuf_puts(out, required ? ", required): " : "): ");
    json_add_python_str(out, json_object_get(param, "description"));
    if (is_true(choices) && add_enum(out, choices, err) < 0)
        return -1;
    if (is_true(items)) {
        if (!json_is_object(items))
            return error_set(err, "'items' is %s; give an object", json_kind(items));
        strbuf_puts(out, ", where each item should be ");
        json_add_python_str(out, json_object_get(items, "type"));
    }
    strbuf_putc(out, '\n');
    return 0;
}

static int add_params(struct strbuf *out, const json_t *params, struct error *err)
{
    json_t *properties = json_object_get(params, "properties"), *param;
    const json_t *required = json_object_get(params, "required");
    const char *name;
    size_t len;

    if (!json_is_object(properties))
        return error_set(err, "its 'parameters' have no object 'properties'");
    if (required != NULL && !json_is_array(required) && !is_text(required) &&
        !json_is_object(required) && json_object_size(properties) > 0)
        return error_set(err, "its 'required' is %s; give a list", json_kind(required));
    json_object_keylen_foreach(properties, name, len, param)
    {
        if (add_param(out, name, len, param, contains(required, name, len), err) < 0)
            return error_wrap(err, "parameter '%.64s'", name);
    }
    return 0;
}

static const json_t *function_of(const json_t *tool)
{
    return tool_is_function(tool) ? json_object_get(tool, "function") : tool;
}

static int add_tool(struct strbuf *out, const json_t *tool, struct error *err)
{
    if (!json_is_object(tool))
        return error_set(err, "its 'function' is %s; give an object", json_kind(tool));
    if (json_object_get(tool, "name") == NULL)
        return error_set(err, "it has no 'name'");
    strbuf_puts(out, "> Tool Name: ");
    json_add_python_str(out, json_object_get(tool, "name"));
    strbuf_puts(out, "\nTool Description: ");
    json_add_python_str(out, json_object_get(tool, "description"));
    strbuf_puts(out, "\nTool Args:\n");
    if (add_params(out, json_object_get(tool, "parameters"), err) < 0)
        return -1;
    strbuf_putc(out, '\n');
    return 0;
}

int tools_describe_default(struct strbuf *out, const json_t *tools, struct error *err)
{
    size_t count = json_array_size(tools);

    strbuf_puts(out, "You have access to the following tools:\n");
    for (size_t i = 0; i < count; i++)
        if (add_tool(out, function_of(json_array_get(tools, i)), err) < 0)
            return error_wrap(err, "tools: item %zu", i + 1);
    strbuf_puts(out, "Use the following format if using a tool:\n```\n"
                     "Action: tool name (one of [");
    for (size_t i = 0; i < count; i++) {
        json_t *name = json_object_get(function_of(json_array_get(tools, i)), "name");
        if (!is_text(name))
            return error_set(err, "tools: item %zu: 'name' is %s; give a string", i + 1,
                             json_kind(name));
        strbuf_puts(out, i == 0 ? "" : ", ");
        json_add_python_str(out, name);
    }
    strbuf_puts(out, "])\nAction Input: the input to the tool, in a JSON format representing the "
                     "kwargs (e.g. ```{\"input\": \"hello world\", \"num_beams\": 5}```)\n```\n");
    return 0;
}
