/*
 * nn/nn.c: choice of kernels for this CPU, scratch memory, backend names.
 */
#include "nn/nn.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nn/nn_internal.h"

static const char *const backend_names[GEMM_BACKEND_COUNT] = {
    [GEMM_AUTO] = "auto",         [GEMM_NATIVE] = "native", [GEMM_AMX] = "amx",
    [GEMM_OPENBLAS] = "openblas", [GEMM_ONEDNN] = "onednn",
};

const char *gemm_backend_name(enum gemm_backend backend)
{
    return backend_names[backend];
}

int gemm_backend_from_name(const char *name)
{
    for (int b = 0; b < GEMM_BACKEND_COUNT; b++) {
#ifndef HAVE_ONEDNN
        if (b == GEMM_ONEDNN)
            continue;
#endif
#ifndef HAVE_BF16
        if (b == GEMM_AMX)
            continue;
#endif
        if (strcmp(backend_names[b], name) == 0)
            return b;
    }
    return -1;
}

int gemm_rows_apart(enum gemm_backend backend)
{
    return backend == GEMM_NATIVE || backend == GEMM_AMX;
}

const char *nn_isa(const struct nn *nn)
{
    return nn->kernels->isa;
}

static const struct nn_kernels *kernels_for_cpu(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return &nn_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &nn_kernels_avx2;
#endif
    return &nn_kernels_generic;
}

/* x[i] in [-1, 1), the same everywhere. */
static void fill(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed * 0x1p-31f;
    }
}

/* Largest difference from a plain loop in double, in units of the row's own size. */
static double check_product(const struct nn *nn, float *buf, int trans_b, int M, int N, int K)
{
    float *a = buf, *b = a + (size_t)M * K, *c = b + (size_t)N * K;
    struct gemm_call call = { .trans_b = trans_b,
                              .M = M,
                              .N = N,
                              .K = K,
                              .alpha = 1.0f,
                              .a = a,
                              .b = b,
                              .c = c,
                              .lda = (size_t)K,
                              .ldb = (size_t)(trans_b ? K : N),
                              .ldc = (size_t)N };
    double worst = 0.0;

    fill(a, (size_t)M * K, 1);
    fill(b, (size_t)N * K, 2);
    gemm(nn, &call);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0.0, diff;

            for (int k = 0; k < K; k++)
                sum += (double)a[(size_t)i * K + k] *
                       (double)(trans_b ? b[(size_t)j * K + k] : b[(size_t)k * N + j]);
            diff = sum - (double)c[(size_t)i * N + j];
            diff = diff < 0 ? -diff : diff;
            worst = diff > worst || diff != diff ? diff : worst;
        }
    return worst;
}

/* Refuses a backend that computes wrong products; 4e-4 is far above rounding at K = 520. */
static int check_backend(const struct nn *nn, struct error *err)
{
    static const int shapes[][3] = { { 1, 1, 1 }, { 3, 17, 5 }, { 13, 33, 129 }, { 31, 67, 520 } };
    enum { LARGEST = 31 * 520 + 67 * 520 + 31 * 67 };
    float *buf = mem_alloc(LARGEST, sizeof(*buf), err);
    char text[128];

    if (!buf)
        return -1;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int trans_b = 0; trans_b < 2; trans_b++) {
            double worst =
                check_product(nn, buf, trans_b, shapes[s][0], shapes[s][1], shapes[s][2]);

            if (worst < 4e-4)
                continue;
            gemm_describe(nn, text, sizeof(text));
            free(buf);
            return error_set(err,
                             "matrix backend '%s' computes wrong results on this CPU (%d x %d x %d "
                             "is off by %g); set gemm_backend to another one",
                             text, shapes[s][0], shapes[s][1], shapes[s][2], worst);
        }
    free(buf);
    return 0;
}

static int has_amx(void)
{
#ifdef HAVE_BF16
    return amx_available();
#else
    return 0;
#endif
}

/* Those that round factors to bfloat16, or NULL where CPU or backend have none. */
static const struct gemm_kernels *rounding_kernels(const struct nn *nn)
{
#ifdef HAVE_BF16
    if (nn->backend == GEMM_AMX)
        return &gemm_kernels_amx_bf16;
    if (nn->backend == GEMM_NATIVE && nn->kernels == &nn_kernels_avx512 && bf16_vectors_available())
        return &gemm_kernels_vectors_bf16;
#endif
    (void)nn;
    return NULL;
}

static size_t more_scratch(size_t floats, const struct gemm_kernels *kernels)
{
    size_t more = kernels ? kernels->scratch_floats() : 0;

    return more > floats ? more : floats;
}

static int choose_backend(struct nn *nn, struct error *err)
{
    if (nn->backend == GEMM_AMX && !has_amx())
        return error_set(err, "gemm_backend 'amx' needs a CPU, and a Linux kernel, with AMX for "
                              "bfloat16; set it to auto");
    if (nn->backend == GEMM_AUTO)
        nn->backend = has_amx()                            ? GEMM_AMX
                      : nn->kernels == &nn_kernels_generic ? GEMM_OPENBLAS
                                                           : GEMM_NATIVE;
    return 0;
}

int nn_open(struct nn *nn, enum gemm_backend backend, int threads, struct error *err)
{
    *nn = (struct nn){ .kernels = kernels_for_cpu(), .backend = backend, .threads = threads };
    if (choose_backend(nn, err) < 0)
        return -1;
    nn->products = &nn->kernels->gemm;
#ifdef HAVE_BF16
    if (nn->backend == GEMM_AMX)
        nn->products = &gemm_kernels_amx;
#endif
    nn->scratch_stride = more_scratch(nn->kernels->gemm.scratch_floats(), rounding_kernels(nn));
    if (arena_open(&nn->arena, size_mul3((size_t)threads, nn->scratch_stride, sizeof(float)), err) <
        0)
        return -1;
    nn->scratch = arena_take(&nn->arena, (size_t)threads * nn->scratch_stride, sizeof(float));
    gemm_backend_prepare();
    if (check_backend(nn, err) < 0) {
        nn_close(nn);
        return -1;
    }
    return 0;
}

int nn_has_bf16(const struct nn *nn)
{
    return rounding_kernels(nn) != NULL;
}

void nn_use_bf16(struct nn *nn)
{
    if (nn_has_bf16(nn))
        nn->products = rounding_kernels(nn);
}

int nn_rounds_to_bf16(const struct nn *nn)
{
    return nn->products == rounding_kernels(nn);
}

void nn_close(struct nn *nn)
{
    arena_close(&nn->arena);
    *nn = (struct nn){ 0 };
}
