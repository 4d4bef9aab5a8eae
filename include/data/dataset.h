/*
 * data/dataset.h: dataset_info.json and its rows.
 *
 * dataset_info.json maps a name to where the rows are (file_name: a file or a
 * folder of files of one type, json or jsonl, relative to dataset_dir) and to
 * how they look (formatting, columns, tags). As in LLaMA-Factory: when
 * `columns` is present every column that it omits is none, and the same
 * holds for `tags`.
 *
 * A row becomes a conversation or is dropped: LLaMA-Factory's converters
 * empty a row whose roles stand in the wrong order, and the next stage drops
 * it with a warning. So do we, with a count and the first of them named. A
 * row that is no object, lacks its columns or has wrong types is malformed:
 * that is the caller's on_bad_sample.
 *
 * Local.
 * Source: LLaMA-Factory 0.9.5, data/parser.py and data/converter.py.
 */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "format/json.h"
#include "text/conversation.h"

enum dataset_formatting { DATASET_ALPACA, DATASET_SHAREGPT, DATASET_OPENAI };

/* Names of the columns; NULL is none. */
struct dataset_columns {
    char *prompt, *query, *response, *history; // alpaca
    char *messages;                            // sharegpt, openai
    char *system, *tools, *images, *videos, *audios;
    char *chosen, *rejected, *kto_tag;
};

/* How roles and fields are called; NULL is none: a role that no row can have. */
struct dataset_tags {
    char *role, *content;
    char *user, *assistant, *observation, *function, *system;
};

struct dataset_info {
    char *name;
    enum dataset_formatting formatting;
    char *file_name; // as it stands there
    char *split;
    int64_t num_samples; // -1: not given
    struct dataset_columns columns;
    struct dataset_tags tags;
};

/*
 * The entry of that name. all: the parsed dataset_info.json; file: its path,
 * for messages. An unknown name is refused with the names there are; an entry
 * on a hub only with the command that fetches it; ranking and kto_tag, stages
 * that are not here, by name. release after failure too.
 */
int dataset_info_read(struct dataset_info *info, json_t *all, const char *name, const char *file,
                      struct error *err);

/* Logs a warning for each key of its `columns` and `tags` that is none of ours. */
void dataset_info_warn(json_t *all, const char *name);

/*
 * Paths of its files, sorted by name, in new strings; *paths and each are the
 * caller's to free (dataset_files_free). A missing file and another type than json and
 * jsonl are refused with what to do.
 */
int dataset_files(const struct dataset_info *info, const char *dataset_dir, char ***paths,
                  int *count, struct error *err);
void dataset_files_free(char **paths, int count);

void dataset_info_release(struct dataset_info *info);

/* What dataset_convert() says beside -1, a malformed row. */
enum dataset_verdict { DATASET_ROW = 0, DATASET_DROPPED = 1 };

/*
 * The conversation of a row. out: initialised; what it held is replaced.
 * DATASET_DROPPED and -1 leave the reason in err, without file and row: the
 * caller puts them in front.
 */
int dataset_convert(const struct dataset_info *info, const json_t *row, struct conversation *out,
                    struct error *err);

#endif
