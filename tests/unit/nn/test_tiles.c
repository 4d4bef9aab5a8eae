/*
 * The products on AMX by the checks of test_gemm.c, with tiles in plain C (tiles.h): so they are tested on every CPU
 * that has the other instructions of their kernels, AVX512_BF16.
 */
int gemm_main(void);
#define main gemm_main
#include "nn/test_gemm.c"
#undef main

#ifdef HAVE_BF16
int amx_available(void)
{
    return bf16_vectors_available();
}

static void check_case(const struct nn_case *c)
{
    for (int s = 0; s < SIZES; s++)
        for (int t = 0; t < 12; t++) {
            enum dtype dtype = (enum dtype)((s + t) % DTYPE_COUNT);
            int R = t % 3 == 0 ? 0 : t % 3 == 1 ? 8 : GEMM_LOW_RANK;

            check(c, sizes[s], t & 1, t >> 1 & 1, dtype, t & 2 ? 0.5f : 0.0f, R,
                  R > 0 ? (enum low_rank)(t >> 2) : U_GIVEN);
        }
    for (int t = 0; t < 4; t++)
        check_rows(c, 70, 1153, t & 1, t > 1 ? 8 : 0);
}

static void tiles_make_the_same_products(void **state)
{
    struct nn_case one;

    (void)state;
    if (!amx_available())
        skip();
    for (int bf16 = 0; bf16 < 2; bf16++) {
        nn_add_case(&one, NULL, GEMM_AMX, 1);
        if (bf16)
            nn_use_bf16(&one.nn);
        check_case(&one);
        nn_close(&one.nn);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_rounds_the_factors),
#ifdef HAVE_BF16
        cmocka_unit_test(tiles_make_the_same_products),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
