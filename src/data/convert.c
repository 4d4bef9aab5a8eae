/*
 * data/convert.c: rows of the three formattings as conversations.
 *
 * What LLaMA-Factory drops with a warning is DATASET_DROPPED, what ends its
 * run with a Python exception is malformed. Rows are looked at one by one: a
 * key that a row lacks is none, where the Arrow table there would give null.
 */
#include "data/dataset.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NO_TOOLS_SYSTEM "detailed thinking off"

struct text {
    const char *s; // NULL: none
    size_t len;
};

static int dropped(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int dropped(struct error *err, const char *fmt, ...)
{
    char reason[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    (void)error_set(err, "%s", reason);
    return DATASET_DROPPED;
}

/* object[column] as text; null, an absent key and a column of none are none. */
static int get_text(const json_t *object, const char *column, struct text *out, struct error *err)
{
    out->s = NULL;
    out->len = 0;
    if (!column)
        return 0;
    return json_get_string_len(object, column, &out->s, &out->len, err);
}

static int set_system(struct conversation *out, const struct text *text, struct error *err)
{
    if (text->s && strlen(text->s) != text->len)
        return error_set(err, "the system text has a zero character in it");
    return conversation_set_system(out, text->s, err);
}

/* Tools are JSON text; a list or an object in its place is written out as Python would. */
static int set_tools(struct conversation *out, const char *column, const json_t *row,
                     struct error *err)
{
    const json_t *value = column ? json_object_get(row, column) : NULL;
    struct strbuf text = { 0 };
    const char *s = NULL;
    int rc;

    if (!json_is_array(value) && !json_is_object(value)) {
        if (column && json_get_string(row, column, &s, err) < 0)
            return -1;
        return conversation_set_tools(out, s, err);
    }
    json_dump_python(&text, value, 0);
    rc = strbuf_check(&text, err);
    if (rc == 0)
        rc = conversation_set_tools(out, strbuf_text(&text), err);
    strbuf_release(&text);
    return rc;
}

static int refuse_media(const char *column, const json_t *row, struct error *err)
{
    const json_t *value = column ? json_object_get(row, column) : NULL;

    if (!value || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0))
        return 0;
    return error_set(err, "column '%s' has media in it; only text is supported yet", column);
}

static int check_media(const struct dataset_info *info, const json_t *row, struct error *err)
{
    if (refuse_media(info->columns.images, row, err) < 0 ||
        refuse_media(info->columns.videos, row, err) < 0 ||
        refuse_media(info->columns.audios, row, err) < 0)
        return -1;
    return 0;
}

/* history: a list of [user, reply]; anything but a list is no history. */
static int add_history(const struct dataset_info *info, const json_t *row, struct conversation *out,
                       struct error *err)
{
    const char *column = info->columns.history;
    const json_t *history = column ? json_object_get(row, column) : NULL;
    size_t i, count = json_array_size(history);
    int side;

    for (i = 0; i < count; i++) {
        const json_t *pair = json_array_get(history, i);

        if (json_array_size(pair) != 2)
            return error_set(err, "item %zu of '%s' must be a list of two texts", i + 1, column);
        for (side = 0; side < 2; side++) {
            const json_t *text = json_array_get(pair, (size_t)side);

            if (!json_is_string(text))
                return error_set(err, "item %zu of '%s' must be a list of two texts", i + 1,
                                 column);
            if (conversation_add(out, side ? ROLE_ASSISTANT : ROLE_USER, json_string_value(text),
                                 json_string_length(text), err) < 0)
                return -1;
        }
    }
    return 0;
}

/* prompt, newline, query: those that are not empty. */
static int add_prompt(const struct text *prompt, const struct text *query, struct conversation *out,
                      struct error *err)
{
    struct strbuf joined = { 0 };
    int rc;

    if (prompt->len == 0 || query->len == 0) {
        const struct text *only = prompt->len ? prompt : query;

        return conversation_add(out, ROLE_USER, only->s ? only->s : "", only->len, err);
    }
    strbuf_add(&joined, prompt->s, prompt->len);
    strbuf_putc(&joined, '\n');
    strbuf_add(&joined, query->s, query->len);
    rc = strbuf_check(&joined, err);
    if (rc == 0)
        rc = conversation_add(out, ROLE_USER, joined.text, joined.len, err);
    strbuf_release(&joined);
    return rc;
}

static int has(const json_t *row, const char *column)
{
    return column && json_object_get(row, column);
}

static int convert_alpaca(const struct dataset_info *info, const json_t *row,
                          struct conversation *out, struct error *err)
{
    const struct dataset_columns *c = &info->columns;
    struct text prompt, query, response, system;

    if (!has(row, c->prompt) && !has(row, c->query))
        return error_set(err, "no column '%s'", c->prompt ? c->prompt : c->query);
    if (get_text(row, c->prompt, &prompt, err) < 0 || get_text(row, c->query, &query, err) < 0 ||
        get_text(row, c->response, &response, err) < 0 ||
        get_text(row, c->system, &system, err) < 0)
        return -1;
    if (!response.s)
        return dropped(err, "no reply in column '%.80s'", c->response);
    if (add_history(info, row, out, err) < 0 || add_prompt(&prompt, &query, out, err) < 0 ||
        conversation_add(out, ROLE_ASSISTANT, response.s, response.len, err) < 0 ||
        set_system(out, &system, err) < 0)
        return -1;
    return set_tools(out, c->tools, row, err);
}

/* Of tags that are equal the last one counts, in the order of struct dataset_tags. */
enum tag { TAG_NONE = -1, TAG_USER, TAG_ASSISTANT, TAG_OBSERVATION, TAG_FUNCTION, TAG_SYSTEM };

static int same(const char *tag, const char *role)
{
    return tag && role && strcmp(tag, role) == 0;
}

static enum tag tag_of(const struct dataset_tags *tags, const char *role)
{
    if (same(tags->system, role))
        return TAG_SYSTEM;
    if (same(tags->function, role))
        return TAG_FUNCTION;
    if (same(tags->observation, role))
        return TAG_OBSERVATION;
    if (same(tags->assistant, role))
        return TAG_ASSISTANT;
    return same(tags->user, role) ? TAG_USER : TAG_NONE;
}

static enum role role_of(enum tag tag)
{
    static const enum role roles[] = { ROLE_USER, ROLE_ASSISTANT, ROLE_OBSERVATION, ROLE_FUNCTION };

    return roles[tag];
}

/* The list of messages, its first system message taken off into *system. */
static int open_messages(const struct dataset_info *info, const json_t *row, json_t **messages,
                         size_t *first, struct text *system, struct error *err)
{
    const struct dataset_columns *c = &info->columns;
    const json_t *message;
    const char *role = NULL;

    *first = 0;
    if (json_need_array(row, c->messages, messages, err) < 0)
        return -1;
    message = json_array_get(*messages, 0);
    if (json_is_object(message)) {
        if (json_get_string(message, info->tags.role, &role, err) < 0)
            return error_wrap(err, "message 1 of '%s'", c->messages);
        if (same(info->tags.system, role)) {
            *first = 1;
            if (get_text(message, info->tags.content, system, err) < 0)
                return error_wrap(err, "message 1 of '%s'", c->messages);
            return 0;
        }
    }
    return get_text(row, c->system, system, err);
}

/* Message i: its role's name (NULL: none) and content. */
static int open_message(const struct dataset_info *info, const json_t *messages, size_t i,
                        const json_t **message, const char **role, struct text *content,
                        struct error *err)
{
    *role = NULL;
    *message = json_array_get(messages, i);
    if (!json_is_object(*message))
        return error_set(err, "message %zu of '%s' must be an object, not %s", i + 1,
                         info->columns.messages, json_kind(*message));
    if (json_get_string(*message, info->tags.role, role, err) < 0 ||
        get_text(*message, info->tags.content, content, err) < 0)
        return error_wrap(err, "message %zu of '%s'", i + 1, info->columns.messages);
    return 0;
}

static int no_content(const struct dataset_info *info, size_t i, struct error *err)
{
    return error_set(err, "message %zu of '%s' has no '%s'", i + 1, info->columns.messages,
                     info->tags.content);
}

/* The assistant's tag only matters for the two sides: user and observation come first. */
static int accepted(const struct dataset_tags *tags, const char *role, size_t turn)
{
    if (turn % 2 == 0)
        return same(tags->user, role) || same(tags->observation, role);
    return same(tags->assistant, role) || same(tags->function, role);
}

static int convert_sharegpt(const struct dataset_info *info, const json_t *row,
                            struct conversation *out, struct error *err)
{
    struct text system = { 0 }, content;
    const json_t *message;
    const char *role;
    json_t *messages = NULL;
    size_t first, i;

    if (open_messages(info, row, &messages, &first, &system, err) < 0)
        return -1;
    for (i = first; i < json_array_size(messages); i++) {
        if (open_message(info, messages, i, &message, &role, &content, err) < 0)
            return -1;
        if (!accepted(&info->tags, role, i - first))
            return dropped(err, "role '%.80s' of message %zu is out of place", role ? role : "null",
                           i + 1);
        if (tag_of(&info->tags, role) == TAG_SYSTEM)
            return error_set(err, "'tags' gives the system the same name as another role");
        if (!content.s)
            return no_content(info, i, err);
        if (conversation_add(out, role_of(tag_of(&info->tags, role)), content.s, content.len, err) <
            0)
            return -1;
    }
    if (out->count == 0 || out->count % 2 != 0)
        return dropped(err, "%d messages; the last one must be a reply", out->count);
    if (set_system(out, &system, err) < 0)
        return -1;
    return set_tools(out, info->columns.tools, row, err);
}

/* The calls of an assistant's message as JSON text; 0 when there are none. */
static int join_calls(const json_t *message, struct strbuf *out, struct error *err)
{
    json_t *calls = NULL, *list;
    size_t i, count;
    int rc = 1;

    if (json_get_array(message, "tool_calls", &calls, err) < 0)
        return -1;
    count = json_array_size(calls);
    if (count == 0)
        return 0;
    list = json_array();
    for (i = 0; i < count && rc == 1; i++) {
        json_t *function = json_object_get(json_array_get(calls, i), "function");

        if (!function)
            rc = error_set(err, "call %zu of 'tool_calls' has no 'function'", i + 1);
        else if (json_array_append(list, function) < 0)
            rc = error_set(err, "out of memory");
    }
    strbuf_reset(out);
    if (rc == 1) {
        json_dump_python(out, list, 0);
        rc = strbuf_check(out, err) < 0 ? -1 : 1;
    }
    json_decref(list);
    return rc;
}

struct openai {
    const struct dataset_info *info;
    struct strbuf responses; // tool results waiting for the message that follows them
    size_t response_count;
    struct strbuf calls;
};

static int flush_responses(struct openai *openai, struct conversation *out, struct error *err)
{
    if (openai->response_count == 0)
        return 0;
    if (strbuf_check(&openai->responses, err) < 0 ||
        conversation_add(out, ROLE_OBSERVATION, strbuf_text(&openai->responses),
                         openai->responses.len, err) < 0)
        return -1;
    strbuf_reset(&openai->responses);
    openai->response_count = 0;
    return 0;
}

static void add_response(struct openai *openai, const struct text *content)
{
    if (openai->response_count++ > 0)
        strbuf_puts(&openai->responses, "\n</tool_response>\n<tool_response>\n");
    strbuf_add(&openai->responses, content->s, content->len);
}

/* One message after the system's; a role in the wrong place is found afterwards. */
static int add_openai(struct openai *openai, const json_t *messages, size_t i,
                      struct conversation *out, struct error *err)
{
    const struct dataset_info *info = openai->info;
    const json_t *message;
    struct text content;
    const char *role;
    enum tag tag;
    int calls = 0;

    if (open_message(info, messages, i, &message, &role, &content, err) < 0)
        return -1;
    tag = tag_of(&info->tags, role);
    if (same(info->tags.assistant, role) || same(info->tags.function, role)) {
        calls = join_calls(message, &openai->calls, err);
        if (calls < 0)
            return error_wrap(err, "message %zu of '%s'", i + 1, info->columns.messages);
    }
    if (calls) {
        tag = info->tags.function ? tag_of(&info->tags, info->tags.function)
              : info->tags.system ? TAG_FUNCTION
                                  : TAG_SYSTEM; // of two tags that are none the last one counts
        content = (struct text){ strbuf_text(&openai->calls), openai->calls.len };
    }
    if (tag == TAG_NONE)
        return error_set(err, "role '%.80s' of message %zu is in none of the 'tags'",
                         role ? role : "null", i + 1);
    if (!content.s)
        return no_content(info, i, err);
    if (!calls && same(info->tags.observation, role)) {
        add_response(openai, &content);
        return 0;
    }
    if (flush_responses(openai, out, err) < 0)
        return -1;
    if (tag == TAG_SYSTEM)
        return dropped(err, "role '%.80s' of message %zu is out of place", role, i + 1);
    return conversation_add(out, role_of(tag), content.s, content.len, err);
}

/*
 * Text that LLaMA-Factory adds for one model family to every row of this
 * formatting: kept, since ids are to be equal.
 */
static int set_openai_system(struct conversation *out, const struct text *system, struct error *err)
{
    const int tools = out->tools && out->tools[0];
    struct strbuf text = { 0 };
    int rc;

    if (system->len)
        strbuf_add(&text, system->s, system->len);
    if (!tools && !system->len)
        strbuf_puts(&text, NO_TOOLS_SYSTEM);
    else if (tools && system->len)
        strbuf_putc(&text, '\n');
    else if (!tools && !strstr(strbuf_text(&text), "detailed thinking on") &&
             !strstr(strbuf_text(&text), "detailed thinking off"))
        strbuf_puts(&text, "\n" NO_TOOLS_SYSTEM);
    rc = strbuf_check(&text, err);
    if (rc == 0) {
        const struct text whole = { strbuf_text(&text), text.len };

        rc = set_system(out, &whole, err);
    }
    strbuf_release(&text);
    return rc;
}

static int check_openai_order(const struct conversation *out, struct error *err)
{
    int i;

    for (i = 0; i < out->count; i++) {
        const enum role role = out->messages[i].role;
        const int user_side = role == ROLE_USER || role == ROLE_OBSERVATION;

        if (user_side != (i % 2 == 0))
            return dropped(err, "message %d (tool results joined) is out of place", i + 1);
    }
    if (out->count == 0 || out->count % 2 != 0)
        return dropped(err, "%d messages; the last one must be a reply", out->count);
    return 0;
}

static int convert_openai(const struct dataset_info *info, const json_t *row,
                          struct conversation *out, struct error *err)
{
    struct openai openai = { .info = info };
    struct text system = { 0 };
    json_t *messages = NULL;
    size_t i;
    int rc = open_messages(info, row, &messages, &i, &system, err);

    for (; rc == 0 && i < json_array_size(messages); i++)
        rc = add_openai(&openai, messages, i, out, err);
    strbuf_release(&openai.responses);
    strbuf_release(&openai.calls);
    if (rc == 0)
        rc = check_openai_order(out, err);
    if (rc == 0)
        rc = set_tools(out, info->columns.tools, row, err);
    return rc != 0 ? rc : set_openai_system(out, &system, err);
}

int dataset_convert(const struct dataset_info *info, const json_t *row, struct conversation *out,
                    struct error *err)
{
    conversation_reset(out);
    if (!json_is_object(row))
        return error_set(err, "must be an object, not %s", json_kind(row));
    if (check_media(info, row, err) < 0)
        return -1;
    if (info->formatting == DATASET_ALPACA)
        return convert_alpaca(info, row, out, err);
    if (info->formatting == DATASET_SHAREGPT)
        return convert_sharegpt(info, row, out, err);
    return convert_openai(info, row, out, err);
}
