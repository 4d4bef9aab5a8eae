/*
 * field.c: values into and out of the fields of struct config, and as YAML.
 */
#include "config_internal.h"

#include <stdlib.h>
#include <string.h>

static void *field_of(struct config *cfg, const struct config_key *key)
{
    return (char *)cfg + key->offset;
}

static int64_t int_get(const void *field, int size)
{
    return size == (int)sizeof(int64_t) ? *(const int64_t *)field : *(const int *)field;
}

static void int_set(void *field, int size, int64_t i)
{
    if (size == (int)sizeof(int64_t))
        *(int64_t *)field = i;
    else
        *(int *)field = (int)i;
}

void value_load(const struct config *cfg, const struct config_key *key, struct value *value)
{
    const void *field = (const char *)cfg + key->offset;
    int may_be_null = (key->flags & KEY_NULLABLE) || strcmp(key->fallback, "null") == 0;

    memset(value, 0, sizeof(*value));
    switch (key->type) {
    case KEY_BOOL:
    case KEY_INT:
    case KEY_BYTES:
    case KEY_SECONDS:
        value->i = int_get(field, key->size);
        value->is_null = may_be_null && value->i == key->null_as &&
                         key->null_as <= (key->type == KEY_BOOL ? -1 : 0);
        break;
    case KEY_FLOAT:
    case KEY_STEPS:
        value->f = *(const double *)field;
        value->is_null = may_be_null && value->f == 0;
        break;
    case KEY_LIST:
        value->list = *(const struct config_list *)field;
        value->is_null = value->list.n == 0;
        break;
    case KEY_MAP:
        value->map = *(const struct config_map *)field;
        value->is_null = value->map.n == 0;
        break;
    default:
        value->text = *(char *const *)field;
        value->is_null = !value->text;
        break;
    }
}

void value_store(struct config *cfg, const struct config_key *key, struct value *value)
{
    void *field = field_of(cfg, key);
    struct value old = { 0 };

    switch (key->type) {
    case KEY_BOOL:
    case KEY_INT:
    case KEY_BYTES:
    case KEY_SECONDS:
        int_set(field, key->size, value->is_null ? key->null_as : value->i);
        break;
    case KEY_FLOAT:
    case KEY_STEPS:
        *(double *)field = value->is_null ? 0 : value->f;
        break;
    case KEY_LIST:
        old.list = *(struct config_list *)field;
        *(struct config_list *)field = value->list;
        memset(&value->list, 0, sizeof(value->list));
        break;
    case KEY_MAP:
        old.map = *(struct config_map *)field;
        *(struct config_map *)field = value->map;
        memset(&value->map, 0, sizeof(value->map));
        break;
    default:
        old.text = *(char **)field;
        *(char **)field = value->text;
        value->text = NULL;
        break;
    }
    value_release(&old);
    value_release(value);
}

static void list_print(const struct config_list *list, struct strbuf *out)
{
    int i;

    strbuf_putc(out, '[');
    for (i = 0; i < list->n; i++) {
        strbuf_puts(out, i ? ", " : "");
        text_print(list->items[i], out);
    }
    strbuf_putc(out, ']');
}

/* Numbers, booleans and null were spelled out as text, so they go out plain. */
static void map_print(const struct config_map *map, struct strbuf *out)
{
    struct scalar scalar;
    int i;

    strbuf_putc(out, '{');
    for (i = 0; i < map->n; i++) {
        strbuf_puts(out, i ? ", " : "");
        key_text_print(map->entries[i].key, out);
        strbuf_puts(out, ": ");
        scalar_read(&scalar, map->entries[i].value, 0);
        if (scalar.kind == SCALAR_TEXT || map->entries[i].value[0] == '\0')
            text_print(map->entries[i].value, out);
        else
            strbuf_puts(out, map->entries[i].value);
    }
    strbuf_putc(out, '}');
}

void value_print(const struct config_key *key, const struct value *value, struct strbuf *out)
{
    if (value->is_null) {
        strbuf_puts(out, "null");
        return;
    }
    switch (key->type) {
    case KEY_BOOL:
        strbuf_puts(out, value->i ? "true" : "false");
        break;
    case KEY_INT:
    case KEY_BYTES:
    case KEY_SECONDS:
        strbuf_printf(out, "%lld", (long long)value->i);
        break;
    case KEY_FLOAT:
    case KEY_STEPS:
        scalar_print_double(value->f, out);
        break;
    case KEY_LIST:
        list_print(&value->list, out);
        break;
    case KEY_MAP:
        map_print(&value->map, out);
        break;
    default:
        if ((key->flags & KEY_SWITCH) && strcmp(value->text, "true") == 0)
            strbuf_puts(out, "true");
        else
            text_print(value->text, out);
        break;
    }
}

int value_equal(const struct config_key *key, const struct value *a, const struct value *b,
                struct error *err)
{
    struct strbuf ta = { 0 }, tb = { 0 };
    int equal = -1;

    value_print(key, a, &ta);
    value_print(key, b, &tb);
    if (strbuf_check(&ta, err) == 0 && strbuf_check(&tb, err) == 0)
        equal = strcmp(strbuf_text(&ta), strbuf_text(&tb)) == 0;
    strbuf_release(&ta);
    strbuf_release(&tb);
    return equal;
}
