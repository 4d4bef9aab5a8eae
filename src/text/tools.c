/*
 * tools.c: how templates describe tools in the system text and write calls of
 * them in replies.
 *
 * JSON comes in as text and goes out as Python's json.dumps(...,
 * ensure_ascii=False) writes it, because that is what the models saw.
 * Python keeps integers of any size and our JSON reader 64 bits, so longer
 * ones travel through it as strings between two marks of the private use area
 * and lose marks and quotes on the way out.
 */
#include "template_internal.h"

#include <string.h>

#define BIG_DIGITS 19 // from so many digits on a 64-bit integer may overflow

static const char *const format_names[] = { "default", "llama3", "mistral", "qwen" };

int tool_format_find(enum tool_format *format, const char *name, struct error *err)
{
    static const enum tool_format formats[] = { TOOLS_DEFAULT, TOOLS_LLAMA3, TOOLS_MISTRAL,
                                                TOOLS_QWEN };

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (strcmp(format_names[i], name) == 0) {
            *format = formats[i];
            return 0;
        }
    return error_set(err, "no tool format '%.64s'; there are: default, llama3, mistral, qwen",
                     name);
}

/* Length of the string literal that starts at in[pos], its end quote included. */
static size_t string_len(struct span in, size_t pos)
{
    size_t end = pos + 1;

    while (end < in.len && in.text[end] != '"')
        end += in.text[end] == '\\' ? 2 : 1;
    return end < in.len ? end + 1 - pos : in.len - pos;
}

/* Length of the number that starts at in[pos]; *big: it is a long integer. */
static size_t number_len(struct span in, size_t pos, int *big)
{
    size_t n = 0, digits;

    while (pos + n < in.len && in.text[pos + n] != '\0' &&
           strchr("+-.0123456789eE", in.text[pos + n]) != NULL)
        n++;
    digits = n > 0 && in.text[pos] == '-' ? n - 1 : n;
    *big = digits >= BIG_DIGITS;
    for (size_t i = n - digits; i < n; i++)
        if (in.text[pos + i] < '0' || in.text[pos + i] > '9' ||
            (i == n - digits && in.text[pos + i] == '0'))
            *big = 0;
    return n;
}

/* Copies JSON text with its long integers marked; returns how many there are. */
static int mark_big(struct strbuf *out, struct span in)
{
    int count = 0, big;

    for (size_t pos = 0, n; pos < in.len; pos += n) {
        big = 0;
        if (in.text[pos] == '"')
            n = string_len(in, pos);
        else if (in.text[pos] == '-' || (in.text[pos] >= '0' && in.text[pos] <= '9'))
            n = number_len(in, pos, &big);
        else
            n = 1;
        strbuf_puts(out, big ? "\"" BIG_OPEN : "");
        strbuf_add(out, in.text + pos, n);
        strbuf_puts(out, big ? BIG_CLOSE "\"" : "");
        count += big;
    }
    return count;
}

/* JSON with integers of any length; *big: some travel as marked strings, see unmark_big(). */
static json_t *parse(struct span text, const char *what, int *big, struct error *err)
{
    struct strbuf marked = { 0 };
    json_t *root = NULL;

    *big = mark_big(&marked, text);
    if (strbuf_check(&marked, err) == 0) {
        if (*big > 0 &&
            (span_find(text, 0, BIG_OPEN) < text.len || span_find(text, 0, "\\ue000") < text.len ||
             span_find(text, 0, "\\uE000") < text.len))
            (void)error_set(err, "%s: an integer beyond 64 bits beside the character U+E000", what);
        else
            root = json_parse_text(strbuf_text(&marked), marked.len, what, err);
    }
    strbuf_release(&marked);
    return root;
}

static int starts_at(struct span in, size_t pos, const char *what)
{
    size_t n = strlen(what);

    return pos + n <= in.len && memcmp(in.text + pos, what, n) == 0;
}

/* Takes the marks, and quotes right outside them, away from all that follows from. */
static void unmark_big(struct strbuf *out, size_t from)
{
    struct span in = { strbuf_text(out), out->len };
    size_t to = from, pos = from;

    if (out->failed || span_find(in, from, BIG_OPEN) == in.len)
        return;
    while (pos < in.len) {
        size_t quote = in.text[pos] == '"' && starts_at(in, pos + 1, BIG_OPEN);
        size_t open = pos + quote + strlen(BIG_OPEN), close;
        if (!starts_at(in, pos + quote, BIG_OPEN)) {
            out->text[to++] = in.text[pos++];
            continue;
        }
        close = span_find(in, open, BIG_CLOSE);
        memmove(out->text + to, in.text + open, close - open);
        to += close - open;
        pos = close == in.len ? in.len : close + strlen(BIG_CLOSE) + quote;
    }
    out->text[to] = '\0';
    out->len = to;
}

int tool_is_function(const json_t *tool)
{
    const json_t *type = json_object_get(tool, "type");

    return json_is_string(type) && strcmp(json_string_value(type), "function") == 0;
}

/* {"type": "function", "function": tool} unless it is that already; indent 0: on one line. */
static int add_wrapped(struct strbuf *out, json_t *tool, int indent, struct error *err)
{
    json_t *wrapped = tool_is_function(tool)
                          ? json_incref(tool)
                          : json_pack("{s:s, s:O}", "type", "function", "function", tool);

    if (wrapped == NULL)
        return error_set(err, "out of memory for a tool description");
    if (indent > 0)
        json_dump_python_indent(out, wrapped, 0, indent);
    else
        json_dump_python(out, wrapped, 0);
    json_decref(wrapped);
    return 0;
}

static int describe_llama3(struct strbuf *out, const json_t *tools, const char *date,
                           struct error *err)
{
    strbuf_printf(out, "Cutting Knowledge Date: December 2023\nToday Date: %s\n\n", date);
    strbuf_puts(out, "You have access to the following functions. To call a function, please "
                     "respond with JSON for a function call. Respond in the format "
                     "{\"name\": function name, \"parameters\": dictionary of argument name and "
                     "its value}. Do not use variables.\n\n");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        if (add_wrapped(out, json_array_get(tools, i), 4, err) < 0)
            return -1;
        strbuf_puts(out, "\n\n");
    }
    return 0;
}

static int describe_mistral(struct strbuf *out, const json_t *tools, struct error *err)
{
    strbuf_puts(out, "[AVAILABLE_TOOLS] [");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        strbuf_puts(out, i == 0 ? "" : ", ");
        if (add_wrapped(out, json_array_get(tools, i), 0, err) < 0)
            return -1;
    }
    strbuf_puts(out, "][/AVAILABLE_TOOLS]");
    return 0;
}

static int describe_qwen(struct strbuf *out, const json_t *tools, struct error *err)
{
    strbuf_puts(out, "\n\n# Tools\n\nYou may call one or more functions to assist with the user "
                     "query.\n\nYou are provided with function signatures within <tools></tools> "
                     "XML tags:\n<tools>");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        strbuf_putc(out, '\n');
        if (add_wrapped(out, json_array_get(tools, i), 0, err) < 0)
            return -1;
    }
    strbuf_puts(out, "\n</tools>\n\nFor each function call, return a json object with function "
                     "name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
                     "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n"
                     "</tool_call>");
    return 0;
}

static int describe(struct strbuf *out, enum tool_format format, const char *date,
                    const json_t *tools, struct error *err)
{
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (!json_is_object(json_array_get(tools, i)))
            return error_set(err, "tools: item %zu is %s; give an object", i + 1,
                             json_kind(json_array_get(tools, i)));
    switch (format) {
    case TOOLS_LLAMA3:
        return describe_llama3(out, tools, date, err);
    case TOOLS_MISTRAL:
        return describe_mistral(out, tools, err);
    case TOOLS_QWEN:
        return describe_qwen(out, tools, err);
    default:
        return tools_describe_default(out, tools, err);
    }
}

/* An empty list, object or text: no tools after all. */
static int is_empty(const json_t *tools)
{
    return (json_is_array(tools) && json_array_size(tools) == 0) ||
           (json_is_object(tools) && json_object_size(tools) == 0) ||
           (json_is_string(tools) && json_string_length(tools) == 0);
}

int tools_describe(struct strbuf *out, enum tool_format format, const char *date, const char *json,
                   struct error *err)
{
    size_t from = out->len;
    json_t *tools;
    int rc = 0, big;

    if (format == TOOLS_PHI4_MINI) { // the text as it is
        strbuf_printf(out, "<|tool|>%s<|/tool|>", json);
        return 0;
    }
    if ((tools = parse((struct span){ json, strlen(json) }, "tools", &big, err)) == NULL)
        return -1;
    if (json_is_array(tools) && json_array_size(tools) > 0)
        rc = describe(out, format, date, tools, err);
    else if (!is_empty(tools))
        rc = error_set(err, "tools: %s; give a list of objects", json_kind(tools));
    json_decref(tools);
    if (big > 0)
        unmark_big(out, from);
    return rc;
}

/* {"name": ..., <key>: ...} */
static void add_call(struct strbuf *out, const json_t *call, const char *key)
{
    strbuf_puts(out, "{\"name\": ");
    json_dump_python(out, json_object_get(call, "name"), 0);
    strbuf_printf(out, ", \"%s\": ", key);
    json_dump_python(out, json_object_get(call, "arguments"), 0);
    strbuf_putc(out, '}');
}

/* One call, in its place among count calls. */
static void add_formatted(struct strbuf *out, enum tool_format format, const json_t *call, size_t i,
                          size_t count)
{
    int last = i + 1 == count;

    switch (format) {
    case TOOLS_LLAMA3:
        strbuf_puts(out, count == 1 ? "" : i == 0 ? "[" : ", ");
        add_call(out, call, "parameters");
        strbuf_puts(out, count > 1 && last ? "]" : "");
        break;
    case TOOLS_MISTRAL:
        strbuf_puts(out, i == 0 ? "[" : ", ");
        add_call(out, call, "arguments");
        strbuf_puts(out, last ? "]" : "");
        break;
    case TOOLS_QWEN:
        strbuf_puts(out, i == 0 ? "<tool_call>\n" : "\n<tool_call>\n");
        add_call(out, call, "arguments");
        strbuf_puts(out, "\n</tool_call>");
        break;
    default:
        strbuf_puts(out, i == 0 ? "Action: " : "\nAction: ");
        json_add_python_str(out, json_object_get(call, "name"));
        strbuf_puts(out, "\nAction Input: ");
        json_dump_python(out, json_object_get(call, "arguments"), 0);
    }
}

static int check_call(const json_t *call, size_t i, struct error *err)
{
    static const char *const keys[] = { "name", "arguments" };

    if (!json_is_object(call))
        return error_set(err, "function call %zu is %s; give an object", i + 1, json_kind(call));
    for (size_t k = 0; k < 2; k++)
        if (json_object_get(call, keys[k]) == NULL)
            return error_set(err, "function call %zu has no '%s'", i + 1, keys[k]);
    return 0;
}

int tools_call(struct strbuf *out, enum tool_format format, struct span json, struct error *err)
{
    size_t from = out->len;
    int big;
    json_t *root = parse(json, "function call", &big, err);
    size_t count = json_is_array(root) ? json_array_size(root) : 1;
    int rc = root == NULL ? -1 : 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        const json_t *call = json_is_array(root) ? json_array_get(root, i) : root;
        rc = check_call(call, i, err);
        if (rc == 0)
            add_formatted(out, format, call, i, count);
    }
    if (rc == 0 && count == 0 && (format == TOOLS_LLAMA3 || format == TOOLS_MISTRAL))
        strbuf_puts(out, "[]");
    json_decref(root);
    if (big > 0)
        unmark_big(out, from);
    return rc;
}
