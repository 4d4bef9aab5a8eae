/*
 * format/safetensors_write.c: float32 tensors to a file.
 *
 * The layout is that of safetensors' serializer: tensors by name (all are of
 * one type), the header compact, its length padded with spaces to 8.
 */
#include "format/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "format/json.h"

#define LENGTH_BYTES 8

static int compare_names(const void *a, const void *b)
{
    const struct safetensors_out *x = *(const struct safetensors_out *const *)a;
    const struct safetensors_out *y = *(const struct safetensors_out *const *)b;

    return strcmp(x->name, y->name);
}

static size_t bytes_of(const struct safetensors_out *t)
{
    size_t bytes = sizeof(float);

    for (int i = 0; i < t->dims; i++)
        bytes = size_mul(bytes, t->shape[i]);
    return bytes;
}

static void add_header(struct strbuf *out, const struct safetensors_out *const *sorted, size_t n)
{
    size_t at = 0;

    strbuf_puts(out, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        const struct safetensors_out *t = sorted[i];

        strbuf_putc(out, ',');
        json_dump_string(out, t->name, strlen(t->name), 0);
        strbuf_puts(out, ":{\"dtype\":\"F32\",\"shape\":[");
        for (int d = 0; d < t->dims; d++)
            strbuf_printf(out, "%s%zu", d > 0 ? "," : "", t->shape[d]);
        strbuf_printf(out, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes_of(t));
        at += bytes_of(t);
    }
    strbuf_putc(out, '}');
    while (out->len % LENGTH_BYTES != 0 && !out->failed)
        strbuf_putc(out, ' ');
}

/* Puts the length of the header, which is all of out, before it. */
static void set_length(struct strbuf *out)
{
    uint64_t len = out->len - LENGTH_BYTES;

    for (int i = 0; i < LENGTH_BYTES; i++)
        out->text[i] = (char)(unsigned char)(len >> (8 * i));
}

static void add_floats(struct strbuf *out, const struct safetensors_out *t)
{
    const uint16_t one = 1;
    unsigned char low;

    memcpy(&low, &one, 1);
    if (low != 1)
        BUG("safetensors are written on little-endian machines only");
    strbuf_add(out, t->data, bytes_of(t));
}

int safetensors_serialize(struct strbuf *out, const struct safetensors_out *tensors, size_t count,
                          struct error *err)
{
    const struct safetensors_out **sorted = mem_alloc(count, sizeof(*sorted), err);
    int rc = -1;

    if (!sorted)
        return -1;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &tensors[i];
    if (count > 0)
        qsort(sorted, count, sizeof(*sorted), compare_names);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            BUG("tensor '%s' is written twice", sorted[i]->name);
    }
    strbuf_reset(out);
    strbuf_add(out, "\0\0\0\0\0\0\0", LENGTH_BYTES);
    add_header(out, sorted, count);
    if (strbuf_check(out, err) < 0)
        goto out;
    set_length(out);
    for (size_t i = 0; i < count; i++)
        add_floats(out, sorted[i]);
    rc = strbuf_check(out, err);
out:
    free(sorted);
    return rc;
}

int safetensors_write(const char *path, const struct safetensors_out *tensors, size_t count,
                      struct error *err)
{
    struct strbuf out = { 0 };
    int rc = safetensors_serialize(&out, tensors, count, err);

    if (rc == 0)
        rc = file_write(path, out.text, out.len, err);
    strbuf_release(&out);
    return rc;
}
