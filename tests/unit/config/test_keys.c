/*
 * The table of keys against the fields of LLaMA-Factory and transformers.
 */
#include "config/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "config/config.h"
#include "config/config_internal.h"

/* Defaults of ours that differ from the dataclass field, and why. */
static const char *const other_defaults[] = {
    "output_dir", // null there, replaced by trainer_output on reading
};

static int default_may_differ(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(other_defaults) / sizeof(other_defaults[0]); i++)
        if (strcmp(other_defaults[i], name) == 0)
            return 1;
    return 0;
}

static int same_default(const char *a, const char *b)
{
    struct scalar x, y;

    scalar_read(&x, a, 0);
    scalar_read(&y, b, 0);
    if ((x.kind == SCALAR_INT || x.kind == SCALAR_FLOAT) &&
        (y.kind == SCALAR_INT || y.kind == SCALAR_FLOAT))
        return x.f == y.f;
    if (x.kind == SCALAR_NULL && y.kind == SCALAR_NULL)
        return 1;
    return strcmp(a, b) == 0;
}

/* Cuts the next tab-separated part off *p. */
static char *part(char **p)
{
    char *start = *p;
    char *tab = strchr(start, '\t');

    if (tab) {
        *tab = '\0';
        *p = tab + 1;
    } else {
        *p = start + strlen(start);
    }
    return start;
}

static void each_field(void (*look)(const char *name, const char *type, const char *fallback))
{
    struct error err;
    char *text, *line, *next, *name, *type;
    size_t len;
    int rows = 0;

    assert_int_equal(file_read("tests/golden/config/fields.tsv", &text, &len, &err), 0);
    for (line = text; *line; line = next) {
        next = strchr(line, '\n');
        *next++ = '\0';
        if (*line == '#')
            continue;
        (void)part(&line);
        name = part(&line);
        type = part(&line);
        look(name, type, part(&line));
        rows++;
    }
    assert_true(rows > 300);
    free(text);
}

static void look_known(const char *name, const char *type, const char *fallback)
{
    (void)type;
    (void)fallback;
    if (!config_key_find(name))
        fail_msg("no key '%s'", name);
}

static void every_field_of_llamafactory_and_transformers_is_a_key(void **state)
{
    (void)state;
    each_field(look_known);
}

static void look_default(const char *name, const char *type, const char *fallback)
{
    const struct config_key *key = config_key_find(name);

    (void)type;
    if (strcmp(fallback, "?") == 0 || default_may_differ(name))
        return;
    if (!same_default(key->fallback, fallback))
        fail_msg("'%s' is %s by default, not %s", name, fallback, key->fallback);
}

static void defaults_are_those_of_llamafactory_and_transformers(void **state)
{
    (void)state;
    each_field(look_default);
}

static int type_fits(enum key_type ours, const char *type)
{
    if (ours == KEY_BOOL)
        return strstr(type, "bool") != NULL;
    if (ours == KEY_INT)
        return strstr(type, "int") != NULL;
    if (ours == KEY_FLOAT || ours == KEY_STEPS)
        return strstr(type, "float") != NULL;
    return strcmp(type, "bool") != 0 && strcmp(type, "int") != 0 && strcmp(type, "float") != 0;
}

static void look_type(const char *name, const char *type, const char *fallback)
{
    const struct config_key *key = config_key_find(name);

    (void)fallback;
    if (!type_fits(key->type, type))
        fail_msg("'%s' is %s, not %s", name, type, config_key_type_name(key));
}

static void types_are_those_of_llamafactory_and_transformers(void **state)
{
    (void)state;
    each_field(look_type);
}

static void no_key_stands_twice_in_the_table(void **state)
{
    const struct config_key *key;
    int i;

    (void)state;
    for (i = 0; (key = config_key_at(i)); i++)
        assert_ptr_equal(config_key_find(key->name), key);
    assert_int_equal(i, config_key_count());
}

static void every_key_says_what_it_means_and_refused_ones_what_to_do(void **state)
{
    const struct config_key *key;
    int i;

    (void)state;
    for (i = 0; (key = config_key_at(i)); i++) {
        assert_true(strlen(key->meaning) > 3);
        assert_null(strchr(key->meaning, '|'));
        if (key->standing == KEY_REFUSED)
            assert_non_null(key->instead);
        if (key->standing == KEY_WORKS)
            assert_true(key->offset != KEY_NO_FIELD);
        if (key->flags & KEY_SECRET)
            assert_true(key->offset == KEY_NO_FIELD);
    }
}

static void renamed_keys_are_not_keys_themselves(void **state)
{
    (void)state;
    assert_string_equal(config_key_renamed("cache_path"), "tokenized_path");
    assert_null(config_key_find("cache_path"));
    assert_null(config_key_find("evaluation_strategy"));
    assert_null(config_key_renamed("lora_rank"));
}

static void a_typing_error_finds_the_key_that_was_meant(void **state)
{
    static const char *const pairs[][2] = {
        { "lora_rnk", "lora_rank" },
        { "learnig_rate", "learning_rate" },
        { "per_device_batch_size", NULL },
        { "cutof_len", "cutoff_len" },
        { "save_step", "save_steps" },
        { "templat", "template" },
        { "overwrite_ouput_dir", "overwrite_output_dir" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i][1])
            assert_string_equal(config_key_nearest(pairs[i][0]), pairs[i][1]);
    assert_null(config_key_nearest("x"));
    assert_null(config_key_nearest("something_else_altogether_that_is_no_key"));
}

static void docs_keys_md_is_what_the_table_prints(void **state)
{
    struct strbuf page = { 0 };
    struct error err;
    char *text;
    size_t len;

    (void)state;
    config_keys_markdown(&page);
    assert_int_equal(strbuf_check(&page, &err), 0);
    assert_int_equal(file_read("docs/keys.md", &text, &len, &err), 0);
    assert_string_equal(text, strbuf_text(&page));
    free(text);
    strbuf_release(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_llamafactory_and_transformers_is_a_key),
        cmocka_unit_test(defaults_are_those_of_llamafactory_and_transformers),
        cmocka_unit_test(types_are_those_of_llamafactory_and_transformers),
        cmocka_unit_test(no_key_stands_twice_in_the_table),
        cmocka_unit_test(every_key_says_what_it_means_and_refused_ones_what_to_do),
        cmocka_unit_test(renamed_keys_are_not_keys_themselves),
        cmocka_unit_test(a_typing_error_finds_the_key_that_was_meant),
        cmocka_unit_test(docs_keys_md_is_what_the_table_prints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
