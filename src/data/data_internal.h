/*
 * data/data_internal.h: what the parts of data/prepare share.
 *
 * source: the files of all data sets as one stream of bytes, cut over the
 * ranks. encode: a rank's rows as ids and labels. prepare: key, split,
 * packing, and the file.
 */
#ifndef DATA_INTERNAL_H
#define DATA_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/dataset.h"
#include "data/prepare.h"
#include "dist/dist.h"
#include "format/jsonl.h"
#include "text/tokenizer.h"

/*
 * A file of rows. An array, and a file of which only the first rows are used,
 * is scanned once by one rank, which keeps the place of every stride-th row;
 * other JSON Lines files need no scan, for they can be entered anywhere.
 */
struct source_file {
    char *path;
    int set;
    struct file_map map;
    enum json_layout layout;
    uint64_t used;  // bytes [0, used) hold all rows that are used
    uint64_t begin; // place of its first byte in the stream
    int64_t rows;   // rows used
    int64_t row0;   // number of its first row over all files
    uint64_t *mark; // begin of rows 0, stride, 2 * stride, ...; NULL: not scanned
    uint64_t mark_count, stride;
};

struct source_set {
    struct dataset_info info;
    struct hash entry; // of its text in dataset_info.json
    int part;          // 0: training, 1: evaluation (eval_on_each_dataset: 1, 2, ...)
    int file0, file_count;
    int64_t row0, rows; // rows of its files over all files
    int64_t *pick;      // num_samples: rows of the set, in order; NULL: all in order
    int64_t count;      // rows that the set gives
    unsigned char *use; // [rows] num_samples: which rows are picked; NULL: all
};

struct source {
    struct source_set *sets;
    struct source_file *files;
    int set_count, file_count, part_count;
    uint64_t bytes;    // of the stream
    int64_t rows;      // over all files
    uint64_t from, to; // my bytes of the stream
    int64_t my_row0, my_rows;
};

/*
 * Collective. Reads dataset_info.json on rank 0, maps the files, finds the
 * rows and cuts the stream.
 */
int source_open(struct source *source, const struct prepare_params *params, const struct dist *dist,
                struct error *err);

/* Hash of the used bytes of each file, in order. Collective; *stopped is set on all ranks alike. */
int source_hash(const struct source *source, const struct prepare_params *params,
                const struct dist *dist, struct hash *hash, int *stopped, struct error *err);

void source_close(struct source *source);

/* One row of mine. */
struct source_row {
    int file;
    size_t begin, end; // in the file
    int64_t row;       // over all files
};

/* Walks over my rows in order. Zero-initialise. Local. */
struct source_walk {
    int file;
    int entered;
    struct json_cursor cursor;
    int64_t left; // rows of a scanned file that are still mine; -1: until the cursor ends
    int64_t row;
};

/* 1 and the next row, 0 at the end, -1 when the file is damaged. */
int source_next(const struct source *source, struct source_walk *walk, struct source_row *row,
                struct error *err);

/* "path: row 3 (line 12)": where a row is, for messages. */
void source_where(const struct source *source, const struct source_row *row, char *text,
                  size_t cap);

/* My rows as tokens. */
struct encoded {
    struct token_list ids, labels;
    int32_t *length;        // [my rows] -1: dropped, skipped or not used
    int32_t *labelled;      // [my rows] labels but the first that are not -100
    unsigned char *leading; // [my rows] 1: the first label is not -100
    int32_t max_id;
    int64_t skipped, dropped, at_limit;
    char first_skipped[ERROR_MSG_MAX]; // "" when there is none
    char first_dropped[ERROR_MSG_MAX];
};

/*
 * Collective, in rounds, so that a failure or a wish to stop on one rank is
 * soon known to all: 0, -1, or PREPARE_INTERRUPTED.
 */
int encode_rows(struct encoded *encoded, const struct source *source,
                const struct prepare_params *params, const struct dist *dist, struct error *err);

void encoded_release(struct encoded *encoded);

#endif
