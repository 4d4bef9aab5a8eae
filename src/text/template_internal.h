/*
 * template_internal.h: what the files of the templates share.
 */
#ifndef TEXT_TEMPLATE_INTERNAL_H
#define TEXT_TEMPLATE_INTERNAL_H

#include "base/strbuf.h"
#include "format/json.h"
#include "text/template.h"

/*
 * Marks inside the texts of a row. A text is cut at BOS and EOS; each piece is
 * tokenised alone. C stands for the content, at most once in a piece.
 */
#define C         "\1"
#define BOS       "\2"
#define EOS       "\3"
#define MARK_C    '\1'
#define MARK_BOS  '\2'
#define MARK_EOS  '\3'
#define MARK_CUTS "\2\3"

#define TEMPLATE_STOPS 2

enum tool_format { TOOLS_DEFAULT, TOOLS_LLAMA3, TOOLS_MISTRAL, TOOLS_QWEN, TOOLS_PHI4_MINI };

enum {
    ROW_JOINED = 1,        // system text goes inside the first user message
    ROW_THINKS = 2,        // replies carry thoughts
    ROW_EFFICIENT_EOS = 4, // one eos at the end of the whole row
    ROW_REPLACE_EOS = 8,   // the first stop word becomes the eos
    ROW_MEDIA = 16         // <image>, <video>, <audio> in a message stand for media
};

/* NULL texts: see template_open(). */
struct template_row {
    const char *name;
    const char *prefix, *system, *user, *assistant, *function, *observation;
    const char *default_system;
    const char *stops[TEMPLATE_STOPS];
    enum tool_format tools; // of the tool descriptions and the function messages
    int flags;
};

extern const struct template_row template_rows[];
extern const int template_row_count;

/* Adds all names, with commas between. */
void template_names(struct strbuf *list);

/* NULL with a message that has the nearest name and all names. */
const struct template_row *template_row_find(const char *name, struct error *err);

/* Bytes; no owner. */
struct span {
    const char *text;
    size_t len;
};

/* Position of the first needle at or after from; len when there is none. */
size_t span_find(struct span in, size_t from, const char *needle);

/* All that lies between open and close, shortest first, with both marks; 0 when there is none. */
int span_between(struct span in, size_t from, const char *open, const char *close, size_t *start,
                 size_t *end);

/* Appends in without any occurrence of what. */
void span_add_without(struct strbuf *out, struct span in, struct span what);

/* -1 with a message that lists the formats; *format as it is for NULL. */
int tool_format_find(enum tool_format *format, const char *name, struct error *err);

/* Appends the system text that describes the tools (a JSON list). */
int tools_describe(struct strbuf *out, enum tool_format format, const char *date, const char *json,
                   struct error *err);

/* Appends the calls of a function message's JSON as the assistant writes them. */
int tools_call(struct strbuf *out, enum tool_format format, struct span json, struct error *err);

struct template
{
    const struct template_row *row;
    struct tokenizer *tok; // kept, not owned
    const char *prefix, *system, *user, *assistant, *function, *observation;
    enum tool_format describe, call;
    char *default_system, *tool_date; // never NULL
    size_t cutoff_len;
    int train_on_prompt, mask_history, enable_thinking, preserve_thinking, split_special_tokens;

    /* scratch of template_encode() */
    struct strbuf text;         // one text about to be tokenised
    struct strbuf head;         // system text and tools
    struct strbuf reply;        // a reply without its thoughts
    struct strbuf body;         // a message's content as it goes into its text
    struct token_list all;      // ids of all messages
    size_t *bounds, bounds_cap; // message i is all.v[bounds[i]] .. all.v[bounds[i + 1] - 1]
};

/* Around the digits of an integer beyond 64 bits, which is a string meanwhile; see tools.c. */
#define BIG_OPEN  "\xEE\x80\x80" // U+E000
#define BIG_CLOSE "\xEE\x80\x81" // U+E001

/* {"type": "function", ...} */
int tool_is_function(const json_t *tool);

/* The system text of the default format; tools is a list of objects that is not empty. */
int tools_describe_default(struct strbuf *out, const json_t *tools, struct error *err);

/* Appends what Python's str() says of the value. */
void json_add_python_str(struct strbuf *out, json_t *value);

#endif
