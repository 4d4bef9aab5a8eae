/*
 * pack.c: everything that a configuration is read from, as one text.
 *
 * A pack is a line "lowrank configuration", then records "<kind> <length>\n"
 * with that many bytes after them:
 *
 *   F  file name        Y  the file's text      O  a pair of the command line
 *   E  NAME=value       U  NAME, a variable that is not set
 *
 * Which variables go in is found without reading YAML: every NAME after
 * "oc.env:", and the two that reading asks for itself.
 */
#include "pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define PACK_TITLE "lowrank configuration\n"
#define ENV_MAX    200 // variables

static const char name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

static void record_add(struct strbuf *pack, char kind, const char *bytes, size_t len)
{
    strbuf_printf(pack, "%c %zu\n", kind, len);
    strbuf_add(pack, bytes, len);
}

/* True for UTF-8 without surrogates, overlong forms and control characters but tab and newline. */
static int is_text(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    unsigned long c, least;
    int more;

    while (*p) {
        c = *p++;
        if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7F || (c >= 0x80 && c < 0xC0) ||
            c > 0xF4)
            return 0;
        more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
        least = more == 3 ? 0x10000 : more == 2 ? 0x800 : more == 1 ? 0x80 : 0;
        if (more)
            c &= 0x3FUL >> more;
        for (; more > 0; more--, p++) {
            if ((*p & 0xC0) != 0x80)
                return 0;
            c = c << 6 | (*p & 0x3F);
        }
        if (c < least || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
            return 0;
    }
    return 1;
}

static int env_add(struct strbuf *pack, const char *name, struct error *err)
{
    struct strbuf pair = { 0 };
    const char *value = getenv(name);

    if (!value) {
        record_add(pack, 'U', name, strlen(name));
        return 0;
    }
    if (!is_text(value))
        return error_set(err, "the environment variable '%s' is not text in UTF-8", name);
    strbuf_printf(&pair, "%s=%s", name, value);
    if (pair.failed)
        pack->failed = 1;
    record_add(pack, 'E', strbuf_text(&pair), pair.len);
    strbuf_release(&pair);
    return 0;
}

/* Adds the variables that "oc.env:" names in these bytes. */
static int env_scan(struct strbuf *pack, const char *text, size_t len, int *count,
                    struct error *err)
{
    static const char mark[] = "oc.env:";
    const size_t mark_len = sizeof(mark) - 1;
    char name[128];
    size_t i, n;

    for (i = 0; i + mark_len <= len; i++) {
        if (memcmp(text + i, mark, mark_len) != 0)
            continue;
        i += mark_len;
        while (i < len && text[i] == ' ')
            i++;
        for (n = 0; i + n < len && n + 1 < sizeof(name) && text[i + n]; n++) {
            if (!strchr(name_chars, text[i + n]))
                break;
            name[n] = text[i + n];
        }
        name[n] = '\0';
        i--;
        if (n == 0)
            continue;
        if (++*count > ENV_MAX)
            return error_set(err, "too many environment variables in the configuration");
        if (env_add(pack, name, err) < 0)
            return -1;
    }
    return 0;
}

int config_pack(struct strbuf *pack, const char *file_name, const char *yaml, size_t len,
                char *const overrides[], int n, struct error *err)
{
    int count = 0, i;

    if (len > CONFIG_FILE_MAX)
        return error_set(err, "%s: larger than %d bytes; this is no configuration", file_name,
                         CONFIG_FILE_MAX);
    strbuf_puts(pack, PACK_TITLE);
    record_add(pack, 'F', file_name, strlen(file_name));
    record_add(pack, 'Y', yaml, len);
    if (env_add(pack, "ALLOW_EXTRA_ARGS", err) < 0 || env_add(pack, "HOME", err) < 0 ||
        env_scan(pack, yaml, len, &count, err) < 0)
        return -1;
    for (i = 0; i < n; i++) {
        if (strlen(overrides[i]) > CONFIG_FILE_MAX)
            return error_set(err, "command line: a pair is too long");
        record_add(pack, 'O', overrides[i], strlen(overrides[i]));
        if (env_scan(pack, overrides[i], strlen(overrides[i]), &count, err) < 0)
            return -1;
    }
    return strbuf_check(pack, err);
}

static int env_append(struct unpacked *u, char *pair, int is_set, struct error *err)
{
    struct env_entry *entries =
        mem_realloc(u->env.entries, (size_t)u->env.n + 1, sizeof(*entries), err);
    char *equals = is_set ? strchr(pair, '=') : NULL;

    if (!entries)
        return -1;
    u->env.entries = entries;
    if (equals)
        *equals++ = '\0';
    entries[u->env.n].name = pair;
    entries[u->env.n].value = equals;
    u->env.n++;
    return 0;
}

static int pair_append(struct unpacked *u, const char *pair, struct error *err)
{
    const char **pairs = mem_realloc(u->pairs, (size_t)u->pair_count + 1, sizeof(*pairs), err);

    if (!pairs)
        return -1;
    u->pairs = pairs;
    pairs[u->pair_count++] = pair;
    return 0;
}

static int record_take(struct unpacked *u, char kind, const char *bytes, size_t len,
                       struct error *err)
{
    char *copy = tree_strndup(&u->tree, bytes, len, err);

    if (!copy)
        return -1;
    switch (kind) {
    case 'F':
        u->tree.file_name = copy;
        return 0;
    case 'Y':
        u->yaml = copy;
        u->yaml_len = len;
        return 0;
    case 'O':
        return pair_append(u, copy, err);
    case 'E':
    case 'U':
        return env_append(u, copy, kind == 'E', err);
    default:
        return error_set(err, "a configuration pack is damaged");
    }
}

/* "<kind> <length>\n" at *p; moves past it. */
static int header_read(const char **p, const char *end, char *kind, size_t *len)
{
    size_t n = 0;
    const char *q = *p;

    if (end - q < 4 || q[1] != ' ')
        return -1;
    *kind = q[0];
    for (q += 2; q < end && *q >= '0' && *q <= '9' && n < SIZE_MAX / 100; q++)
        n = n * 10 + (size_t)(*q - '0');
    if (q == end || *q != '\n' || n > (size_t)(end - q - 1))
        return -1;
    *p = q + 1;
    *len = n;
    return 0;
}

int pack_read(struct unpacked *u, const void *pack, size_t len, struct error *err)
{
    const char *p = pack, *end = p + len;
    const size_t title = sizeof(PACK_TITLE) - 1;
    size_t n;
    char kind;

    if (len < title || memcmp(p, PACK_TITLE, title) != 0)
        return error_set(err, "a configuration pack is damaged");
    for (p += title; p < end; p += n) {
        if (header_read(&p, end, &kind, &n) < 0)
            return error_set(err, "a configuration pack is damaged");
        if (record_take(u, kind, p, n, err) < 0)
            return -1;
    }
    if (!u->tree.file_name || !u->yaml)
        return error_set(err, "a configuration pack is damaged");
    return 0;
}

const char *unpacked_env(const struct unpacked *u, const char *name)
{
    int i;

    for (i = 0; i < u->env.n; i++)
        if (strcmp(u->env.entries[i].name, name) == 0)
            return u->env.entries[i].value;
    return NULL;
}

void unpacked_release(struct unpacked *u)
{
    free(u->env.entries);
    free(u->pairs);
    tree_release(&u->tree);
    memset(u, 0, sizeof(*u));
}
