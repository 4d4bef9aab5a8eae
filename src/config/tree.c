/*
 * tree.c: YAML text to a tree of nodes.
 *
 * libyaml's events are read one by one, so that depth and number of nodes are
 * limited while reading. Whatever could make a small file large (aliases) or
 * means more than plain data (tags, merge keys) is refused.
 */
#include "config_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"

#define CHILDREN_MAX 2000 // keys of one mapping

struct reader {
    struct tree *tree;
    yaml_parser_t parser;
    const char *yaml;
    size_t len;
    int line; // of the text's first; 0: command line
    struct error *err;
};

void *tree_alloc(struct tree *tree, size_t size, struct error *err)
{
    void *block;

    if (mem_grow(&tree->blocks, &tree->block_cap, tree->block_count + 1, sizeof(*tree->blocks),
                 err) < 0)
        return NULL;
    block = mem_alloc(1, size, err);
    if (block)
        tree->blocks[tree->block_count++] = block;
    return block;
}

char *tree_strndup(struct tree *tree, const char *s, size_t len, struct error *err)
{
    char *copy = tree_alloc(tree, size_add(len, 1), err);

    if (copy && len > 0)
        memcpy(copy, s, len);
    return copy;
}

void tree_release(struct tree *tree)
{
    size_t i;

    for (i = 0; i < tree->block_count; i++)
        free(tree->blocks[i]);
    free(tree->blocks);
    memset(tree, 0, sizeof(*tree));
}

int node_error(const struct tree *tree, const struct node *node, struct error *err, const char *fmt,
               ...)
{
    char msg[ERROR_MSG_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    if (!node)
        return error_set(err, "%s: %s", tree->file_name, msg);
    if (node->line == 0)
        return error_set(err, "command line: %s", msg);
    return error_set(err, "%s:%d: %s", tree->file_name, node->line, msg);
}

struct node *node_child(const struct node *map, const char *name)
{
    struct node *child;

    if (map->kind != NODE_MAP)
        return NULL;
    for (child = map->first; child; child = child->next)
        if (strcmp(child->name, name) == 0)
            return child;
    return NULL;
}

static int reader_fail(struct reader *reader, size_t line, const char *msg)
{
    if (!reader->line)
        return error_set(reader->err, "command line: %s", msg);
    return error_set(reader->err, "%s:%zu: %s", reader->tree->file_name,
                     (size_t)reader->line + line, msg);
}

/* The line where libyaml stopped, which counts one more at the end of a text without a newline; *tab: at a tab. */
static size_t stopped_in(const struct reader *reader, int *tab)
{
    size_t line = 0, i = 0;
    const yaml_mark_t *mark = &reader->parser.problem_mark;

    while (i < reader->len && line < mark->line) {
        if (reader->yaml[i] == '\n')
            line++;
        i++;
    }
    i += mark->column;
    *tab = i < reader->len && reader->yaml[i] == '\t';
    return line;
}

static int syntax_error(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    int tab;
    size_t line = stopped_in(reader, &tab);
    char msg[256];

    if (parser->error == YAML_MEMORY_ERROR)
        return error_set(reader->err, "out of memory");
    if (parser->error == YAML_READER_ERROR)
        snprintf(msg, sizeof(msg), "not a text file in UTF-8: %s at byte %zu",
                 parser->problem ? parser->problem : "unreadable", parser->problem_offset);
    else
        snprintf(msg, sizeof(msg), "not YAML: %s%s",
                 parser->problem ? parser->problem : "unreadable",
                 tab ? "; this is a tab, indent with spaces" : "");
    return reader_fail(reader, line, msg);
}

static int event_next(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return 0;
    return syntax_error(reader);
}

static int event_allowed(struct reader *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    size_t line = event->start_mark.line;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return reader_fail(reader, line, "aliases (*name) are not read; use ${key}");
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor)
        return reader_fail(reader, line, "anchors (&name) are not read; use ${key}");
    if (tag)
        return reader_fail(reader, line, "tags (!name) are not read; leave the tag out");
    return 0;
}

static int line_of(const struct reader *reader, const yaml_event_t *event)
{
    return reader->line ? reader->line + (int)event->start_mark.line : 0;
}

static struct node *node_new(struct reader *reader, const yaml_event_t *event)
{
    struct node *node;

    if (++reader->tree->node_count > CONFIG_NODES_MAX) {
        (void)reader_fail(reader, event->start_mark.line, "too many keys and values");
        return NULL;
    }
    node = tree_alloc(reader->tree, sizeof(*node), reader->err);
    if (node)
        node->line = line_of(reader, event);
    return node;
}

static char *scalar_text(struct reader *reader, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;

    if (memchr(value, 0, len)) {
        (void)reader_fail(reader, event->start_mark.line, "a value holds a zero byte");
        return NULL;
    }
    return tree_strndup(reader->tree, value, len, reader->err);
}

static void node_append(struct node *parent, struct node *child)
{
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

static int node_read(struct reader *reader, const yaml_event_t *event, int depth,
                     struct node **out);

/* Checks a mapping's key and copies it. */
static char *key_read(struct reader *reader, const yaml_event_t *event, const struct node *map)
{
    const struct node *twin;
    char msg[200];
    char *name;

    if (event_allowed(reader, event) < 0)
        return NULL;
    if (event->type != YAML_SCALAR_EVENT) {
        (void)reader_fail(reader, event->start_mark.line, "a key must be a word");
        return NULL;
    }
    name = scalar_text(reader, event);
    if (!name)
        return NULL;
    twin = node_child(map, name);
    if (twin && reader->line) {
        snprintf(msg, sizeof(msg), "'%.100s' is given twice, first on line %d; remove one", name,
                 twin->line);
        (void)reader_fail(reader, event->start_mark.line, msg);
        return NULL;
    }
    if (twin || strcmp(name, "<<") == 0) {
        (void)reader_fail(reader, event->start_mark.line,
                          twin ? "a key is given twice in one value"
                               : "merge keys (<<) are not read; write the keys out");
        return NULL;
    }
    return name;
}

static int map_read(struct reader *reader, struct node *map, int depth)
{
    yaml_event_t event;
    struct node *child;
    char *name;
    int count = 0, line;

    for (;;) {
        if (event_next(reader, &event) < 0)
            return -1;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return 0;
        }
        line = line_of(reader, &event);
        name = ++count > CHILDREN_MAX ? NULL : key_read(reader, &event, map);
        if (count > CHILDREN_MAX)
            (void)reader_fail(reader, event.start_mark.line, "too many keys in one mapping");
        yaml_event_delete(&event);
        if (!name || event_next(reader, &event) < 0)
            return -1;
        if (node_read(reader, &event, depth, &child) < 0)
            return -1;
        child->name = name;
        child->line = line;
        node_append(map, child);
    }
}

static int list_read(struct reader *reader, struct node *list, int depth)
{
    yaml_event_t event;
    struct node *child;

    for (;;) {
        if (event_next(reader, &event) < 0)
            return -1;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return 0;
        }
        if (node_read(reader, &event, depth, &child) < 0)
            return -1;
        node_append(list, child);
    }
}

/* Reads the value that begins with this event, and deletes the event. */
static int node_read(struct reader *reader, const yaml_event_t *event, int depth, struct node **out)
{
    yaml_event_t own = *event;
    yaml_event_type_t type = own.type;
    struct node *node = NULL;
    int rc = -1;

    *out = NULL;
    if (event_allowed(reader, &own) < 0)
        goto out;
    if (depth > CONFIG_DEPTH_MAX) {
        (void)reader_fail(reader, own.start_mark.line, "nested too deeply");
        goto out;
    }
    node = node_new(reader, &own);
    if (!node)
        goto out;
    if (type == YAML_SCALAR_EVENT) {
        node->kind = NODE_SCALAR;
        node->quoted = own.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        node->text = scalar_text(reader, &own);
        if (!node->text)
            goto out;
    }
    *out = node;
    rc = 0;
out:
    yaml_event_delete(&own);
    if (rc < 0 || type == YAML_SCALAR_EVENT)
        return rc;
    node->kind = type == YAML_MAPPING_START_EVENT ? NODE_MAP : NODE_LIST;
    return node->kind == NODE_MAP ? map_read(reader, node, depth + 1)
                                  : list_read(reader, node, depth + 1);
}

static int null_root(struct reader *reader)
{
    struct tree *tree = reader->tree;

    tree->root = tree_alloc(tree, sizeof(*tree->root), reader->err);
    if (!tree->root)
        return -1;
    tree->root->line = reader->line;
    tree->root->text = tree_strndup(tree, "", 0, reader->err);
    return tree->root->text ? 0 : -1;
}

/* After the first document nothing may follow. */
static int only_one(struct reader *reader)
{
    yaml_event_t event;
    yaml_event_type_t type;
    size_t line;

    do {
        if (event_next(reader, &event) < 0)
            return -1;
        type = event.type;
        line = event.start_mark.line;
        yaml_event_delete(&event);
        if (type == YAML_DOCUMENT_START_EVENT)
            return reader_fail(reader, line, "a second document begins here; give one");
    } while (type != YAML_STREAM_END_EVENT);
    return 0;
}

static int document_read(struct reader *reader)
{
    yaml_event_t event;
    yaml_event_type_t type;

    do {
        if (event_next(reader, &event) < 0)
            return -1;
        type = event.type;
        if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT ||
            type == YAML_STREAM_END_EVENT)
            yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT)
            return null_root(reader);
    } while (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT);
    if (node_read(reader, &event, 0, &reader->tree->root) < 0)
        return -1;
    return only_one(reader);
}

int tree_read(struct tree *tree, const char *yaml, size_t len, int line, struct error *err)
{
    struct reader reader = { .tree = tree, .yaml = yaml, .len = len, .line = line, .err = err };
    int rc;

    if (!yaml_parser_initialize(&reader.parser))
        return error_set(err, "out of memory");
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)yaml, len);
    rc = document_read(&reader);
    yaml_parser_delete(&reader.parser);
    return rc;
}
