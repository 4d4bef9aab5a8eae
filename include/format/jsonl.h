/*
 * format/jsonl.h: where the rows of a file of JSON rows lie, without parsing
 * them.
 *
 * A file is an array of values ([ {...}, {...} ]) or JSON Lines, one value a
 * line; the datasets library takes both under either name (.json, .jsonl),
 * and so do we. A cursor walks over the rows of text in memory and looks at
 * quotes, backslashes, brackets and line ends only; what a row holds is
 * checked when it is parsed. It may be put at any row's start, so that a file
 * whose row bounds are known in part is read in pieces; JSON Lines may be
 * entered anywhere.
 *
 *     struct json_cursor cursor;
 *     json_cursor_init(&cursor, text, len, path);
 *     while ((rc = json_cursor_next(&cursor, &begin, &end, err)) == 1)
 *         use(text + begin, end - begin);
 *
 * Local.
 */
#ifndef FORMAT_JSONL_H
#define FORMAT_JSONL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum json_layout {
    JSON_LAYOUT_ARRAY, // the first character is [
    JSON_LAYOUT_LINES, // anything else
};

struct json_cursor {
    const unsigned char *text;
    size_t len;
    const char *name; // for messages
    enum json_layout layout;
    size_t at;           // where the next row is looked for
    size_t limit;        // rows of lines that begin here or later are not given; len at first
    int entered, closed; // arrays: [ and ] have been passed
};

/* At the start of a file. Keeps text and name. A byte order mark is skipped. */
void json_cursor_init(struct json_cursor *cursor, const unsigned char *text, size_t len,
                      const char *name);

/* At the row that begins at that offset (one that json_cursor_next() gave). */
void json_cursor_seek(struct json_cursor *cursor, size_t begin);

/*
 * JSON Lines only: at the first line that begins at offset or after it. Pieces
 * [0, a), [a, b), [b, len), each with its limit, together give each row once.
 */
void json_cursor_seek_line(struct json_cursor *cursor, size_t offset);

/*
 * 1 and the bounds of the next row, text[*begin, *end); 0 when there are no
 * more; -1 when an array is not closed, or something other than values and
 * commas stands in it. Empty lines are no rows.
 */
int json_cursor_next(struct json_cursor *cursor, size_t *begin, size_t *end, struct error *err);

/* The number of the line (from 1) in which the byte at offset lies. Reads all before it. */
size_t json_line_of(const unsigned char *text, size_t len, size_t offset);

#endif
