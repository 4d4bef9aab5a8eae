/*
 * format/safetensors.c: headers read, checked and looked up.
 *
 * Nothing in a header is believed before it is checked against the file:
 * sizes saturate (base/mem.h), and sorted by offset the tensors must follow each
 * other from the first byte of data to the last, which rules out overlaps, holes
 * and anything outside the file at once.
 */
#include "format/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/mem.h"
#include "safetensors_internal.h"

#define HEADER_BYTES_MAX ((uint64_t)100 << 20) // the limit of the format's own reader
#define LENGTH_BYTES     8
#define LFS_MARK         "version https://git-lfs"

/* Bits of a number by name; tensors of other types are taken with any size. */
static const struct type {
    const char *name;
    unsigned bits;
} types[] = {
    { "F64", 64 },    { "F32", 32 }, { "F16", 16 }, { "BF16", 16 },   { "I64", 64 },
    { "I32", 32 },    { "I16", 16 }, { "I8", 8 },   { "U64", 64 },    { "U32", 32 },
    { "U16", 16 },    { "U8", 8 },   { "BOOL", 8 }, { "F8_E5M2", 8 }, { "F8_E4M3", 8 },
    { "F8_E8M0", 8 }, { "C64", 64 }, { "F4", 4 },   { "F6_E2M3", 6 }, { "F6_E3M2", 6 },
};

/* One file while its header is read. */
struct reader {
    struct safetensors *st;
    const char *path;
    const unsigned char *data; // first byte after the header
    size_t data_len;
    int file;
};

static uint64_t read_le64(const unsigned char *bytes)
{
    uint64_t x = 0;

    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        x = x << 8 | bytes[i];
    return x;
}

/* An integer of a header as a size; -1 when it is none. */
static int size_from_json(const json_t *value, size_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return -1;
    *out = (size_t)json_integer_value(value);
    return 0;
}

static int read_shape(struct safetensors_tensor *t, const json_t *shape)
{
    size_t dims = json_array_size(shape);

    if (!json_is_array(shape) || dims > SAFETENSORS_DIMS_MAX)
        return -1;
    t->dims = (int)dims;
    t->count = 1;
    for (size_t i = 0; i < dims; i++) {
        if (size_from_json(json_array_get(shape, i), &t->shape[i]) < 0)
            return -1;
        t->count = size_mul(t->count, t->shape[i]);
    }
    return t->count == SIZE_MAX ? -1 : 0;
}

/* True when bytes are those of count numbers of that type, or the type is not known. */
static int bytes_fit(const char *type_name, size_t count, size_t bytes)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].name, type_name) == 0) {
            size_t bits = size_mul(count, types[i].bits);

            return bits != SIZE_MAX && bits % 8 == 0 && bits / 8 == bytes;
        }
    }
    return 1;
}

static int read_tensor(struct reader *r, const char *name, const json_t *value,
                       struct safetensors_tensor *t, struct error *err)
{
    const json_t *offsets = json_object_get(value, "data_offsets");
    const char *type_name = json_string_value(json_object_get(value, "dtype"));
    size_t begin, end;

    *t = (struct safetensors_tensor){ .name = name, .type_name = type_name, .file = r->file };
    if (!type_name)
        return error_set(err, "'%s': tensor '%s' has no dtype", r->path, name);
    if (read_shape(t, json_object_get(value, "shape")) < 0)
        return error_set(err, "'%s': tensor '%s' has no shape of up to %d sizes", r->path, name,
                         SAFETENSORS_DIMS_MAX);
    if (json_array_size(offsets) != 2 || size_from_json(json_array_get(offsets, 0), &begin) < 0 ||
        size_from_json(json_array_get(offsets, 1), &end) < 0 || begin > end || end > r->data_len)
        return error_set(err, "'%s': tensor '%s' is not inside the file: is it whole?", r->path,
                         name);
    t->dtype = dtype_from_name(type_name, strlen(type_name));
    t->bytes = end - begin;
    t->data = r->data + begin;
    if (!bytes_fit(type_name, t->count, t->bytes))
        return error_set(err, "'%s': tensor '%s' has %zu bytes for %zu numbers of %s", r->path,
                         name, t->bytes, t->count, type_name);
    if (t->dtype >= 0 && (uintptr_t)t->data % dtype_size((enum dtype)t->dtype) != 0)
        return error_set(err,
                         "'%s': tensor '%s' does not begin at a multiple of its number's size; "
                         "load and save the file again with safetensors 0.3 or newer",
                         r->path, name);
    return 0;
}

static int compare_places(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    uintptr_t x_begin = (uintptr_t)x->data, y_begin = (uintptr_t)y->data;

    if (x_begin != y_begin)
        return x_begin < y_begin ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int compare_names(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* The tensors of one file, sorted by place, must cover its data without overlap or hole. */
static int check_cover(const struct reader *r, const struct safetensors_tensor *t, size_t count,
                       struct error *err)
{
    const unsigned char *at = r->data;

    for (size_t i = 0; i < count; i++) {
        const unsigned char *begin = t[i].data;

        if (begin != at)
            return error_set(err, "'%s': tensor '%s' overlaps another or leaves a hole before it",
                             r->path, t[i].name);
        at = begin + t[i].bytes;
    }
    if (at != r->data + r->data_len)
        return error_set(err, "'%s': %zu bytes at its end belong to no tensor", r->path,
                         (size_t)(r->data + r->data_len - at));
    return 0;
}

static int read_tensors(struct reader *r, json_t *header, struct error *err)
{
    struct safetensors *st = r->st;
    size_t first = st->count;
    const char *name;
    json_t *value;

    if (mem_grow(&st->tensors, &st->cap, size_add(st->count, json_object_size(header)),
                 sizeof(*st->tensors), err) < 0)
        return -1;
    json_object_foreach(header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        if (read_tensor(r, name, value, &st->tensors[st->count], err) < 0)
            return -1;
        st->count++;
    }
    if (st->count > first)
        qsort(st->tensors + first, st->count - first, sizeof(*st->tensors), compare_places);
    return check_cover(r, st->tensors + first, st->count - first, err);
}

/* Reads the header of file number i, whose map and path are set. */
static int read_header(struct safetensors *st, int i, struct error *err)
{
    const struct file_map *map = &st->maps[i];
    struct reader r = { .st = st, .path = st->paths[i], .file = i };
    uint64_t len = map->len >= LENGTH_BYTES ? read_le64(map->bytes) : 0;
    const char *text;
    json_error_t why;
    json_t *header;

    if (map->len >= strlen(LFS_MARK) && memcmp(map->bytes, LFS_MARK, strlen(LFS_MARK)) == 0)
        return error_set(err, "'%s' only points to the real file; run 'git lfs pull' there",
                         r.path);
    if (map->len < LENGTH_BYTES || len > map->len - LENGTH_BYTES || len > HEADER_BYTES_MAX)
        return error_set(err, "'%s' is no whole safetensors file", r.path);
    text = (const char *)map->bytes + LENGTH_BYTES;
    if (len == 0 || text[0] != '{')
        return error_set(err, "'%s' is no safetensors file: no header", r.path);
    header = json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, &why);
    if (!header)
        return error_set(err, "'%s': its header is not valid: %s at byte %d", r.path, why.text,
                         why.position);
    st->headers[i] = header;
    r.data = map->bytes + LENGTH_BYTES + len;
    r.data_len = map->len - LENGTH_BYTES - (size_t)len;
    return read_tensors(&r, header, err);
}

int safetensors_read_headers(struct safetensors *st, struct error *err)
{
    for (int i = 0; i < st->files; i++) {
        if (read_header(st, i, err) < 0)
            return -1;
    }
    if (st->count > 0)
        qsort(st->tensors, st->count, sizeof(*st->tensors), compare_names);
    for (size_t i = 1; i < st->count; i++) {
        const struct safetensors_tensor *a = &st->tensors[i - 1], *b = &st->tensors[i];

        if (strcmp(a->name, b->name) == 0)
            return error_set(err, "tensor '%s' is in both '%s' and '%s'", a->name,
                             st->paths[a->file], st->paths[b->file]);
    }
    return 0;
}

int safetensors_reserve(struct safetensors *st, int files, struct error *err)
{
    *st = (struct safetensors){ 0 };
    st->maps = mem_alloc((size_t)files, sizeof(*st->maps), err);
    st->paths = mem_alloc((size_t)files, sizeof(*st->paths), err);
    st->headers = mem_alloc((size_t)files, sizeof(*st->headers), err);
    if (!st->maps || !st->paths || !st->headers)
        return -1;
    st->files = files;
    return 0;
}

int safetensors_open_bytes(struct safetensors *st, const void *bytes, size_t len, const char *name,
                           struct error *err)
{
    if (safetensors_reserve(st, 1, err) < 0)
        goto fail;
    st->borrowed = 1;
    st->maps[0] = (struct file_map){ .bytes = bytes, .len = len };
    st->paths[0] = mem_strdup(name, err);
    if (!st->paths[0] || safetensors_read_headers(st, err) < 0)
        goto fail;
    return 0;
fail:
    safetensors_close(st);
    return -1;
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *st, const char *name)
{
    const struct safetensors_tensor key = { .name = name };

    if (st->count == 0)
        return NULL;
    return bsearch(&key, st->tensors, st->count, sizeof(*st->tensors), compare_names);
}

static void add_shape(struct strbuf *sb, int dims, const size_t *shape)
{
    strbuf_putc(sb, '[');
    for (int i = 0; i < dims; i++)
        strbuf_printf(sb, "%s%zu", i > 0 ? ", " : "", shape[i]);
    strbuf_putc(sb, ']');
}

static void say_shapes(const struct safetensors *st, const struct safetensors_tensor *t, int dims,
                       const size_t *shape, struct error *err)
{
    struct strbuf has = { 0 }, wants = { 0 };

    add_shape(&has, t->dims, t->shape);
    add_shape(&wants, dims, shape);
    (void)error_set(err, "'%s': tensor '%s' has the shape %s; %s is needed", st->paths[t->file],
                    t->name, strbuf_text(&has), strbuf_text(&wants));
    strbuf_release(&has);
    strbuf_release(&wants);
}

const struct safetensors_tensor *safetensors_need(const struct safetensors *st, const char *name,
                                                  int dims, const size_t *shape, struct error *err)
{
    const struct safetensors_tensor *t = safetensors_find(st, name);

    if (!t) {
        (void)error_set(err, "'%s' has no tensor '%s'%s", st->files > 0 ? st->paths[0] : "", name,
                        st->files > 1 ? ", nor has any other shard" : "");
        return NULL;
    }
    if (t->dims != dims || memcmp(t->shape, shape, (size_t)dims * sizeof(*shape)) != 0) {
        say_shapes(st, t, dims, shape, err);
        return NULL;
    }
    if (t->dtype < 0) {
        (void)error_set(err, "'%s': tensor '%s' is of type %s; F32, F16 or BF16 is needed",
                        st->paths[t->file], name, t->type_name);
        return NULL;
    }
    return t;
}

void safetensors_close(struct safetensors *st)
{
    for (int i = 0; i < st->files; i++) {
        if (!st->borrowed)
            file_map_close(&st->maps[i]);
        free(st->paths[i]);
        json_decref(st->headers[i]);
    }
    free(st->maps);
    free(st->paths);
    free(st->headers);
    free(st->tensors);
    *st = (struct safetensors){ 0 };
}
