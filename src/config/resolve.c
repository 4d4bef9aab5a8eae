/*
 * resolve.c: `${...}` in values, as OmegaConf replaces them.
 *
 *   ${key}                the value of another key of the file, with its type
 *                         when it is all there is, as Python's str() otherwise
 *   ${map.key}            an entry of a mapping
 *   ${oc.env:NAME}        an environment variable, always text
 *   ${oc.env:NAME,text}   the same with a default
 *   ${oc.decode:text}     text read as a plain value
 *   \${                   a literal ${
 *
 * References may stand inside references. Their number, depth and the length
 * of the result are limited, so that a small file cannot make a large text.
 */
#include "config_internal.h"

#include <string.h>

#define FOLLOW_DEPTH_MAX 32
#define FOLLOW_COUNT_MAX 5000
#define TEXT_MAX         (64 * 1024)

struct span {
    const char *s;
    size_t len;
};

struct place {
    struct resolver *resolver;
    const struct node *node; // where the text stands, for messages
    struct error *err;
};

static int text_resolve(struct place *place, struct span text, struct resolved *out);

static struct span span_trim(struct span t)
{
    while (t.len > 0 && (t.s[0] == ' ' || t.s[0] == '\t'))
        t.s++, t.len--;
    while (t.len > 0 && (t.s[t.len - 1] == ' ' || t.s[t.len - 1] == '\t'))
        t.len--;
    return t;
}

static int place_error(struct place *place, const char *what, struct span t)
{
    return node_error(place->resolver->tree, place->node, place->err, "'%.*s' in '%s': %s",
                      t.len > 80 ? 80 : (int)t.len, t.s,
                      place->node->name ? place->node->name : "a value", what);
}

/* One level deeper; -1 when that is too deep or too often. */
static int follow(struct place *place, struct span t)
{
    struct resolver *resolver = place->resolver;

    if (++resolver->count > FOLLOW_COUNT_MAX)
        return place_error(place, "too many references", t);
    if (resolver->depth >= FOLLOW_DEPTH_MAX)
        return place_error(place, "references go round in a circle or too deep", t);
    resolver->depth++;
    return 0;
}

/* The bytes between "${" (at s) and its "}"; -1 when it is not closed. */
static int find_close(const char *s, const char *end, struct span *inner)
{
    const char *p = s + 2;
    int depth = 1;
    char quote = 0;

    for (; p < end; p++) {
        if (*p == '\\' && p + 1 < end) {
            p++;
        } else if (quote) {
            if (*p == quote)
                quote = 0;
        } else if (*p == '\'' || *p == '"') {
            quote = *p;
        } else if (*p == '{') {
            depth++;
        } else if (*p == '}' && --depth == 0) {
            inner->s = s + 2;
            inner->len = (size_t)(p - inner->s);
            return 0;
        }
    }
    return -1;
}

static struct scalar scalar_text(const char *text)
{
    struct scalar scalar;

    scalar_read(&scalar, text, 1);
    return scalar;
}

/* What Python's str() makes of a value that was found for text, as a string of the tree. */
static char *resolved_string(struct place *place, const struct resolved *resolved, struct span text)
{
    struct strbuf sb = { 0 };
    char *copy = NULL;

    if (resolved->node) {
        (void)place_error(place, "a list or mapping cannot stand inside a text", text);
        return NULL;
    }
    scalar_print(&resolved->scalar, &sb);
    if (strbuf_check(&sb, place->err) == 0)
        copy = tree_strndup(place->resolver->tree, strbuf_text(&sb), sb.len, place->err);
    strbuf_release(&sb);
    return copy;
}

/* The default of ${oc.env:NAME,default}: null is None, anything else text. */
static int env_default(struct place *place, struct span t, struct resolved *out)
{
    struct scalar plain;
    char *copy;

    t = span_trim(t);
    copy = tree_strndup(place->resolver->tree, t.s, t.len, place->err);
    if (!copy)
        return -1;
    scalar_read(&plain, copy, 0);
    if (plain.kind == SCALAR_NULL && t.len > 0) {
        out->scalar = plain;
        return 0;
    }
    if (t.len >= 2 && (t.s[0] == '\'' || t.s[0] == '"') && t.s[t.len - 1] == t.s[0])
        t.s++, t.len -= 2;
    if (text_resolve(place, t, out) < 0)
        return -1;
    if (!out->node && out->scalar.kind == SCALAR_NULL)
        return 0;
    copy = resolved_string(place, out, t);
    if (!copy)
        return -1;
    out->node = NULL;
    out->scalar = scalar_text(copy);
    return 0;
}

static int env_resolve(struct place *place, struct span args, struct resolved *out)
{
    const struct env *env = place->resolver->env;
    const char *comma = memchr(args.s, ',', args.len);
    struct span name = args, rest = { NULL, 0 };
    int i;

    if (comma) {
        name.len = (size_t)(comma - args.s);
        rest.s = comma + 1;
        rest.len = args.len - name.len - 1;
    }
    name = span_trim(name);
    for (i = 0; i < env->n; i++)
        if (strlen(env->entries[i].name) == name.len &&
            memcmp(env->entries[i].name, name.s, name.len) == 0)
            break;
    if (i == env->n)
        return place_error(place, "write the name of the environment variable out", args);
    if (!env->entries[i].value && !comma)
        return place_error(place, "this environment variable is not set", name);
    if (!env->entries[i].value)
        return env_default(place, rest, out);
    out->scalar = scalar_text(env->entries[i].value);
    return 0;
}

/* What text is after its own references, as a string of the tree. */
static int text_string(struct place *place, struct span text, char **out)
{
    struct resolved resolved = { 0 };

    if (text_resolve(place, text, &resolved) < 0)
        return -1;
    *out = resolved_string(place, &resolved, text);
    return *out ? 0 : -1;
}

static int decode_resolve(struct place *place, struct span args, struct resolved *out)
{
    struct span t = span_trim(args);
    char *text;

    if (t.len >= 2 && (t.s[0] == '\'' || t.s[0] == '"') && t.s[t.len - 1] == t.s[0])
        t.s++, t.len -= 2;
    if (text_string(place, t, &text) < 0)
        return -1;
    scalar_read(&out->scalar, text, 0);
    return 0;
}

static int key_resolve(struct place *place, struct span inner, struct resolved *out)
{
    struct resolver *resolver = place->resolver;
    const struct node *node = resolver->tree->root;
    struct span whole = span_trim(inner);
    char *path, *part, *dot;

    if (text_string(place, whole, &path) < 0)
        return -1;
    for (part = path + strspn(path, "."); node; part = dot + 1) {
        dot = strchr(part, '.');
        if (dot)
            *dot = '\0';
        node = node_child(node, part);
        if (!dot)
            break;
    }
    if (!node)
        return place_error(place, "there is no such key in this file", whole);
    return resolve(resolver, node, out, place->err);
}

static int starts_with(struct span t, const char *prefix, struct span *rest)
{
    size_t n = strlen(prefix);

    if (t.len < n || memcmp(t.s, prefix, n) != 0)
        return 0;
    rest->s = t.s + n;
    rest->len = t.len - n;
    return 1;
}

static int reference_resolve(struct place *place, struct span inner, struct resolved *out)
{
    struct span t = span_trim(inner), args;
    const char *colon = memchr(t.s, ':', t.len);
    const char *brace = memchr(t.s, '{', t.len);
    int rc;

    if (follow(place, t) < 0)
        return -1;
    out->node = NULL;
    if (starts_with(t, "oc.env:", &args))
        rc = env_resolve(place, args, out);
    else if (starts_with(t, "oc.decode:", &args))
        rc = decode_resolve(place, args, out);
    else if (colon && (!brace || colon < brace))
        rc = place_error(place, "of the resolvers, oc.env and oc.decode are read", t);
    else
        rc = key_resolve(place, t, out);
    place->resolver->depth--;
    return rc;
}

/* Backslashes right before p, back to start. */
static size_t slashes_before(const char *start, const char *p)
{
    size_t n = 0;

    while (p > start && p[-1] == '\\')
        p--, n++;
    return n;
}

/* The next "${" at or after p, or end. */
static const char *next_dollar(const char *p, const char *end)
{
    for (; p + 1 < end; p++)
        if (p[0] == '$' && p[1] == '{')
            return p;
    return end;
}

/* Adds the text up to a reference, of whose n backslashes half are kept. */
static void add_literal(struct strbuf *sb, const char *from, const char *to, size_t slashes)
{
    size_t i;

    strbuf_add(sb, from, (size_t)(to - from) - slashes);
    for (i = 0; i < slashes / 2; i++)
        strbuf_putc(sb, '\\');
}

static int text_concat(struct place *place, struct span text, struct strbuf *sb)
{
    const char *p = text.s, *end = text.s + text.len, *dollar;
    struct resolved piece;
    struct span inner;
    size_t slashes;

    while (p < end) {
        dollar = next_dollar(p, end);
        slashes = dollar < end ? slashes_before(p, dollar) : 0;
        add_literal(sb, p, dollar, slashes);
        p = dollar;
        if (dollar == end)
            break;
        if (slashes % 2) {
            strbuf_puts(sb, "${");
            p += 2;
            continue;
        }
        if (find_close(dollar, end, &inner) < 0)
            return place_error(place, "a '${' is not closed", text);
        memset(&piece, 0, sizeof(piece));
        if (reference_resolve(place, inner, &piece) < 0)
            return -1;
        if (piece.node)
            return place_error(place, "a list or mapping cannot stand inside a text", inner);
        scalar_print(&piece.scalar, sb);
        if (sb->len > TEXT_MAX)
            return place_error(place, "the text becomes too long", text);
        p = inner.s + inner.len + 1;
    }
    return strbuf_check(sb, place->err);
}

/* True when the text is one reference and nothing else. */
static int is_whole(struct span text, struct span *inner)
{
    return text.len >= 3 && text.s[0] == '$' && text.s[1] == '{' &&
           find_close(text.s, text.s + text.len, inner) == 0 &&
           inner->s + inner->len + 1 == text.s + text.len;
}

static int text_resolve(struct place *place, struct span text, struct resolved *out)
{
    struct strbuf sb = { 0 };
    struct span inner;
    char *copy = NULL;

    out->node = NULL;
    if (is_whole(text, &inner))
        return reference_resolve(place, inner, out);
    if (text_concat(place, text, &sb) == 0)
        copy = tree_strndup(place->resolver->tree, strbuf_text(&sb), sb.len, place->err);
    strbuf_release(&sb);
    if (!copy)
        return -1;
    out->scalar = scalar_text(copy);
    return 0;
}

int resolve(struct resolver *resolver, const struct node *node, struct resolved *out,
            struct error *err)
{
    struct place place = { resolver, node, err };
    struct span text;
    int rc;

    memset(out, 0, sizeof(*out));
    if (node->kind != NODE_SCALAR) {
        out->node = node;
        return 0;
    }
    scalar_read(&out->scalar, node->text, node->quoted);
    text.s = node->text;
    text.len = strlen(node->text);
    if (out->scalar.kind != SCALAR_TEXT || !strstr(node->text, "${"))
        return 0;
    if (follow(&place, text) < 0)
        return -1;
    rc = text_resolve(&place, text, out);
    resolver->depth--;
    return rc;
}
