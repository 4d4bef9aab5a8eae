/*
 * config.c: from a pack to the struct.
 *
 * Defaults first, from the same texts that the table prints; then the keys of
 * the file in their order, so that the first mistake in the file is the one
 * that is reported; then the rules between keys.
 */
#include "config/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "config_internal.h"
#include "pack.h"

struct reading {
    struct config *cfg;
    struct unpacked *u;
    struct resolver resolver;
    struct strbuf idle;  // names of keys without effect
    struct strbuf extra; // names of unknown keys that are let through
    int allow_extra;
};

static int fallback_read(struct value *value, const struct config_key *key, struct reading *r,
                         struct error *err)
{
    struct node node = { .kind = NODE_SCALAR, .line = 0, .name = key->name };

    node.text = key->fallback;
    return value_read(value, key, &node, &r->resolver, 0, err);
}

static int defaults_fill(struct reading *r, struct error *err)
{
    const struct config_key *key;
    struct value value;
    int i;

    for (i = 0; (key = config_key_at(i)); i++) {
        if (key->offset == KEY_NO_FIELD)
            continue;
        if (fallback_read(&value, key, r, err) < 0)
            return -1;
        value_store(r->cfg, key, &value);
    }
    return 0;
}

static void name_add(struct strbuf *names, const char *name)
{
    if (names->len > 0)
        strbuf_puts(names, ", ");
    strbuf_puts(names, name);
}

static int unknown_key(struct reading *r, const struct node *node, struct error *err)
{
    const char *now = config_key_renamed(node->name);
    const char *near = config_key_nearest(node->name);

    if (r->allow_extra) {
        name_add(&r->extra, node->name);
        return 0;
    }
    if (now)
        return node_error(&r->u->tree, node, err, "'%s' is not a key here; write %s", node->name,
                          now);
    if (near)
        return node_error(&r->u->tree, node, err, "unknown key '%.100s'; did you mean '%s'?",
                          node->name, near);
    return node_error(&r->u->tree, node, err, "unknown key '%.100s'; 'lowrank keys' lists all keys",
                      node->name);
}

static int key_without_field(struct reading *r, const struct config_key *key,
                             const struct node *node, struct value *value, struct error *err)
{
    struct value fallback = { 0 };
    int harmless;

    if (fallback_read(&fallback, key, r, err) < 0)
        return -1;
    if (key->type == KEY_ANY)
        harmless = node->kind == NODE_SCALAR && strcmp(node->text, key->fallback) == 0;
    else
        harmless = value->is_null ? 1 : value_equal(key, value, &fallback, err);
    value_release(&fallback);
    if (harmless)
        return harmless > 0 ? 0 : -1;
    if (key->standing == KEY_REFUSED)
        return node_error(&r->u->tree, node, err,
                          "'%s' is not supported and would change the result; leave it at %s (%s)",
                          key->name, key->fallback, key->instead);
    name_add(&r->idle, key->name);
    return 0;
}

static int key_read(struct reading *r, const struct node *node, struct error *err)
{
    const struct config_key *key = config_key_find(node->name);
    struct value value = { 0 };
    int rc;

    if (!key)
        return unknown_key(r, node, err);
    r->resolver.depth = 0;
    if (value_read(&value, key, node, &r->resolver, key->standing == KEY_WORKS, err) < 0)
        return -1;
    if (key->offset != KEY_NO_FIELD) {
        value_store(r->cfg, key, &value);
        return 0;
    }
    rc = key_without_field(r, key, node, &value, err);
    value_release(&value);
    return rc;
}

/* One line to a list: what it says, then the names. */
static int names_note(struct config_list *list, const char *what, const struct strbuf *names,
                      struct error *err)
{
    struct strbuf line = { 0 };
    int rc = -1;

    if (strbuf_check(names, err) < 0)
        return -1;
    if (names->len == 0)
        return 0;
    strbuf_printf(&line, "%s: %s", what, strbuf_text(names));
    if (strbuf_check(&line, err) == 0)
        rc = list_add(list, strbuf_text(&line), err);
    strbuf_release(&line);
    return rc;
}

static int tree_build(struct unpacked *u, struct error *err)
{
    struct tree *tree = &u->tree;
    int i;

    if (tree_read(tree, u->yaml, u->yaml_len, 1, err) < 0)
        return -1;
    if (tree->root->kind == NODE_SCALAR && !tree->root->quoted && tree->root->text[0] == '\0')
        tree->root->kind = NODE_MAP;
    if (tree->root->kind != NODE_MAP)
        return node_error(tree, tree->root, err,
                          "the file is not a mapping; give lines of the form 'key: value'");
    for (i = 0; i < u->pair_count; i++)
        if (tree_merge_pair(tree, u->pairs[i], err) < 0)
            return -1;
    return 0;
}

/* A leading ~/ of output_dir, as transformers expands it. */
static int home_expand(struct reading *r, struct error *err)
{
    const char *home = unpacked_env(r->u, "HOME");
    char **dir = &r->cfg->output_dir;
    struct strbuf sb = { 0 };
    struct value value = { 0 };

    if (strncmp(*dir, "~/", 2) != 0 || !home)
        return 0;
    strbuf_printf(&sb, "%s%s", home, *dir + 1);
    if (strbuf_check(&sb, err) < 0)
        return -1;
    value.text = sb.text;
    value_store(r->cfg, config_key_find("output_dir"), &value);
    return 0;
}

static int is_enabled(const char *value)
{
    return value && (strcasecmp(value, "true") == 0 || strcasecmp(value, "y") == 0 ||
                     strcmp(value, "1") == 0);
}

static int read_all(struct reading *r, struct error *err)
{
    const struct node *node;

    r->resolver.tree = &r->u->tree;
    r->resolver.env = &r->u->env;
    r->allow_extra = is_enabled(unpacked_env(r->u, "ALLOW_EXTRA_ARGS"));
    if (tree_build(r->u, err) < 0 || defaults_fill(r, err) < 0)
        return -1;
    for (node = r->u->tree.root->first; node; node = node->next)
        if (key_read(r, node, err) < 0)
            return -1;
    if (home_expand(r, err) < 0 || config_check(r->cfg, &r->u->tree, err) < 0)
        return -1;
    if (names_note(&r->cfg->notes, "no effect here", &r->idle, err) < 0)
        return -1;
    return names_note(&r->cfg->warnings, "ALLOW_EXTRA_ARGS: unknown keys are left out", &r->extra,
                      err);
}

int config_unpack(struct config *cfg, const void *pack, size_t len, struct error *err)
{
    struct unpacked u = { 0 };
    struct reading r = { .cfg = cfg, .u = &u };
    int rc = -1;

    memset(cfg, 0, sizeof(*cfg));
    if (pack_read(&u, pack, len, err) == 0)
        rc = read_all(&r, err);
    strbuf_release(&r.idle);
    strbuf_release(&r.extra);
    unpacked_release(&u);
    if (rc < 0)
        config_release(cfg);
    return rc;
}

int config_parse(struct config *cfg, const char *yaml, size_t len, const char *file_name,
                 char *const overrides[], int n, struct error *err)
{
    struct strbuf pack = { 0 };
    int rc = -1;

    memset(cfg, 0, sizeof(*cfg));
    if (config_pack(&pack, file_name, yaml, len, overrides, n, err) == 0)
        rc = config_unpack(cfg, pack.text, pack.len, err);
    strbuf_release(&pack);
    return rc;
}

void config_log_notes(const struct config *cfg)
{
    int i;

    for (i = 0; i < cfg->warnings.n; i++)
        log_warn("%s", cfg->warnings.items[i]);
    for (i = 0; i < cfg->notes.n; i++)
        log_info("%s", cfg->notes.items[i]);
}

int64_t config_steps(double value, int64_t total)
{
    return (int64_t)(value < 1 ? ceil(value * (double)total) : value);
}

void config_release(struct config *cfg)
{
    const struct config_key *key;
    struct value value;
    int i;

    for (i = 0; (key = config_key_at(i)); i++) {
        if (key->offset == KEY_NO_FIELD)
            continue;
        value_load(cfg, key, &value);
        value_release(&value);
    }
    memset(&value, 0, sizeof(value));
    value.list = cfg->notes;
    value_release(&value);
    value.list = cfg->warnings;
    value_release(&value);
    memset(cfg, 0, sizeof(*cfg));
}
