/*
 * Half precision against the compiler's own _Float16, over all of it; bfloat16
 * against its definition.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/dtype.h"

static void every_float16_widens_and_narrows_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h <= 0xFFFF; h++) {
        uint16_t bits = (uint16_t)h;
        float f = f16_to_float(bits);
#ifdef __FLT16_MAX__
        _Float16 theirs;

        memcpy(&theirs, &bits, sizeof(theirs));
        if (!isnan(f))
            assert_true(f == (float)theirs);
#endif
        if (isnan(f))
            assert_true(isnan(f16_to_float(float_to_f16(f))));
        else
            assert_int_equal(float_to_f16(f), bits);
    }
}

static void floats_round_to_float16_as_the_compiler_rounds(void **state)
{
    (void)state;
#ifdef __FLT16_MAX__
    for (uint32_t bits = 0; bits < 0x7F800000u; bits += 4093) {
        float f;
        _Float16 theirs;
        uint16_t want;

        memcpy(&f, &bits, sizeof(f));
        theirs = (_Float16)f;
        memcpy(&want, &theirs, sizeof(want));
        assert_int_equal(float_to_f16(f), want);
        assert_int_equal(float_to_f16(-f), want | 0x8000);
    }
#endif
    assert_int_equal(float_to_f16(65519.0f), 0x7BFF);
    assert_int_equal(float_to_f16(65520.0f), 0x7C00);
    assert_int_equal(float_to_f16(0x1p-25f), 0); // a tie goes to even
    assert_int_equal(float_to_f16(0x1.8p-25f), 1);
}

static void floats_round_to_the_nearest_bfloat16(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x7F7F0000u; bits += 4093) {
        float f, low, high;
        uint16_t got;

        memcpy(&f, &bits, sizeof(f));
        got = float_to_bf16(f);
        low = bf16_to_float((uint16_t)(bits >> 16));
        high = bf16_to_float((uint16_t)((bits >> 16) + 1));
        if ((double)f - (double)low < (double)high - (double)f)
            assert_int_equal(got, bits >> 16);
        else if ((double)f - (double)low > (double)high - (double)f)
            assert_int_equal(got, (bits >> 16) + 1);
        else
            assert_int_equal(got & 1, 0);
    }
    assert_true(isnan(bf16_to_float(float_to_bf16(NAN))));
}

static void widening_is_exact_for_every_format_and_length(void **state)
{
    uint16_t half[33];
    float got[33], plain[33];

    (void)state;
    for (int i = 0; i < 33; i++) {
        half[i] = (uint16_t)(0x3C00 + 97 * i);
        plain[i] = (float)i;
    }
    for (size_t n = 0; n <= 33; n++) {
        dtype_widen(got, half, DTYPE_BF16, n);
        for (size_t i = 0; i < n; i++)
            assert_true(got[i] == bf16_to_float(half[i]));
        dtype_widen(got, half, DTYPE_F16, n);
        for (size_t i = 0; i < n; i++)
            assert_true(got[i] == f16_to_float(half[i]));
        dtype_widen(got, plain, DTYPE_F32, n);
        assert_memory_equal(got, plain, n * sizeof(float));
    }
}

static void names_are_those_of_safetensors(void **state)
{
    (void)state;
    assert_int_equal(dtype_from_name("BF16", 4), DTYPE_BF16);
    assert_int_equal(dtype_from_name("F16x", 3), DTYPE_F16);
    assert_int_equal(dtype_from_name("F64", 3), -1);
    assert_string_equal(dtype_name(DTYPE_F32), "F32");
    assert_int_equal(dtype_size(DTYPE_BF16), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_float16_widens_and_narrows_back),
        cmocka_unit_test(floats_round_to_float16_as_the_compiler_rounds),
        cmocka_unit_test(floats_round_to_the_nearest_bfloat16),
        cmocka_unit_test(widening_is_exact_for_every_format_and_length),
        cmocka_unit_test(names_are_those_of_safetensors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
