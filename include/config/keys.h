/*
 * config/keys.h: the table of all keys.
 *
 * Every key of LLaMA-Factory 0.9 and of the transformers training arguments
 * that reach a user's file is here, with one of three standings:
 *
 *   works          read, checked against its limits, kept in struct config
 *   no effect      read, checked for its type, named in one line of the log
 *                  when its value is not the default
 *   not supported  its default is accepted; a value that would change the
 *                  result is an error that names the key
 *
 * The table is constant. Local; cannot fail.
 */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include <stddef.h>
#include <stdint.h>

enum key_standing { KEY_WORKS, KEY_NO_EFFECT, KEY_REFUSED };

enum key_type {
    KEY_BOOL,    // int 0 or 1
    KEY_INT,     // int or int64_t
    KEY_FLOAT,   // double
    KEY_STEPS,   // double: a share below 1, or a whole number of steps
    KEY_TEXT,    // char *
    KEY_CHOICE,  // char *, one of choices
    KEY_LIST,    // struct config_list: "a, b" or [a, b]
    KEY_MAP,     // struct config_map: {a: 1}, or the same as JSON text
    KEY_BYTES,   // int64_t: 17179869184, 16GB, 512MiB
    KEY_SECONDS, // int64_t: 3600, 90m, 12:00:00, 1-12:00:00
    KEY_ANY      // not looked at
};

enum key_group {
    KEYS_MODEL,
    KEYS_DATA,
    KEYS_METHOD,
    KEYS_TRAINING,
    KEYS_OURS,
    KEYS_GENERATION,
    KEYS_VENDOR,
    KEYS_OLD,
    KEYS_GROUP_COUNT
};

#define KEY_NULLABLE   0x01  // null is a value of its own, though not the default
#define KEY_RESULT     0x02  // decides the result of a run
#define KEY_IF_PACKING 0x04  // with KEY_RESULT: only when rows are packed
#define KEY_SECRET     0x08  // its value is never shown
#define KEY_ABOVE_MIN  0x10  // min itself is outside
#define KEY_BELOW_MAX  0x20  // max itself is outside
#define KEY_WHOLE_OK   0x40  // an int that may be written as a float, 16.0
#define KEY_EMPTY_OK   0x80  // a text that may be empty
#define KEY_SWITCH     0x100 // a text that may be true ("true") or false (null)

#define KEY_NO_FIELD SIZE_MAX

struct config_key {
    const char *name;
    const char *fallback; // the default, as YAML
    const char *meaning;  // one sentence
    const char *choices;  // the values that work, separated by spaces
    const char *others;   // values that LLaMA-Factory knows and we do not
    const char *instead;  // not supported: what to do
    double min, max;      // both 0: no limits
    size_t offset;        // in struct config, or KEY_NO_FIELD
    int size;             // bytes of the field
    int null_as;          // what a number field holds for null
    int flags;
    enum key_type type;
    enum key_standing standing;
    enum key_group group;
};

/* Number of keys; a key by its place, in the order of the printed table. */
int config_key_count(void);
const struct config_key *config_key_at(int i);

/* NULL when there is no such key. */
const struct config_key *config_key_find(const char *name);

/* The known key that is spelled most alike, or NULL when none is near. */
const char *config_key_nearest(const char *name);

/* What to write in place of a key that older versions had, or NULL. */
const char *config_key_renamed(const char *name);

/* "int", "bool or null", ...; and "works", "no effect here", "not supported". */
const char *config_key_type_name(const struct config_key *key);
const char *config_key_standing_name(const struct config_key *key);
const char *config_key_group_name(enum key_group group);

#endif
