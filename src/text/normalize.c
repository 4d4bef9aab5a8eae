/*
 * text/normalize.c: Unicode normalization forms.
 *
 * utf8proc decomposes and composes, we order the marks (utf8proc's own way is
 * quadratic). Most text is in form NFC already: characters marked plain in
 * our table are unchanged by NFC and never join what stands before them, so
 * only the stretches around other characters are worked on. Characters that
 * are newer than the library's tables are inert there and must stay so,
 * whatever utf8proc knows about them: they go through untouched.
 */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "text_internal.h"

#define DECOMPOSED_MAX 64 // characters that one may decompose into; the longest gives 18

static int is_boundary(const struct unicode_classes *uc, enum norm_form form, uint32_t c)
{
    uint16_t class = unicode_class(uc, c);

    return form == FORM_NFC ? class & UC_PLAIN : c < 0x80 || (class & UC_INERT);
}

int normalize_is_plain(const struct unicode_classes *uc, const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n;

    for (size_t at = 0; at < len; at += n) {
        n = 1;
        if (p[at] >= 0x80 && !(unicode_class(uc, utf8_get(p + at, &n)) & UC_PLAIN))
            return 0;
    }
    return 1;
}

static int combining_class(int32_t c)
{
    return utf8proc_get_property(c)->combining_class;
}

/* Sorts a run of marks by class, equal ones in order: by counting. */
static int sort_marks(int32_t *v, size_t n, struct error *err)
{
    size_t start[257] = { 0 };
    int32_t *sorted;

    if (n < 2)
        return 0;
    sorted = mem_alloc(n, sizeof(*sorted), err);
    if (!sorted)
        return -1;
    for (size_t i = 0; i < n; i++)
        start[combining_class(v[i]) + 1]++;
    for (int c = 1; c < 257; c++)
        start[c] += start[c - 1];
    for (size_t i = 0; i < n; i++)
        sorted[start[combining_class(v[i])]++] = v[i];
    memcpy(v, sorted, n * sizeof(*v));
    free(sorted);
    return 0;
}

static int order_marks(int32_t *v, size_t n, struct error *err)
{
    size_t i = 0;

    while (i < n) {
        size_t start;
        int sorted = 1;

        while (i < n && combining_class(v[i]) == 0)
            i++;
        for (start = i; i < n && combining_class(v[i]) != 0; i++)
            if (i > start && combining_class(v[i]) < combining_class(v[i - 1]))
                sorted = 0;
        if (!sorted && sort_marks(v + start, i - start, err) < 0)
            return -1;
    }
    return 0;
}

/* Works on one stretch between boundaries. */
static int normalize_region(struct normalizer *nz, enum norm_form form, const char *text,
                            size_t len, struct strbuf *out, struct error *err)
{
    int compose = form == FORM_NFC || form == FORM_NFKC;
    utf8proc_option_t options =
        UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
        (form == FORM_NFKC || form == FORM_NFKD ? UTF8PROC_COMPAT : (utf8proc_option_t)0);
    utf8proc_ssize_t n = 0;

    for (size_t at = 0; at < len;) {
        size_t width;
        uint32_t c = utf8_get((const unsigned char *)text + at, &width);
        utf8proc_ssize_t got;
        int boundclass = UTF8PROC_BOUNDCLASS_START;

        if (mem_grow(&nz->chars, &nz->chars_cap, size_add((size_t)n, DECOMPOSED_MAX),
                     sizeof(*nz->chars), err) < 0)
            return -1;
        got = utf8proc_decompose_char((utf8proc_int32_t)c, nz->chars + n, DECOMPOSED_MAX, options,
                                      &boundclass);
        if (got < 0 || got > DECOMPOSED_MAX)
            return error_set(err, "cannot normalize U+%04X: %s", c,
                             got < 0 ? utf8proc_errmsg(got) : "too long");
        n += got;
        at += width;
    }
    if (order_marks(nz->chars, (size_t)n, err) < 0)
        return -1;
    if (compose)
        n = utf8proc_normalize_utf32(nz->chars, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        char bytes[4];

        strbuf_add(out, bytes, utf8_put(bytes, (uint32_t)nz->chars[i]));
    }
    return 0;
}

int normalize_form(struct normalizer *nz, enum norm_form form, const char *text, size_t len,
                   struct strbuf *out, struct error *err)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t copied = 0;   // up to here out is complete
    size_t boundary = 0; // start of the last character that is a boundary
    size_t at = 0;

    while (at < len) {
        size_t n;
        uint32_t c = utf8_get(p + at, &n);
        size_t end;

        if (is_boundary(nz->uc, form, c)) {
            boundary = unicode_class(nz->uc, c) & UC_INERT ? at + n : at;
            at += n;
            continue;
        }
        if (boundary < copied)
            boundary = copied;
        for (end = at + n; end < len; end += n)
            if (is_boundary(nz->uc, form, utf8_get(p + end, &n)))
                break;
        strbuf_add(out, text + copied, boundary - copied);
        if (normalize_region(nz, form, text + boundary, end - boundary, out, err) < 0)
            return -1;
        copied = boundary = at = end;
    }
    strbuf_add(out, text + copied, len - copied);
    return strbuf_check(out, err);
}
