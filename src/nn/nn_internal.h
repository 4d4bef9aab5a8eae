/*
 * nn/nn_internal.h: the table of functions that exist once per instruction set.
 */
#ifndef NN_INTERNAL_H
#define NN_INTERNAL_H

#include <stdint.h>

#include "nn/gemm.h"

/* Once per process: libraries use one thread, the threads are ours. */
void gemm_backend_prepare(void);

struct nn_kernels {
    const char *isa;
    size_t (*gemm_scratch_floats)(void);
    void (*gemm_block)(const struct gemm_call *g, float *scratch);
    void (*rmsnorm_forward)(float *y, float *rstd, const float *x, const float *w, float eps, int n,
                            int C);
    void (*rmsnorm_backward)(float *dx, const float *dy, const float *x, const float *w,
                             const float *rstd, int n, int C);
    void (*rope_rotate)(float *x, const float *cosine, const float *sine, float sign, int n, int H,
                        int D, size_t stride);
    void (*swiglu_forward)(float *y, const float *gate, const float *up, size_t n);
    void (*swiglu_backward)(float *dgate, float *dup, const float *dy, const float *gate,
                            const float *up, size_t n);
    float (*softmax_row)(float *row, int n);                           // returns log of the sum
    void (*prob_row)(float *row, float lse, int n);                    // e^(row - lse)
    void (*dscore_row)(float *ds, const float *p, float delta, int n); // p (ds - delta)
    float (*dot)(const float *a, const float *b, int n);
    void (*add)(float *y, const float *x, size_t n);
    void (*add_bias)(float *y, const float *bias, int n, int O);
    double (*cross_entropy_row)(float *logits, int target, int V);
    void (*dropout)(float *y, const float *x, float scale, uint64_t key, const uint32_t counter[4],
                    uint32_t threshold, int add, size_t n);
};

extern const struct nn_kernels nn_kernels_generic;
#ifdef __x86_64__
extern const struct nn_kernels nn_kernels_avx2;
extern const struct nn_kernels nn_kernels_avx512;
#endif

#endif
