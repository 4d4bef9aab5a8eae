/*
 * merge.c: "key=value" pairs of the command line over the file.
 *
 * A value is read as YAML, so it has the type that it would have in the file;
 * "key=" is null. "map.key=value" reaches into a mapping, and a mapping given
 * for a mapping is merged entry by entry, as OmegaConf does both.
 */
#include "config_internal.h"

#include <string.h>

static void child_set(struct node *map, struct node *child)
{
    struct node **slot = &map->first;
    struct node *last = NULL;

    while (*slot && strcmp((*slot)->name, child->name) != 0) {
        last = *slot;
        slot = &last->next;
    }
    child->next = *slot ? (*slot)->next : NULL;
    *slot = child;
    if (!child->next)
        map->last = child;
}

/* over replaces the child of the same name, or is merged into it when both are mappings. */
static void node_merge(struct node *map, struct node *over)
{
    struct node *under = node_child(map, over->name);
    struct node *child, *next;

    if (!under || under->kind != NODE_MAP || over->kind != NODE_MAP) {
        child_set(map, over);
        return;
    }
    for (child = over->first; child; child = next) {
        next = child->next;
        node_merge(under, child);
    }
}

/* Wraps value in mappings for the parts of the path but the first. */
static struct node *wrap(struct tree *tree, char *path, struct node *value, struct error *err)
{
    char *dot = strrchr(path, '.');
    struct node *map;

    while (dot) {
        *dot = '\0';
        value->name = dot + 1;
        map = tree_alloc(tree, sizeof(*map), err);
        if (!map)
            return NULL;
        map->kind = NODE_MAP;
        map->first = map->last = value;
        value = map;
        dot = strrchr(path, '.');
    }
    value->name = path;
    return value;
}

static int path_is_sound(const char *path)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "_-.";
    size_t len = strlen(path);
    int dots = 0;
    const char *p;

    for (p = path; *p; p++)
        dots += *p == '.';
    return len > 0 && strspn(path, allowed) == len && path[0] != '.' && path[len - 1] != '.' &&
           !strstr(path, "..") && dots < CONFIG_DEPTH_MAX;
}

int tree_merge_pair(struct tree *tree, const char *pair, struct error *err)
{
    const char *equals = strchr(pair, '=');
    struct node *root = tree->root, *value;
    char *path;

    if (!equals)
        return error_set(err, "command line: '%.100s' is not of the form key=value", pair);
    path = tree_strndup(tree, pair, (size_t)(equals - pair), err);
    if (!path)
        return -1;
    if (path[0] && !path_is_sound(path))
        return error_set(err, "command line: '%.100s' is no name of a key", path);
    if (!path[0])
        return error_set(err, "command line: '%.100s' has no key before the '='", pair);
    if (tree_read(tree, equals + 1, strlen(equals + 1), 0, err) < 0) {
        tree->root = root;
        return error_wrap(err, "'%.100s'", pair);
    }
    value = wrap(tree, path, tree->root, err);
    tree->root = root;
    if (!value)
        return -1;
    node_merge(root, value);
    return 0;
}
