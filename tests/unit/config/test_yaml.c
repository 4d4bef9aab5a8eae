/*
 * What a file means, against OmegaConf and PyYAML.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "config/config_internal.h"
#include "config/pack.h"

static const char *kind_name(enum scalar_kind kind)
{
    static const char *const names[] = { "NoneType", "bool", "int", "float", "str" };

    return names[kind];
}

static char *golden(const char *path)
{
    struct error err;
    char *text = NULL;
    size_t len = 0;

    assert_int_equal(file_read(path, &text, &len, &err), 0);
    return text;
}

/* The line at *p without its newline; moves past it. NULL at the end. */
static char *line_next(char **p)
{
    char *line = *p;
    size_t len = strcspn(line, "\n");

    if (!*line)
        return NULL;
    *p = line + len + (line[len] == '\n');
    line[len] = '\0';
    return line;
}

static void a_plain_word_has_the_type_and_value_that_pyyaml_and_omegaconf_give(void **state)
{
    char *text = golden("tests/golden/config/scalars.tsv"), *p = text, *line, *kind, *value, *yaml;
    struct strbuf shown = { 0 }, doc = { 0 };
    struct tree tree;
    struct scalar scalar;
    struct error err;
    int rows = 0;

    (void)state;
    (void)line_next(&p);
    while ((line = line_next(&p))) {
        kind = strchr(line, '\t');
        *kind++ = '\0';
        value = strchr(kind, '\t');
        *value++ = '\0';
        memset(&tree, 0, sizeof(tree));
        tree.file_name = "words";
        strbuf_reset(&doc);
        strbuf_printf(&doc, "a: %s\n", line);
        yaml = doc.text;
        assert_int_equal(tree_read(&tree, yaml, doc.len, 1, &err), 0);
        scalar_read(&scalar, tree.root->first->text, tree.root->first->quoted);
        assert_string_equal(kind_name(scalar.kind), kind);
        strbuf_reset(&shown);
        scalar_print(&scalar, &shown);
        if (strcmp(strbuf_text(&shown), value) != 0)
            fail_msg("%s: %s, not %s", line, strbuf_text(&shown), value);
        tree_release(&tree);
        rows++;
    }
    assert_true(rows > 100);
    strbuf_release(&shown);
    strbuf_release(&doc);
    free(text);
}

struct one_case {
    struct strbuf yaml;
    char *pairs[8];
    int pair_count;
    char *values[16];
    int value_count;
    int want_error;
};

/* Reads one case; 0 at the end of the file. */
static int case_next(struct one_case *c, char **p)
{
    char *line;

    c->pair_count = c->value_count = c->want_error = 0;
    strbuf_reset(&c->yaml);
    if (!**p)
        return 0;
    while (**p && strncmp(*p, "@case\n", 6) != 0 && (line = line_next(p))) {
        if (strncmp(line, "@pair ", 6) == 0)
            c->pairs[c->pair_count++] = line + 6;
        else if (strncmp(line, "@value ", 7) == 0)
            c->values[c->value_count++] = line + 7;
        else if (strcmp(line, "@error") == 0)
            c->want_error = 1;
        else
            strbuf_printf(&c->yaml, "%s\n", line);
    }
    if (**p)
        (void)line_next(p);
    return 1;
}

static const struct node *find(const struct node *node, char *path)
{
    char *part, *save = NULL;
    long i;

    for (part = strtok_r(path, ".", &save); part; part = strtok_r(NULL, ".", &save)) {
        if (node->kind == NODE_MAP) {
            node = node_child(node, part);
        } else {
            node = node->first;
            for (i = strtol(part, NULL, 10); i > 0; i--)
                node = node->next;
        }
        assert_non_null(node);
    }
    return node;
}

static void unescape(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (*s == '\\') {
            s++;
            *to++ = *s == 'n' ? '\n' : *s == 't' ? '\t' : *s;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

static void check_value(struct unpacked *u, char *line)
{
    struct resolver resolver = { .tree = &u->tree, .env = &u->env };
    struct resolved resolved;
    struct strbuf shown = { 0 };
    struct error err;
    char *kind = strchr(line, ' '), *value;
    const struct node *node;

    *kind++ = '\0';
    value = strchr(kind, ' ');
    *value++ = '\0';
    unescape(value);
    node = find(u->tree.root, line);
    if (resolve(&resolver, node, &resolved, &err) < 0)
        fail_msg("%s", err.msg);
    assert_null(resolved.node);
    assert_string_equal(kind_name(resolved.scalar.kind), kind);
    scalar_print(&resolved.scalar, &shown);
    assert_string_equal(strbuf_text(&shown), value);
    strbuf_release(&shown);
}

static void files_with_references_and_pairs_come_out_as_omegaconf_reads_them(void **state)
{
    char *text = golden("tests/golden/config/cases.txt"), *p = text;
    struct one_case c = { 0 };
    struct strbuf pack = { 0 };
    struct unpacked u;
    struct error err;
    int i, cases = 0;

    (void)state;
    setenv("LOWRANK_TEST_A", "value of a", 1);
    setenv("LOWRANK_TEST_N", "12", 1);
    unsetenv("LOWRANK_TEST_UNSET");
    (void)line_next(&p);
    (void)line_next(&p);
    while (case_next(&c, &p)) {
        memset(&u, 0, sizeof(u));
        strbuf_reset(&pack);
        assert_int_equal(config_pack(&pack, "case", strbuf_text(&c.yaml), c.yaml.len, c.pairs,
                                     c.pair_count, &err),
                         0);
        assert_int_equal(pack_read(&u, pack.text, pack.len, &err), 0);
        assert_int_equal(tree_read(&u.tree, u.yaml, u.yaml_len, 1, &err), 0);
        if (u.tree.root->kind == NODE_SCALAR)
            u.tree.root->kind = NODE_MAP;
        for (i = 0; i < u.pair_count; i++)
            assert_int_equal(tree_merge_pair(&u.tree, u.pairs[i], &err), 0);
        for (i = 0; i < c.value_count; i++)
            check_value(&u, c.values[i]);
        unpacked_release(&u);
        cases++;
    }
    assert_true(cases > 40);
    strbuf_release(&c.yaml);
    strbuf_release(&pack);
    free(text);
}

static void refused(const char *yaml, const char *message)
{
    struct tree tree = { 0 };
    struct error err = { "" };

    tree.file_name = "run.yaml";
    assert_int_equal(tree_read(&tree, yaml, strlen(yaml), 1, &err), -1);
    if (!strstr(err.msg, message))
        fail_msg("'%s', not '%s'", err.msg, message);
    tree_release(&tree);
}

static void what_is_more_than_plain_data_is_refused_with_its_line(void **state)
{
    (void)state;
    refused("a: 1\nb: &x 2\n", "run.yaml:2: anchors");
    refused("a: 1\nb: *x\n", "run.yaml:2: aliases");
    refused("a: !!str 2\n", "run.yaml:1: tags");
    refused("a: 1\n<<: {b: 2}\n", "run.yaml:2: merge keys");
    refused("a: 1\n---\nb: 2\n", "run.yaml:2: a second document");
    refused("a: 1\nb: 2\na: 3\n", "run.yaml:3: 'a' is given twice, first on line 1");
    refused("a: 1\n\tb: 2\n", "run.yaml:2: not YAML");
    refused("a:\n\tb: 2\n", "tab");
    refused("a: [1, 2\n", "not YAML");
    refused("a: \"x\\0y\"\n", "run.yaml:1: a value holds a zero byte");
    refused("? [1]\n: 2\n", "run.yaml:1: a key must be a word");
    refused("a: \xff\n", "not a text file in UTF-8");
}

static void deep_and_large_files_are_refused(void **state)
{
    struct strbuf sb = { 0 };
    int i;

    (void)state;
    strbuf_puts(&sb, "a: ");
    for (i = 0; i < 5000; i++)
        strbuf_putc(&sb, '[');
    refused(strbuf_text(&sb), "nested too deeply");
    strbuf_reset(&sb);
    strbuf_puts(&sb, "a: [");
    for (i = 0; i < CONFIG_NODES_MAX; i++)
        strbuf_puts(&sb, "1,");
    refused(strbuf_text(&sb), "too many keys and values");
    strbuf_reset(&sb);
    for (i = 0; i < 3000; i++)
        strbuf_printf(&sb, "k%d: 1\n", i);
    refused(strbuf_text(&sb), "too many keys in one mapping");
    strbuf_release(&sb);
}

static void amounts_are_read_with_their_units(void **state)
{
    int64_t n;

    (void)state;
    assert_int_equal(bytes_read("16GB", &n), 0);
    assert_int_equal(n, 16000000000);
    assert_int_equal(bytes_read("1.5 GiB", &n), 0);
    assert_int_equal(n, 1610612736);
    assert_int_equal(bytes_read("512M", &n), 0);
    assert_int_equal(n, 536870912);
    assert_int_equal(bytes_read("GB", &n), -1);
    assert_int_equal(bytes_read("-1GB", &n), -1);
    assert_int_equal(bytes_read("1e30GB", &n), -1);
    assert_int_equal(bytes_read("16 GBs", &n), -1);
    assert_int_equal(seconds_read("90m", &n), 0);
    assert_int_equal(n, 5400);
    assert_int_equal(seconds_read("1d2h3m4s", &n), 0);
    assert_int_equal(n, 93784);
    assert_int_equal(seconds_read("12:00:00", &n), 0);
    assert_int_equal(n, 43200);
    assert_int_equal(seconds_read("1-12:00:00", &n), 0);
    assert_int_equal(n, 129600);
    assert_int_equal(seconds_read("30:15", &n), 0);
    assert_int_equal(n, 1815);
    assert_int_equal(seconds_read("2m1h", &n), -1);
    assert_int_equal(seconds_read("1:2:3:4", &n), -1);
    assert_int_equal(seconds_read("1:75", &n), -1);
    assert_int_equal(seconds_read("h", &n), -1);
    assert_int_equal(seconds_read("9999999999s", &n), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_word_has_the_type_and_value_that_pyyaml_and_omegaconf_give),
        cmocka_unit_test(files_with_references_and_pairs_come_out_as_omegaconf_reads_them),
        cmocka_unit_test(what_is_more_than_plain_data_is_refused_with_its_line),
        cmocka_unit_test(deep_and_large_files_are_refused),
        cmocka_unit_test(amounts_are_read_with_their_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
