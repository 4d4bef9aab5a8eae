/*
 * nn_test.h: what the kernel tests share: inputs, tolerances, every instruction set.
 */
#ifndef NN_TEST_H
#define NN_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nn/nn_internal.h"

/* Float32 against double: relative to the size of the values that were summed. */
#define TOLERANCE 3e-6

/* Backends and threads under test; the instruction sets that this CPU has. */
struct nn_case {
    struct nn nn;
    char name[64];
};

enum { NN_CASES_MAX = 10 };

static inline int nn_add_case(struct nn_case *c, const struct nn_kernels *kernels,
                              enum gemm_backend backend, int threads)
{
    struct error err;

    if (nn_open(&c->nn, backend, threads, &err) < 0)
        fail_msg("%s", err.msg);
    if (kernels)
        c->nn.kernels = kernels, c->nn.products = &kernels->gemm;
    (void)snprintf(c->name, sizeof(c->name), "%s %s, %d threads", gemm_backend_name(backend),
                   nn_isa(&c->nn), threads);
    (void)printf("tried: %s\n", c->name);
    return 1;
}

static inline int nn_cases(struct nn_case *cases)
{
    int n = 0;

    n += nn_add_case(&cases[n], NULL, GEMM_NATIVE, 1);
    n += nn_add_case(&cases[n], NULL, GEMM_NATIVE, 3);
    n += nn_add_case(&cases[n], &nn_kernels_generic, GEMM_NATIVE, 1);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        n += nn_add_case(&cases[n], &nn_kernels_avx2, GEMM_NATIVE, 2);
#endif
#ifdef HAVE_BF16
    if (amx_available()) {
        n += nn_add_case(&cases[n], NULL, GEMM_AMX, 1);
        n += nn_add_case(&cases[n], NULL, GEMM_AMX, 3);
    }
#endif
    n += nn_add_case(&cases[n], NULL, GEMM_OPENBLAS, 2);
    if (gemm_backend_from_name("onednn") >= 0)
        n += nn_add_case(&cases[n], NULL, GEMM_ONEDNN, 2);
    return n;
}

/* Those that round factors of large products to bfloat16, on this CPU. */
static inline int nn_bf16_cases(struct nn_case *cases)
{
    static const enum gemm_backend backends[] = { GEMM_NATIVE, GEMM_AUTO };
    int n = 0;

    for (int i = 0; i < 2; i++) {
        nn_add_case(&cases[n], NULL, backends[i], 1 + 2 * i);
        nn_use_bf16(&cases[n].nn);
        gemm_describe(&cases[n].nn, cases[n].name, sizeof(cases[n].name));
        if (nn_rounds_to_bf16(&cases[n].nn))
            (void)printf("tried: %s\n", cases[n++].name);
        else
            nn_close(&cases[n].nn);
    }
    return n;
}

static inline void nn_cases_close(struct nn_case *cases, int n)
{
    for (int i = 0; i < n; i++)
        nn_close(&cases[i].nn);
}

/* n numbers in [-1, 1), the same for the same seed; the caller frees. */
static inline float *nn_random(size_t n, uint32_t seed)
{
    float *x = malloc((n ? n : 1) * sizeof(*x));
    uint32_t s = seed * 2654435761u + 1u;

    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)s * 0x1p-31f;
    }
    return x;
}

static inline void nn_expect(const char *what, double got, double want, double scale)
{
    if (!(fabs(got - want) <= TOLERANCE * (scale > 1.0 ? scale : 1.0)))
        fail_msg("%s: %.9g instead of %.9g", what, got, want);
}

#endif
