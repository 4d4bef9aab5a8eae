/*
 * fuzz_dataset: a dataset_info.json entry on the first line, a row on the rest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "format/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void convert(const struct dataset_info *info, const char *text, size_t len)
{
    struct conversation conv = { 0 };
    struct error err = { { 0 } };
    json_t *row = json_parse_text(text, len, "row", &err);
    int rc = row ? dataset_convert(info, row, &conv, &err) : -1;

    if (rc == DATASET_ROW && (conv.count == 0 || conv.count % 2 != 0))
        abort();
    if (rc != DATASET_ROW && !err.msg[0])
        abort();
    json_decref(row);
    conversation_release(&conv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *line = size ? memchr(text, '\n', size) : NULL;
    struct dataset_info info = { 0 };
    struct error err;
    json_t *entry, *all;

    if (!line)
        return 0;
    entry = json_parse_text(text, (size_t)(line - text), "entry", &err);
    if (!entry)
        return 0;
    all = json_pack("{so}", "d", entry);
    dataset_info_warn(all, "d");
    if (dataset_info_read(&info, all, "d", "f", &err) == 0)
        convert(&info, line + 1, size - (size_t)(line + 1 - text));
    dataset_info_release(&info);
    json_decref(all);
    return 0;
}
