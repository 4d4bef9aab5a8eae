/*
 * fuzz_json: any bytes as JSON text, and as a file of rows.
 *
 * Whatever parses must survive being written and parsed again; rows that the
 * cursor finds must lie inside the text, in order.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "format/jsonl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(const uint8_t *data, size_t size)
{
    struct error err;
    json_t *value = json_parse_text((const char *)data, size, "f", &err);
    struct strbuf once = { 0 }, twice = { 0 };
    json_t *again;

    if (!value)
        return;
    json_dump_python(&once, value, 1);
    again = json_parse_text(strbuf_text(&once), once.len, "f", &err);
    if (!again)
        abort();
    json_dump_python(&twice, again, 1);
    if (once.len != twice.len || strcmp(strbuf_text(&once), strbuf_text(&twice)) != 0)
        abort();
    json_decref(value);
    json_decref(again);
    strbuf_release(&once);
    strbuf_release(&twice);
}

static size_t count_rows(struct json_cursor *cursor, size_t last)
{
    struct error err;
    size_t begin, end, rows = 0;

    while (json_cursor_next(cursor, &begin, &end, &err) == 1) {
        if (begin < last || end <= begin || end > cursor->len)
            abort();
        last = end;
        rows++;
    }
    return rows;
}

static void check_rows(const uint8_t *data, size_t size)
{
    struct json_cursor cursor;
    size_t rows, pieces;

    json_cursor_init(&cursor, data, size, "f");
    rows = count_rows(&cursor, 0);
    if (cursor.layout != JSON_LAYOUT_LINES || size == 0)
        return;
    json_cursor_init(&cursor, data, size, "f");
    cursor.limit = data[0] % size;
    pieces = count_rows(&cursor, 0);
    json_cursor_init(&cursor, data, size, "f");
    json_cursor_seek_line(&cursor, data[0] % size);
    if (rows != pieces + count_rows(&cursor, 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_value(data, size);
    check_rows(data, size);
    return 0;
}
