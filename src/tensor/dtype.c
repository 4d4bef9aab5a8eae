/*
 * tensor/dtype.c: float16 and bfloat16, in plain integer arithmetic.
 */
#include "tensor/dtype.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_F32] = { "F32", 4 },
    [DTYPE_F16] = { "F16", 2 },
    [DTYPE_BF16] = { "BF16", 2 },
};

size_t dtype_size(enum dtype dtype)
{
    return dtypes[dtype].size;
}

const char *dtype_name(enum dtype dtype)
{
    return dtypes[dtype].name;
}

int dtype_from_name(const char *name, size_t len)
{
    for (int d = 0; d < DTYPE_COUNT; d++)
        if (strlen(dtypes[d].name) == len && memcmp(dtypes[d].name, name, len) == 0)
            return d;
    return -1;
}

static float float_from_bits(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof(f));
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof(bits));
    return bits;
}

float f16_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t rest = (uint32_t)(h & 0x7FFF) << 13;
    float f;

    if (rest >= 0x0F800000u) // infinity and NaN: exponent all ones
        return float_from_bits(sign | rest | 0x7F800000u);
    f = float_from_bits(rest) * 0x1p112f; // moves the exponent's bias; also right for subnormals
    return float_from_bits(bits_of(f) | sign);
}

uint16_t float_to_bf16(float f)
{
    uint32_t bits = bits_of(f);

    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)((bits >> 16) | 0x40);
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16);
}

uint16_t float_to_f16(float f)
{
    uint32_t bits = bits_of(f);
    uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t mag = bits & 0x7FFFFFFFu;

    if (mag > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u);
    if (mag >= 0x477FF000u) // 65520 and above round to infinity
        return (uint16_t)(sign | 0x7C00u);
    if (mag < 0x38800000u) { // subnormal: adding 0.5 leaves the rounded bits at the bottom
        float shifted = float_from_bits(mag) + 0.5f;

        return (uint16_t)(sign | (bits_of(shifted) - 0x3F000000u));
    }
    mag += 0xFFFu + ((mag >> 13) & 1);
    return (uint16_t)(sign | ((mag - 0x38000000u) >> 13));
}

void dtype_widen(float *dst, const void *src, enum dtype dtype, size_t n)
{
    const uint16_t *half = src;

    switch (dtype) {
    case DTYPE_BF16:
        for (size_t i = 0; i < n; i++)
            dst[i] = bf16_to_float(half[i]);
        break;
    case DTYPE_F16:
        for (size_t i = 0; i < n; i++)
            dst[i] = f16_to_float(half[i]);
        break;
    default:
        memcpy(dst, src, n * sizeof(*dst));
        break;
    }
}
