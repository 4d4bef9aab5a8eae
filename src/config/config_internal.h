/*
 * config_internal.h: what the parts of the config layer share.
 *
 * A file becomes a tree of nodes (tree.c), pairs of the command line are
 * merged into it (merge.c), each top-level node is resolved to a scalar or a
 * container (resolve.c), converted to the type of its key (value.c) and put
 * into its field (config.c).
 */
#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "config/config.h"
#include "config/keys.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

/* A value in the file. All nodes and their strings belong to the tree. */
struct node {
    enum node_kind kind;
    int line;                         // from 1; 0: from the command line
    int quoted;                       // scalar: written in quotes or as a block, so never a number
    const char *name;                 // when it stands in a map: its key
    const char *text;                 // scalar
    struct node *first, *last, *next; // elements; the next one beside this
};

struct tree {
    struct node *root;
    const char *file_name; // borrowed
    void **blocks;         // what tree_release() frees
    size_t block_count, block_cap;
    int node_count;
};

/*
 * Reads one YAML document; its root becomes tree->root (a null scalar when
 * the text is empty). line: of its first, 1 for a file, 0 for a pair of the command line.
 * A tree may read several texts; all nodes live until tree_release().
 */
int tree_read(struct tree *tree, const char *yaml, size_t len, int line, struct error *err);

/* "key=value" merged into tree->root. */
int tree_merge_pair(struct tree *tree, const char *pair, struct error *err);

void tree_release(struct tree *tree);

/* A block of zeroed bytes, or a copy of a string, that belongs to the tree. */
void *tree_alloc(struct tree *tree, size_t size, struct error *err);
char *tree_strndup(struct tree *tree, const char *s, size_t len, struct error *err);

struct node *node_child(const struct node *map, const char *name); // NULL: none

/* -1 with "<file>:<line>: ", "command line: " or (node NULL) "<file>: " and the message. */
int node_error(const struct tree *tree, const struct node *node, struct error *err, const char *fmt,
               ...) __attribute__((format(printf, 4, 5)));

/* What a plain scalar means. */
enum scalar_kind { SCALAR_NULL, SCALAR_BOOL, SCALAR_INT, SCALAR_FLOAT, SCALAR_TEXT };

struct scalar {
    enum scalar_kind kind;
    int64_t i;        // INT; BOOL 0 or 1
    double f;         // FLOAT, and INT as a double
    int big;          // INT: does not fit i
    const char *text; // as written
};

/* YAML 1.1 as PyYAML with OmegaConf's float rule. quoted: always text. Keeps text. */
void scalar_read(struct scalar *scalar, const char *text, int quoted);

/* What Python's str() makes of it. */
void scalar_print(const struct scalar *scalar, struct strbuf *out);

/* The shortest decimal text that reads back as the same double, in Python's form. */
void scalar_print_double(double f, struct strbuf *out);

/* An environment as config_pack() recorded it. */
struct env_entry {
    const char *name, *value; // value NULL: not set
};

struct env {
    struct env_entry *entries;
    int n;
};

/* A node after `${...}`: a list or map node, or a scalar (node NULL). */
struct resolved {
    const struct node *node;
    struct scalar scalar;
};

struct resolver {
    struct tree *tree;
    const struct env *env;
    int depth, count; // of references being followed, and followed at all
};

int resolve(struct resolver *resolver, const struct node *node, struct resolved *out,
            struct error *err);

/* A value of a key's type; release with value_release(). */
struct value {
    int is_null;
    int64_t i;  // BOOL, INT, BYTES, SECONDS
    double f;   // FLOAT, STEPS
    char *text; // TEXT, CHOICE
    struct config_list list;
    struct config_map map;
};

/*
 * Converts and checks. strict 0 leaves limits and choices alone (keys without
 * effect).
 */
int value_read(struct value *value, const struct config_key *key, const struct node *node,
               struct resolver *resolver, int strict, struct error *err);
/* 1, 0, or -1 when out of memory. */
int value_equal(const struct config_key *key, const struct value *a, const struct value *b,
                struct error *err);
void value_store(struct config *cfg, const struct config_key *key, struct value *value); // takes
void value_load(const struct config *cfg, const struct config_key *key,
                struct value *value); // borrows: do not release
void value_print(const struct config_key *key, const struct value *value, struct strbuf *out);
void value_release(struct value *value);

/* The range of a key in words: "1 to 1024", "0 or more and less than 1". */
void key_limits_print(const struct config_key *key, struct strbuf *out);

/* A value in words, for messages: 3.0, 'eight', a list. Cut when long. */
void resolved_print(const struct resolved *resolved, struct strbuf *out);

/* Text in YAML that reads back as these bytes (UTF-8), with `${` escaped. */
void text_print(const char *text, struct strbuf *out);

/* The same for a key, in which references are not replaced. */
void key_text_print(const char *text, struct strbuf *out);

/* "16GB" or "90m" to a number. -1: not of that form. */
int bytes_read(const char *text, int64_t *bytes);
int seconds_read(const char *text, int64_t *seconds);

/* Rules between keys, derived fields and notes; last step of reading. */
int config_check(struct config *cfg, const struct tree *tree, struct error *err);
int list_add(struct config_list *list, const char *text, struct error *err);

#endif
