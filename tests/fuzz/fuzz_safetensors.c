/*
 * fuzz target of format/safetensors.h: the bytes of one file
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors st = { 0 };
    struct error err;
    volatile unsigned char sink = 0;
    unsigned char *copy = malloc(size ? size : 1); // aligned as a map is

    if (!copy)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    if (safetensors_open_bytes(&st, copy, size, "fuzz", &err) == 0) {
        for (size_t i = 0; i < st.count; i++) {
            const struct safetensors_tensor *t = &st.tensors[i];
            const unsigned char *bytes = t->data;

            if (t->bytes > 0) // both ends must be readable
                sink = (unsigned char)(sink ^ bytes[0] ^ bytes[t->bytes - 1]);
            if (safetensors_find(&st, t->name) != t)
                abort();
            if (t->dtype >= 0 && safetensors_need(&st, t->name, t->dims, t->shape, &err) != t)
                abort();
        }
    }
    safetensors_close(&st);
    free(copy);
    return 0;
}
