/*
 * print.c: the configuration as YAML, what of it decides the result, and the
 * table of keys for people.
 */
#include <string.h>

#include "config/config.h"
#include "config_internal.h"

static void line_print(const struct config *cfg, const struct config_key *key, struct strbuf *out)
{
    struct value value;

    value_load(cfg, key, &value);
    strbuf_printf(out, "%s: ", key->name);
    value_print(key, &value, out);
    strbuf_putc(out, '\n');
}

void config_dump(const struct config *cfg, struct strbuf *out)
{
    const struct config_key *key;
    int i;

    for (i = 0; (key = config_key_at(i)); i++)
        if (key->offset != KEY_NO_FIELD)
            line_print(cfg, key, out);
}

/* Keys that another key has put out of action. */
static int is_idle(const struct config *cfg, const struct config_key *key)
{
    if ((key->flags & KEY_IF_PACKING) && !cfg->packing)
        return 1;
    if (strcmp(key->name, "num_train_epochs") == 0)
        return cfg->max_steps > 0;
    return strcmp(key->name, "warmup_ratio") == 0 && cfg->warmup_steps > 0;
}

void config_result_text(const struct config *cfg, struct strbuf *out)
{
    struct config plain = *cfg; // borrows all strings
    const struct config_key *key;
    int i;

    if (plain.data_seed < 0)
        plain.data_seed = plain.seed;
    if (plain.max_steps <= 0)
        plain.max_steps = -1;
    for (i = 0; (key = config_key_at(i)); i++)
        if ((key->flags & KEY_RESULT) && !is_idle(cfg, key))
            line_print(&plain, key, out);
}

/* "int, 1 to 1024; default 8". */
static void type_print(const struct config_key *key, struct strbuf *out)
{
    struct strbuf limits = { 0 };

    key_limits_print(key, &limits);
    if (limits.failed)
        out->failed = 1;
    strbuf_printf(out, "%s%s%s", config_key_type_name(key), limits.len ? ", " : "",
                  strbuf_text(&limits));
    strbuf_release(&limits);
}

void config_keys_print(struct strbuf *out)
{
    const struct config_key *key;
    int group = -1, i;

    for (i = 0; (key = config_key_at(i)); i++) {
        if ((int)key->group != group) {
            group = (int)key->group;
            strbuf_printf(out, "%s%s\n", i ? "\n" : "", config_key_group_name(key->group));
        }
        strbuf_printf(out, "  %s (", key->name);
        type_print(key, out);
        strbuf_printf(out, "; default %s)%s%s\n", *key->fallback ? key->fallback : "empty",
                      key->standing == KEY_WORKS ? "" : "  ",
                      key->standing == KEY_WORKS ? "" : config_key_standing_name(key));
        strbuf_printf(out, "      %s\n", key->meaning);
    }
}

static void markdown_head(struct strbuf *out)
{
    strbuf_puts(
        out,
        "# Keys\n"
        "\n"
        "<!-- written by `lowrank keys --markdown`; do not edit -->\n"
        "\n"
        "All keys of a configuration file. *works*: read and checked. *no effect here*: accepted,\n"
        "and named in one line of the log when its value is not the default. *not supported*: the\n"
        "default is accepted, a value that would change the result is an error.\n"
        "\n"
        "A *list* is written `a, b` or `[a, b]`. *steps* are a whole number of steps, or a share\n"
        "of all steps below 1. *bytes* may have a unit (`16GB`, `512MiB`), and so may a *time*\n"
        "(`90m`, `12:00:00`, `1-12:00:00`); without one it counts seconds.\n");
}

void config_keys_markdown(struct strbuf *out)
{
    const struct config_key *key;
    int group = -1, i;

    markdown_head(out);
    for (i = 0; (key = config_key_at(i)); i++) {
        if ((int)key->group != group) {
            group = (int)key->group;
            strbuf_printf(out,
                          "\n## %s\n\n| key | type | default | standing | meaning |\n"
                          "|---|---|---|---|---|\n",
                          config_key_group_name(key->group));
        }
        strbuf_printf(out, "| `%s` | ", key->name);
        type_print(key, out);
        strbuf_printf(out, " | %s%s%s | %s | %s |\n", *key->fallback ? "`" : "",
                      *key->fallback ? key->fallback : "empty", *key->fallback ? "`" : "",
                      config_key_standing_name(key), key->meaning);
    }
}
