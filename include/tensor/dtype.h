/*
 * tensor/dtype.h: number formats of stored tensors and their widening.
 *
 * Local; cannot fail.
 */
#ifndef TENSOR_DTYPE_H
#define TENSOR_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_COUNT };

size_t dtype_size(enum dtype dtype);      // bytes of one number
const char *dtype_name(enum dtype dtype); // "F32", "F16", "BF16": safetensors' names

/* The format of that safetensors name; -1 when it is none of ours. */
int dtype_from_name(const char *name, size_t len);

/* Exact: a bfloat16 is the upper half of a float. */
static inline float bf16_to_float(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;

    memcpy(&f, &bits, sizeof(f));
    return f;
}

float f16_to_float(uint16_t h);
uint16_t float_to_bf16(float f); // round to nearest, ties to even; NaN stays NaN
uint16_t float_to_f16(float f);  // likewise; too large becomes infinity

/* dst[i] = src[i] widened, for n numbers; src need not be aligned beyond its own size. */
void dtype_widen(float *dst, const void *src, enum dtype dtype, size_t n);

#endif
