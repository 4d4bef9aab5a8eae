/*
 * keys_internal.h: how the rows of the table are written.
 *
 *   WORKS(name, TYPE, "default", "meaning", extras)     has a field of the same name
 *   NO_EFFECT(name, TYPE, "default", "meaning", extras)
 *   REFUSED(name, TYPE, "default", "meaning", "instead", extras)
 *
 * Extras are initialisers: LIMITS(1, 1024), .flags = KEY_RESULT, .choices = "a b".
 * A file that holds rows defines GROUP first.
 */
#ifndef CONFIG_KEYS_INTERNAL_H
#define CONFIG_KEYS_INTERNAL_H

#include "config/config.h"
#include "config/keys.h"

#define KEY_FIELD(NAME) \
    .offset = offsetof(struct config, NAME), .size = sizeof(((struct config *)0)->NAME)

#define KEY_ROW(NAME, TYPE, FALLBACK, MEANING) \
    .name = #NAME, .type = KEY_##TYPE, .fallback = FALLBACK, .meaning = MEANING, .group = GROUP

#define LIMITS(MIN, MAX) .min = MIN, .max = MAX

#define WORKS(NAME, TYPE, FALLBACK, MEANING, ...)                                       \
    {                                                                                   \
        KEY_ROW(NAME, TYPE, FALLBACK, MEANING), .standing = KEY_WORKS, KEY_FIELD(NAME), \
                                                __VA_ARGS__                             \
    }

#define NO_EFFECT(NAME, TYPE, FALLBACK, MEANING, ...)                                              \
    {                                                                                              \
        KEY_ROW(NAME, TYPE, FALLBACK, MEANING), .standing = KEY_NO_EFFECT, .offset = KEY_NO_FIELD, \
                                                __VA_ARGS__                                        \
    }

#define REFUSED(NAME, TYPE, FALLBACK, MEANING, INSTEAD, ...)                                     \
    {                                                                                            \
        KEY_ROW(NAME, TYPE, FALLBACK, MEANING), .standing = KEY_REFUSED, .offset = KEY_NO_FIELD, \
                                                .instead = INSTEAD, __VA_ARGS__                  \
    }

struct key_table {
    const struct config_key *rows;
    int count;
};

extern const struct key_table keys_model, keys_data, keys_method, keys_training, keys_ours,
    keys_generation, keys_vendor, keys_old;

#define KEY_TABLE(NAME, ROWS) \
    const struct key_table NAME = { ROWS, (int)(sizeof(ROWS) / sizeof(ROWS[0])) }

#define HUGE_COUNT 1e9          // most steps, rows, tokens
#define UINT32_TOP 4294967295.0 // NumPy takes no larger seed

#endif
