/*
 * value.c: a node of the file to a value of its key's type.
 *
 * Text that spells a number or a boolean is taken as one where a key wants
 * one: quotes and `${oc.env:...}` make text of everything, and what is meant
 * is plain. The reverse holds for text keys: 123 is the text "123", but yes
 * is refused there, because YAML has made a boolean of it.
 */
#include "config_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define LIST_MAX 1000 // items of a list value

struct conversion {
    struct value *value;
    const struct config_key *key;
    const struct node *node;
    struct resolver *resolver;
    const struct resolved *resolved;
    int strict;
    struct error *err;
};

static int nullable(const struct config_key *key)
{
    return (key->flags & KEY_NULLABLE) || strcmp(key->fallback, "null") == 0;
}

/* "'lora_rank' is 3.0; give a whole number, 1 to 1024". */
static int refuse(struct conversion *c, const char *wanted)
{
    struct strbuf shown = { 0 }, limits = { 0 };
    int rc;

    if (c->key->flags & KEY_SECRET)
        strbuf_puts(&shown, "not what it should be");
    else
        resolved_print(c->resolved, &shown);
    key_limits_print(c->key, &limits);
    rc = node_error(c->resolver->tree, c->node, c->err, "'%s' is %s; give %s%s%s%s", c->key->name,
                    strbuf_text(&shown), wanted,
                    *wanted && limits.len && !c->key->choices ? ", " : "", strbuf_text(&limits),
                    nullable(c->key) ? " or null" : "");
    strbuf_release(&shown);
    strbuf_release(&limits);
    return rc;
}

/* The scalar, or what its text spells when the text is quoted. */
static struct scalar spelled(const struct resolved *resolved)
{
    struct scalar scalar = resolved->scalar;

    if (scalar.kind == SCALAR_TEXT)
        scalar_read(&scalar, scalar.text, 0);
    return scalar;
}

static int in_limits(const struct config_key *key, double f)
{
    if (!isfinite(f))
        return 0;
    if (key->min == 0 && key->max == 0)
        return 1;
    if (f < key->min || (f == key->min && (key->flags & KEY_ABOVE_MIN)))
        return 0;
    return f < key->max || (f == key->max && !(key->flags & KEY_BELOW_MAX));
}

static int read_bool(struct conversion *c)
{
    struct scalar s = spelled(c->resolved);

    if (s.kind != SCALAR_BOOL && !(s.kind == SCALAR_INT && (s.i == 0 || s.i == 1)))
        return refuse(c, "true or false");
    c->value->i = s.i;
    return 0;
}

static int read_int(struct conversion *c)
{
    struct scalar s = spelled(c->resolved);
    int whole_ok = !c->strict || (c->key->flags & KEY_WHOLE_OK);

    if (s.kind == SCALAR_FLOAT && whole_ok && s.f == floor(s.f) && fabs(s.f) < 9e15) {
        s.kind = SCALAR_INT;
        s.i = (int64_t)s.f;
    }
    if (s.kind != SCALAR_INT)
        return refuse(c, "a whole number");
    if (c->strict && (s.big || !in_limits(c->key, (double)s.i)))
        return refuse(c, "");
    c->value->i = s.i;
    return 0;
}

static int read_float(struct conversion *c)
{
    struct scalar s = spelled(c->resolved);

    if (s.kind != SCALAR_INT && s.kind != SCALAR_FLOAT)
        return refuse(c, "a number");
    if (c->strict && !in_limits(c->key, s.f))
        return refuse(c, "");
    if (c->key->type == KEY_STEPS && s.f >= 1 && s.f != floor(s.f))
        return refuse(c, "a share below 1 or a whole number of steps");
    c->value->f = s.f;
    return 0;
}

static int read_text(struct conversion *c)
{
    const struct scalar *s = &c->resolved->scalar;
    struct strbuf sb = { 0 };
    int rc = -1;

    if (s->kind == SCALAR_BOOL && (c->key->flags & KEY_SWITCH)) {
        c->value->is_null = !s->i;
        c->value->text = s->i ? mem_strdup("true", c->err) : NULL;
        return s->i && !c->value->text ? -1 : 0;
    }
    if (s->kind == SCALAR_BOOL && c->strict)
        return node_error(c->resolver->tree, c->node, c->err,
                          "'%s' is %s, which YAML takes for %s; put it in quotes", c->key->name,
                          s->text, s->i ? "true" : "false");
    if (s->text[0] == '\0' && c->strict && !(c->key->flags & KEY_EMPTY_OK))
        return refuse(c, "a text");
    strbuf_puts(&sb, s->text);
    if (strbuf_check(&sb, c->err) == 0)
        c->value->text = mem_strdup(strbuf_text(&sb), c->err);
    rc = c->value->text ? 0 : -1;
    strbuf_release(&sb);
    return rc;
}

/* True when the word is one of the space-separated words. */
static int in_words(const char *words, const char *word)
{
    size_t len = strlen(word);
    const char *p = words;

    while (p && *p && len > 0) {
        if (strncmp(p, word, len) == 0 && (p[len] == ' ' || p[len] == '\0'))
            return 1;
        p = strchr(p, ' ');
        p = p ? p + 1 : NULL;
    }
    return 0;
}

static int read_choice(struct conversion *c)
{
    const struct scalar *s = &c->resolved->scalar;
    const char *word = s->text;

    if (s->kind == SCALAR_BOOL && !s->i && in_words(c->key->choices, "no"))
        word = "no";
    if (in_words(c->key->choices, word)) {
        c->value->text = mem_strdup(word, c->err);
        return c->value->text ? 0 : -1;
    }
    if (in_words(c->key->others, word))
        return node_error(c->resolver->tree, c->node, c->err,
                          "'%s' is '%s', which lowrank does not do; give %s%s", c->key->name, word,
                          strchr(c->key->choices, ' ') ? "one of " : "", c->key->choices);
    return refuse(c, strchr(c->key->choices, ' ') ? "one of " : "");
}

int list_add(struct config_list *list, const char *text, struct error *err)
{
    char **items = mem_realloc(list->items, (size_t)list->n + 1, sizeof(*items), err);

    if (!items)
        return -1;
    list->items = items;
    items[list->n] = mem_strdup(text, err);
    return items[list->n] ? (list->n++, 0) : -1;
}

static int list_add_item(struct conversion *c, const char *text, size_t len)
{
    char *item;
    int rc;

    while (len > 0 && strchr(" \t\n", text[0]))
        text++, len--;
    while (len > 0 && strchr(" \t\n", text[len - 1]))
        len--;
    if (len == 0 && c->strict)
        return node_error(c->resolver->tree, c->node, c->err,
                          "'%s' has an empty item; give names separated by commas", c->key->name);
    if (c->value->list.n >= LIST_MAX)
        return node_error(c->resolver->tree, c->node, c->err, "'%s' has too many items",
                          c->key->name);
    item = mem_strndup(text, len, c->err);
    if (!item)
        return -1;
    rc = list_add(&c->value->list, item, c->err);
    free(item);
    return rc;
}

static int read_comma_list(struct conversion *c, const char *text)
{
    const char *comma;

    do {
        comma = strchr(text, ',');
        if (list_add_item(c, text, comma ? (size_t)(comma - text) : strlen(text)) < 0)
            return -1;
        text = comma ? comma + 1 : NULL;
    } while (text);
    return 0;
}

static int read_list(struct conversion *c)
{
    struct resolved item;
    struct node *child;

    if (!c->resolved->node) {
        if (c->resolved->scalar.kind == SCALAR_BOOL)
            return refuse(c, "names separated by commas");
        return read_comma_list(c, c->resolved->scalar.text);
    }
    if (c->resolved->node->kind != NODE_LIST)
        return refuse(c, "names separated by commas");
    for (child = c->resolved->node->first; child; child = child->next) {
        if (resolve(c->resolver, child, &item, c->err) < 0)
            return -1;
        if (item.node || item.scalar.kind == SCALAR_NULL)
            return refuse(c, "a list of names");
        if (list_add_item(c, item.scalar.text, strlen(item.scalar.text)) < 0)
            return -1;
    }
    c->value->is_null = c->value->list.n == 0;
    return c->value->is_null && c->strict && !nullable(c->key) ? refuse(c, "a name") : 0;
}

static int map_add(struct config_map *map, const char *key, const char *value, struct error *err)
{
    struct config_entry *entries =
        mem_realloc(map->entries, (size_t)map->n + 1, sizeof(*entries), err);
    struct config_entry *entry;

    if (!entries)
        return -1;
    map->entries = entries;
    entry = &entries[map->n];
    entry->key = mem_strdup(key, err);
    entry->value = entry->key ? mem_strdup(value, err) : NULL;
    if (!entry->value) {
        free(entry->key);
        return -1;
    }
    map->n++;
    return 0;
}

/* How an entry of a mapping is kept as text: numbers as Python writes them. */
static void entry_print(const struct scalar *s, struct strbuf *out)
{
    if (s->kind == SCALAR_NULL)
        strbuf_puts(out, "null");
    else if (s->kind == SCALAR_BOOL)
        strbuf_puts(out, s->i ? "true" : "false");
    else
        scalar_print(s, out);
}

static int read_entries(struct conversion *c, const struct node *map)
{
    struct strbuf sb = { 0 };
    struct resolved item;
    struct scalar scalar;
    struct node *child;
    int rc = -1;

    for (child = map->first; child; child = child->next) {
        if (resolve(c->resolver, child, &item, c->err) < 0)
            goto out;
        if (item.node) {
            (void)refuse(c, "a flat mapping, as {min_lr_rate: 0.1}");
            goto out;
        }
        scalar = spelled(&item);
        strbuf_reset(&sb);
        entry_print(&scalar, &sb);
        if (strbuf_check(&sb, c->err) < 0)
            goto out;
        if (map_add(&c->value->map, child->name, strbuf_text(&sb), c->err) < 0)
            goto out;
    }
    c->value->is_null = c->value->map.n == 0;
    rc = 0;
out:
    strbuf_release(&sb);
    return rc;
}

static int read_map(struct conversion *c)
{
    struct tree *tree = c->resolver->tree;
    const struct node *map = c->resolved->node;
    struct node *root = tree->root, *parsed;
    const char *text = c->resolved->scalar.text;
    int rc;

    if (!map) {
        if (c->resolved->scalar.kind != SCALAR_TEXT || text[0] != '{')
            return refuse(c, "a mapping, as {min_lr_rate: 0.1}");
        rc = tree_read(tree, text, strlen(text), c->node->line, c->err);
        parsed = tree->root;
        tree->root = root;
        if (rc < 0)
            return error_wrap(c->err, "'%s'", c->key->name);
        map = parsed;
    }
    if (map->kind != NODE_MAP)
        return refuse(c, "a mapping, as {min_lr_rate: 0.1}");
    return read_entries(c, map);
}

static int read_amount(struct conversion *c)
{
    const struct scalar *s = &c->resolved->scalar;
    struct scalar spelt = spelled(c->resolved);
    int is_bytes = c->key->type == KEY_BYTES;
    const char *wanted = is_bytes ? "bytes, as 16GB" : "seconds, 90m or 12:00:00";

    if (spelt.kind == SCALAR_INT && !strchr(s->text, ':')) {
        c->value->i = spelt.i;
        if (spelt.big)
            return refuse(c, wanted);
    } else if ((is_bytes ? bytes_read : seconds_read)(s->text, &c->value->i) < 0) {
        return refuse(c, wanted);
    }
    return in_limits(c->key, (double)c->value->i) ? 0 : refuse(c, wanted);
}

static int convert(struct conversion *c)
{
    enum key_type type = c->key->type;

    if (type == KEY_ANY)
        return 0;
    if (!c->resolved->node && c->resolved->scalar.kind == SCALAR_NULL) {
        c->value->is_null = 1;
        if (nullable(c->key) || !c->strict || (type == KEY_BOOL && c->key->fallback[0] == 'f'))
            return 0;
        return refuse(c, "a value");
    }
    if (c->resolved->node && type != KEY_LIST && type != KEY_MAP)
        return refuse(c, type == KEY_CHOICE ? "one of " : "a single value");
    switch (type) {
    case KEY_BOOL:
        return read_bool(c);
    case KEY_INT:
        return read_int(c);
    case KEY_FLOAT:
    case KEY_STEPS:
        return read_float(c);
    case KEY_CHOICE:
        return read_choice(c);
    case KEY_LIST:
        return read_list(c);
    case KEY_MAP:
        return read_map(c);
    case KEY_BYTES:
    case KEY_SECONDS:
        return read_amount(c);
    default:
        return read_text(c);
    }
}

int value_read(struct value *value, const struct config_key *key, const struct node *node,
               struct resolver *resolver, int strict, struct error *err)
{
    struct resolved resolved;
    struct conversion c = { value, key, node, resolver, &resolved, strict, err };

    memset(value, 0, sizeof(*value));
    if (resolve(resolver, node, &resolved, err) < 0)
        return -1;
    if (convert(&c) == 0)
        return 0;
    value_release(value);
    return -1;
}

static void list_release(struct config_list *list)
{
    int i;

    for (i = 0; i < list->n; i++)
        free(list->items[i]);
    free(list->items);
}

static void map_release(struct config_map *map)
{
    int i;

    for (i = 0; i < map->n; i++) {
        free(map->entries[i].key);
        free(map->entries[i].value);
    }
    free(map->entries);
}

void value_release(struct value *value)
{
    free(value->text);
    list_release(&value->list);
    map_release(&value->map);
    memset(value, 0, sizeof(*value));
}
