/*
 * format/jsonl.h: where the rows of a file of JSON rows lie, without parsing
 * them.
 *
 * A file is an array of values ([ {...}, {...} ]) or JSON Lines, one value a
 * line; the datasets library takes both under either name (.json, .jsonl),
 * and so do we. The scan looks at quotes, backslashes and brackets only and
 * finds the bounds of each row. What a row holds is checked when it is parsed.
 *
 * A JSON Lines file can be cut anywhere at a line's end, so ranks scan their
 * own bytes (json_rows_scan_lines); an array is scanned by json_rows_scan().
 *
 * Local.
 */
#ifndef FORMAT_JSONL_H
#define FORMAT_JSONL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum json_layout {
    JSON_LAYOUT_ARRAY, // first character is [
    JSON_LAYOUT_LINES, // anything else: one value a line
};

/* Row i is text[begin[i], end[i]); offsets count from the text's start. */
struct json_rows {
    uint64_t *begin, *end;
    size_t count;
    size_t begin_cap, end_cap;
};

/* By the first character that is no white space (a byte order mark is skipped). */
enum json_layout json_layout_of(const unsigned char *text, size_t len);

/*
 * Rows of an array, at most max of them. A bracket, quote or comma out of
 * place is an error with its line; what stands inside a row is not looked at
 * beyond strings and brackets.
 */
int json_rows_scan_array(struct json_rows *rows, const unsigned char *text, size_t len,
                         const char *name, size_t max, struct error *err);

/*
 * Rows of JSON Lines among the lines that begin in [from, to) of the text, at most
 * max of them; empty lines are no rows. The text goes on to len, so that the
 * last line may end after to. from > 0 inside a line skips to the next one:
 * pieces [0,a), [a,b), [b,len) together give each row once.
 */
int json_rows_scan_lines(struct json_rows *rows, const unsigned char *text, size_t len,
                         size_t from, size_t to, size_t max, struct error *err);

/* The number of the line (from 1) in which the byte at offset lies. Reads all before it. */
size_t json_line_of(const unsigned char *text, size_t len, size_t offset);

void json_rows_release(struct json_rows *rows);

#endif
