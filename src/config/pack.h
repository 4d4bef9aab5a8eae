/*
 * pack.h: what config_pack() put together, taken apart again.
 */
#ifndef CONFIG_PACK_H
#define CONFIG_PACK_H

#include "config_internal.h"

struct unpacked {
    struct tree tree; // owns all strings
    const char *yaml;
    size_t yaml_len;
    const char **pairs;
    int pair_count;
    struct env env;
};

/* Errors when the bytes are no pack. Release u in any case. */
int pack_read(struct unpacked *u, const void *pack, size_t len, struct error *err);

/* NULL when the variable is not set or not in the pack. */
const char *unpacked_env(const struct unpacked *u, const char *name);

void unpacked_release(struct unpacked *u);

#endif
