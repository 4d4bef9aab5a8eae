/*
 * data/source.c: data sets as one stream of bytes.
 *
 * Rank 0 alone looks into folders and into dataset_info.json; what it found
 * goes to the others as one JSON text, so that all ranks see the same files.
 */
#include "data_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/order.h"
#include "format/json.h"

#define INFO_NAME "dataset_info.json"
#define MARKS_MAX 65536u

/* {"set": name, "entry": {...}, "part": 0, "files": [...]} of one data set. */
static int describe_set(json_t *all, const char *name, int part, const char *info_path,
                        const char *dataset_dir, json_t *out, struct error *err)
{
    struct dataset_info info = { 0 };
    char **paths = NULL;
    int i, count = 0, rc = -1;
    json_t *files = json_array(), *set = json_object();

    if (dataset_info_read(&info, all, name, info_path, err) < 0 ||
        dataset_files(&info, dataset_dir, &paths, &count, err) < 0)
        goto out;
    dataset_info_warn(all, name);
    for (i = 0; i < count; i++) {
        if (json_array_append_new(files, json_string(paths[i])) < 0) {
            (void)error_set(err, "the name of file '%s' is not UTF-8", paths[i]);
            goto out;
        }
    }
    if (json_object_set_new(set, "set", json_string(name)) < 0 ||
        json_object_set(set, "entry", json_object_get(all, name)) < 0 ||
        json_object_set_new(set, "part", json_integer(part)) < 0 ||
        json_object_set(set, "files", files) < 0 || json_array_append(out, set) < 0) {
        (void)error_set(err, "out of memory");
        goto out;
    }
    rc = 0;
out:
    json_decref(files);
    json_decref(set);
    dataset_files_free(paths, count);
    dataset_info_release(&info);
    return rc;
}

static int describe(const struct prepare_params *params, struct strbuf *text, struct error *err)
{
    char *path = path_join(params->dataset_dir, INFO_NAME, err);
    json_t *all = NULL, *sets = json_array();
    int i, rc = -1;

    if (!path)
        goto out;
    if (!file_exists(path)) {
        (void)error_set(err, "no file '%s'; 'dataset_dir' must be the folder that holds " INFO_NAME,
                        path);
        goto out;
    }
    all = json_parse_file(path, err);
    if (!all)
        goto out;
    for (i = 0; i < params->dataset_count; i++)
        if (describe_set(all, params->dataset[i], 0, path, params->dataset_dir, sets, err) < 0)
            goto out;
    for (i = 0; i < params->eval_dataset_count; i++)
        if (describe_set(all, params->eval_dataset[i], params->eval_on_each_dataset ? i + 1 : 1,
                         path, params->dataset_dir, sets, err) < 0)
            goto out;
    json_dump_python(text, sets, 0);
    rc = strbuf_check(text, err);
out:
    free(path);
    json_decref(all);
    json_decref(sets);
    return rc;
}

static int add_files(struct source *source, int set, const json_t *files, struct error *err)
{
    const size_t count = json_array_size(files);
    struct source_file *grown;
    size_t i;

    grown = mem_realloc(source->files, (size_t)source->file_count + count, sizeof(*grown), err);
    if (!grown)
        return -1;
    source->files = grown;
    source->sets[set].file0 = source->file_count;
    source->sets[set].file_count = (int)count;
    for (i = 0; i < count; i++) {
        struct source_file *file = &source->files[source->file_count];

        *file = (struct source_file){ .set = set };
        file->path = mem_strdup(json_string_value(json_array_get(files, i)), err);
        if (!file->path)
            return -1;
        source->file_count++;
    }
    return 0;
}

/* entry's text without its name and files: what decides how rows are read. */
static int hash_entry(struct source_set *set, const json_t *entry, struct error *err)
{
    struct strbuf text = { 0 };
    json_t *copy = json_deep_copy(entry);
    int rc;

    if (!copy)
        return error_set(err, "out of memory");
    (void)json_object_del(copy, "file_name");
    json_dump_python(&text, copy, 1);
    rc = strbuf_check(&text, err);
    set->entry = hash_bytes(strbuf_text(&text), text.len);
    strbuf_release(&text);
    json_decref(copy);
    return rc;
}

static int parse_description(struct source *source, const char *text, size_t len, struct error *err)
{
    json_t *sets = json_parse_text(text, len, INFO_NAME, err);
    const size_t count = json_array_size(sets);
    size_t i;
    int rc = -1;

    if (!sets)
        return -1;
    source->sets = mem_alloc(count, sizeof(*source->sets), err);
    if (!source->sets)
        goto out;
    for (i = 0; i < count; i++) {
        const json_t *item = json_array_get(sets, i);
        const char *name = json_string_value(json_object_get(item, "set"));
        json_t *entry = json_object_get(item, "entry");
        struct source_set *set = &source->sets[source->set_count++];
        json_t *all = json_pack("{sO}", name, entry);

        rc = all ? dataset_info_read(&set->info, all, name, INFO_NAME, err)
                 : error_set(err, "out of memory");
        json_decref(all);
        if (rc < 0)
            goto out;
        rc = -1;
        set->part = (int)json_integer_value(json_object_get(item, "part"));
        if (set->part >= source->part_count)
            source->part_count = set->part + 1;
        if (hash_entry(set, entry, err) < 0 ||
            add_files(source, (int)i, json_object_get(item, "files"), err) < 0)
            goto out;
    }
    rc = 0;
out:
    json_decref(sets);
    return rc;
}

static int open_files(struct source *source, struct error *err)
{
    int i;

    for (i = 0; i < source->file_count; i++) {
        struct source_file *file = &source->files[i];
        struct json_cursor cursor;

        if (file_map_open(&file->map, file->path, err) < 0)
            return -1;
        json_cursor_init(&cursor, file->map.bytes, file->map.len, file->path);
        file->layout = cursor.layout;
        file->used = file->map.len;
    }
    return 0;
}

/* Keeps at most MARKS_MAX places: when they are full, every second one goes. */
static int add_mark(struct source_file *file, size_t *cap, size_t begin, struct error *err)
{
    uint64_t i;

    if ((uint64_t)file->rows % file->stride != 0)
        return 0;
    if (file->mark_count == MARKS_MAX) {
        for (i = 0; i < MARKS_MAX / 2; i++)
            file->mark[i] = file->mark[2 * i];
        file->mark_count = MARKS_MAX / 2;
        file->stride *= 2;
        if ((uint64_t)file->rows % file->stride != 0)
            return 0;
    }
    if (mem_grow(&file->mark, cap, file->mark_count + 1, sizeof(*file->mark), err) < 0)
        return -1;
    file->mark[file->mark_count++] = begin;
    return 0;
}

/* Finds the first `max` rows. */
static int scan_file(struct source_file *file, int64_t max, struct error *err)
{
    struct json_cursor cursor;
    size_t begin = 0, end = 0, cap = 0;
    int rc = 1;

    file->stride = 1;
    file->used = 0;
    json_cursor_init(&cursor, file->map.bytes, file->map.len, file->path);
    while (file->rows < max && (rc = json_cursor_next(&cursor, &begin, &end, err)) == 1) {
        if (add_mark(file, &cap, begin, err) < 0)
            return -1;
        file->rows++;
        file->used = end;
    }
    return rc < 0 ? -1 : 0;
}

/* Rows of a set that are used at most; num_samples draws from all. */
static int64_t limit_of(const struct source_set *set, const struct prepare_params *params)
{
    if (set->info.num_samples >= 0 || params->max_samples <= 0)
        return INT64_MAX;
    return params->max_samples;
}

static int needs_scan(const struct source *source, const struct source_file *file,
                      const struct prepare_params *params)
{
    return file->layout == JSON_LAYOUT_ARRAY ||
           limit_of(&source->sets[file->set], params) != INT64_MAX;
}

/* The files of a limited set follow one another, so one rank scans them all. */
static int scanner_of(const struct source *source, int file, const struct prepare_params *params,
                      const struct dist *dist)
{
    const int set = source->files[file].set;
    const int limited = limit_of(&source->sets[set], params) != INT64_MAX;

    return (limited ? source->sets[set].file0 : file) % dist->size;
}

static int scan_mine(struct source *source, const struct prepare_params *params,
                     const struct dist *dist, struct error *err)
{
    int64_t left = 0;
    int i;

    for (i = 0; i < source->file_count; i++) {
        struct source_file *file = &source->files[i];
        const int64_t limit = limit_of(&source->sets[file->set], params);

        if (i == source->sets[file->set].file0 || limit == INT64_MAX)
            left = limit;
        if (!needs_scan(source, file, params) || scanner_of(source, i, params, dist) != dist->rank)
            continue;
        if (scan_file(file, left, err) < 0)
            return -1;
        if (limit != INT64_MAX)
            left -= file->rows;
    }
    return 0;
}

static int share_scan(struct source_file *file, const struct dist *dist, int root,
                      struct error *err)
{
    uint64_t found[4] = { file->used, (uint64_t)file->rows, file->mark_count, file->stride };
    int rc = 0;

    dist_bcast(dist, found, sizeof(found), root);
    file->used = found[0];
    file->rows = (int64_t)found[1];
    file->mark_count = found[2];
    file->stride = found[3];
    if (!file->mark) {
        file->mark = mem_alloc(file->mark_count, sizeof(*file->mark), err);
        rc = file->mark ? 0 : -1;
    }
    if (dist_agree(dist, rc, err) < 0)
        return -1;
    dist_bcast(dist, file->mark, file->mark_count * sizeof(*file->mark), root);
    return 0;
}

static int scan(struct source *source, const struct prepare_params *params, const struct dist *dist,
                struct error *err)
{
    int i;

    if (dist_agree(dist, scan_mine(source, params, dist, err), err) < 0)
        return -1;
    for (i = 0; i < source->file_count; i++)
        if (needs_scan(source, &source->files[i], params) &&
            share_scan(&source->files[i], dist, scanner_of(source, i, params, dist), err) < 0)
            return -1;
    return 0;
}

static void cut_stream(struct source *source, uint64_t *bounds, const struct dist *dist)
{
    int i;

    source->bytes = 0;
    for (i = 0; i < source->file_count; i++) {
        source->files[i].begin = source->bytes;
        source->bytes += source->files[i].used;
    }
    dist_cut(dist, source->bytes, 1, bounds);
    source->from = bounds[dist->rank];
    source->to = bounds[dist->rank + 1];
}

/* My bytes of a file; 0 when there are none. */
static int my_piece(const struct source *source, const struct source_file *file, uint64_t *from,
                    uint64_t *to)
{
    *from = source->from > file->begin ? source->from - file->begin : 0;
    *to = source->to > file->begin ? source->to - file->begin : 0;
    if (*to > file->used)
        *to = file->used;
    return *from < *to;
}

/* The first mark at or behind an offset. */
static uint64_t mark_at(const struct source_file *file, uint64_t offset)
{
    uint64_t low = 0, high = file->mark_count;

    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;

        if (file->mark[middle] < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int64_t mark_row(const struct source_file *file, uint64_t mark)
{
    return mark == file->mark_count ? file->rows : (int64_t)(mark * file->stride);
}

/* My rows of a file. */
static int64_t count_piece(const struct source *source, const struct source_file *file)
{
    uint64_t from, to;
    struct json_cursor cursor;
    struct error err;
    size_t begin, end;
    int64_t rows = 0;

    if (!my_piece(source, file, &from, &to))
        return 0;
    if (file->mark)
        return mark_row(file, mark_at(file, to)) - mark_row(file, mark_at(file, from));
    json_cursor_init(&cursor, file->map.bytes, file->map.len, file->path);
    json_cursor_seek_line(&cursor, from);
    cursor.limit = to;
    while (json_cursor_next(&cursor, &begin, &end, &err) == 1)
        rows++;
    return rows;
}

/* Who has which rows: numbers of rows per file and rank make all row numbers known. */
static int number_rows(struct source *source, const struct dist *dist, struct error *err)
{
    const size_t files = (size_t)source->file_count;
    int64_t *mine = mem_alloc(files, sizeof(*mine), err);
    int64_t *all = mem_alloc(size_mul(files, (size_t)dist->size), sizeof(*all), err);
    size_t i;
    int r, rc = mine && all ? 0 : -1;

    if (dist_agree(dist, rc, err) < 0) {
        rc = -1;
        goto out;
    }
    for (i = 0; i < files; i++) {
        mine[i] = count_piece(source, &source->files[i]);
        source->my_rows += mine[i];
    }
    dist_gather_i64(dist, mine, files, all);
    for (i = 0; i < files; i++) {
        struct source_file *file = &source->files[i];

        file->row0 = source->rows;
        file->rows = 0;
        for (r = 0; r < dist->size; r++)
            file->rows += all[(size_t)r * files + i];
        source->rows += file->rows;
        source->sets[file->set].rows += file->rows;
    }
    source->my_row0 = dist_exscan_i64(dist, source->my_rows);
out:
    free(mine);
    free(all);
    return rc;
}

static int pick_rows(struct source_set *set, struct order_legacy *rng, struct error *err)
{
    int64_t *perm = mem_alloc((size_t)set->rows, sizeof(*perm), err);

    set->count = set->info.num_samples;
    set->pick = mem_alloc((size_t)set->count, sizeof(*set->pick), err);
    set->use = mem_alloc((size_t)set->rows, 1, err);
    if (!perm || !set->pick || !set->use) {
        free(perm);
        return -1;
    }
    order_num_samples(rng, set->pick, (size_t)set->count, perm, (size_t)set->rows);
    free(perm);
    return 0;
}

/* Which rows each set gives, in which order. */
static int choose_rows(struct source *source, const struct prepare_params *params,
                       struct error *err)
{
    struct order_legacy rng;
    int64_t row0 = 0, i;
    int s;

    order_legacy_seed(&rng, (uint32_t)params->seed);
    for (s = 0; s < source->set_count; s++) {
        struct source_set *set = &source->sets[s];

        set->row0 = row0;
        set->count = set->rows;
        row0 += set->rows;
        if (set->rows == 0)
            return error_set(err, "data set '%s' has no rows in '%s'", set->info.name,
                             source->files[set->file0].path);
        if (set->info.num_samples >= 0 && pick_rows(set, &rng, err) < 0)
            return -1;
        if (params->max_samples > 0 && set->count > params->max_samples)
            set->count = params->max_samples;
        for (i = 0; set->pick && i < set->count; i++)
            set->use[set->pick[i]] = 1;
    }
    return 0;
}

int source_open(struct source *source, const struct prepare_params *params, const struct dist *dist,
                struct error *err)
{
    struct strbuf text = { 0 };
    uint64_t *bounds = NULL;
    char *bytes = NULL;
    size_t len = 0;
    int rc = 0;

    *source = (struct source){ 0 };
    if (dist->rank == 0)
        rc = describe(params, &text, err);
    if (dist_agree(dist, rc, err) < 0) {
        rc = -1;
        goto out;
    }
    rc = -1;
    bytes = text.text;
    len = text.len;
    if (dist_bcast_text(dist, &bytes, &len, 0, err) < 0)
        goto out;
    bounds = mem_alloc((size_t)dist->size + 1, sizeof(*bounds), err);
    if (dist_agree(dist,
                   bounds && parse_description(source, bytes, len, err) == 0 &&
                           open_files(source, err) == 0
                       ? 0
                       : -1,
                   err) < 0 ||
        scan(source, params, dist, err) < 0)
        goto out;
    cut_stream(source, bounds, dist);
    if (number_rows(source, dist, err) < 0 ||
        dist_agree(dist, choose_rows(source, params, err), err) < 0)
        goto out;
    rc = 0;
out:
    if (dist->rank != 0)
        free(bytes);
    strbuf_release(&text);
    free(bounds);
    if (rc < 0)
        source_close(source);
    return rc;
}

void source_close(struct source *source)
{
    int i;

    for (i = 0; i < source->file_count; i++) {
        free(source->files[i].path);
        free(source->files[i].mark);
        file_map_close(&source->files[i].map);
    }
    for (i = 0; i < source->set_count; i++) {
        dataset_info_release(&source->sets[i].info);
        free(source->sets[i].pick);
        free(source->sets[i].use);
    }
    free(source->files);
    free(source->sets);
    *source = (struct source){ 0 };
}

/* Puts the walk at my first row of its file; 0 when I have none there. */
static int enter_file(const struct source *source, struct source_walk *walk)
{
    const struct source_file *file = &source->files[walk->file];
    uint64_t from, to;

    if (!my_piece(source, file, &from, &to))
        return 0;
    json_cursor_init(&walk->cursor, file->map.bytes, file->map.len, file->path);
    walk->left = -1;
    if (file->mark) {
        const uint64_t first = mark_at(file, from);

        walk->left = mark_row(file, mark_at(file, to)) - mark_row(file, first);
        if (walk->left == 0)
            return 0;
        json_cursor_seek(&walk->cursor, file->mark[first]);
    } else {
        json_cursor_seek_line(&walk->cursor, from);
        walk->cursor.limit = to;
    }
    return 1;
}

int source_next(const struct source *source, struct source_walk *walk, struct source_row *row,
                struct error *err)
{
    for (; walk->file < source->file_count; walk->file++, walk->entered = 0) {
        int rc;

        if (!walk->entered && !enter_file(source, walk))
            continue;
        walk->entered = 1;
        if (walk->left == 0)
            continue;
        rc = json_cursor_next(&walk->cursor, &row->begin, &row->end, err);
        if (rc < 0)
            return -1;
        if (rc == 0)
            continue;
        if (walk->left > 0)
            walk->left--;
        row->file = walk->file;
        row->row = source->my_row0 + walk->row++;
        return 1;
    }
    return 0;
}

void source_where(const struct source *source, const struct source_row *row, char *text, size_t cap)
{
    const struct source_file *file = &source->files[row->file];

    (void)snprintf(text, cap, "%s: row %lld (line %zu)", file->path,
                   (long long)(row->row - file->row0 + 1),
                   json_line_of(file->map.bytes, file->map.len, row->begin));
}
