/*
 * nn/nn_internal.h: the table of functions that exist once per instruction set.
 */
#ifndef NN_INTERNAL_H
#define NN_INTERNAL_H

#include <stdint.h>

#include "nn/attention.h"
#include "nn/gemm.h"
#include "nn/update.h"

/* Once per process: libraries use one thread, the threads are ours. */
void gemm_backend_prepare(void);

/* Products on one core. */
struct gemm_kernels {
    size_t (*scratch_floats)(void);
    void (*block)(const struct gemm_call *g, float *scratch);
    int tile_rows;   // products of this many rows of A waste nothing
    int panel_width; // nor do those of this many columns of B, or half as many; a power of 2
    /*
     * op(B) [K,N] laid out once for many products, in panels of so many
     * columns, the last filled up with zeros, from the start of a cache line on.
     * A call with panels set reads them in place of b, ldb is K, and its N may
     * go to the end of the last panel. panel_at() is the offset of what begins
     * at row k and column n, multiples of the width.
     */
    size_t (*panels_floats)(int K, int N);
    size_t (*panel_at)(int K, int k, int n);
    void (*pack)(float *panels, const float *b, int trans_b, size_t ldb, int K, int N);
};

/*
 * Rows of scores, ld apart, n numbers of each, a multiple of the panel width. Those of keys that the row's query
 * sees count, the others become 0; the whole half panels that hold any of the former must have been written.
 */
struct score_rows {
    int rows, n;
    size_t ld;
    struct {
        int from, to;
    } seen[ATTENTION_TILE];
};

struct nn_kernels {
    const char *isa;
    struct gemm_kernels gemm;
    void (*rmsnorm_forward)(float *y, float *rstd, const float *x, const float *w, float eps, int n,
                            int C);
    void (*rmsnorm_backward)(float *dx, const float *dy, const float *x, const float *w,
                             const float *rstd, int n, int C);
    void (*rope_rotate)(float *x, const float *cosine, const float *sine, float sign, int n, int H,
                        int D, size_t stride);
    void (*swiglu_forward)(float *y, const float *gate, const float *up, size_t n);
    void (*swiglu_backward)(float *dgate, float *dup, float *y, const float *dy, const float *gate,
                            const float *up, size_t n);
    void (*exp_rows)(const struct score_rows *at, float *s, float *max,
                     float *sum); // s = e^(s - max)
    void (*prob_rows)(const struct score_rows *at, float *p, float *ds, const float *lse,
                      const float *delta); // p = e^(p - lse), ds = p (ds - delta)
    /* out [cols,rows] = in [rows,cols]^T, their rows ldo and ldi apart. */
    void (*transpose)(float *out, size_t ldo, const float *in, size_t ldi, int rows, int cols);
    void (*divide_rows)(float *y, size_t ld, const float *divisor, int rows, int n);
    void (*dot_rows)(float *y, const float *a, const float *b, int rows, int n); // a, b [rows,n]
    void (*add)(float *y, const float *x, size_t n);
    void (*add_bias)(float *y, const float *bias, int n, int O);
    double (*cross_entropy_row)(float *logits, int target, int V);
    void (*dropout)(float *y, const float *x, float scale, uint64_t key, const uint32_t counter[4],
                    uint32_t threshold, int add, size_t n);
    int (*exact_add)(int64_t *sum, const float *g, size_t n, double scale, double limit);
    void (*exact_mean)(float *g, const int64_t *sum, size_t n, double unit, double divisor);
    void (*adamw)(float *p, float *m, float *v, const float *g, size_t n,
                  const struct adamw_factors *factors);
};

extern const struct nn_kernels nn_kernels_generic;
#ifdef __x86_64__
extern const struct nn_kernels nn_kernels_avx2;
extern const struct nn_kernels nn_kernels_avx512;
#endif
#ifdef HAVE_BF16
extern const struct gemm_kernels gemm_kernels_amx;
extern const struct gemm_kernels gemm_kernels_amx_bf16;     // factors rounded to bfloat16
extern const struct gemm_kernels gemm_kernels_vectors_bf16; // the same by AVX512_BF16
int amx_available(void); // for bfloat16, and the kernel lets this process use it
int bf16_vectors_available(void);
int bf16_takes(const struct gemm_call *g); // not small ones; where rows must be apart, by K alone
#endif

#endif
