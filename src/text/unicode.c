/*
 * text/unicode.c: the class table laid out for look-up, and UTF-8.
 */
#include "unicode.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The number of the block with this content, added when it is new; -1 when out of memory. */
static int block_number(struct unicode_classes *uc, const uint16_t *block, size_t *cap,
                        struct error *err)
{
    for (int i = uc->blocks - 1; i >= 0; i--)
        if (memcmp(uc->class[i], block, sizeof(uc->class[i])) == 0)
            return i;
    if (mem_grow(&uc->class, cap, (size_t)uc->blocks + 1, sizeof(*uc->class), err) < 0)
        return -1;
    memcpy(uc->class[uc->blocks], block, sizeof(uc->class[0]));
    return uc->blocks++;
}

int unicode_classes_init(struct unicode_classes *uc, struct error *err)
{
    uint16_t block[256];
    uint32_t c = 0;
    size_t cap = 0;

    *uc = (struct unicode_classes){ 0 };
    for (int r = 0; r < unicode_run_count; r++) {
        for (uint32_t i = 0; i < unicode_runs[r].count; i++, c++) {
            int number;

            block[c & 0xFF] = unicode_runs[r].class;
            if ((c & 0xFF) != 0xFF)
                continue;
            number = block_number(uc, block, &cap, err);
            if (number < 0)
                return -1;
            uc->block[c >> 8] = (uint16_t)number;
        }
    }
    return 0;
}

void unicode_classes_release(struct unicode_classes *uc)
{
    free(uc->class);
    uc->class = NULL;
    uc->blocks = 0;
}

uint32_t unicode_lower(uint32_t c)
{
    int low = 0;
    int high = unicode_lower_run_count;
    const struct unicode_lower_run *run;
    int32_t gap;

    while (low < high) {
        int mid = (low + high) / 2;

        if ((uint32_t)unicode_lower_runs[mid].first <= c)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0)
        return c;
    run = &unicode_lower_runs[low - 1];
    gap = (int32_t)c - run->first;
    if (gap >= run->count * run->step || gap % run->step != 0)
        return c;
    return (uint32_t)((int32_t)c + run->delta);
}

/* Length of the character at p, or 0 when the bytes there are none. Unicode's table 3-7. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    size_t n;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return 0;
    n = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (n > left)
        return 0;
    if (p[0] == 0xE0)
        low = 0xA0;
    else if (p[0] == 0xED)
        high = 0x9F;
    else if (p[0] == 0xF0)
        low = 0x90;
    else if (p[0] == 0xF4)
        high = 0x8F;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

size_t utf8_invalid_at(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t at = 0;

    while (at < len) {
        uint64_t eight;
        size_t n;

        if (len - at >= 8) {
            memcpy(&eight, p + at, 8);
            if ((eight & 0x8080808080808080u) == 0) {
                at += 8;
                continue;
            }
        }
        n = utf8_length(p + at, len - at);
        if (n == 0)
            return at;
        at += n;
    }
    return at;
}

size_t utf8_put(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}
