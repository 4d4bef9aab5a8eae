/*
 * nn/gemm.h: the matrix product; the only place that calls BLAS.
 */
#ifndef NN_GEMM_H
#define NN_GEMM_H

#include "nn/nn.h"
#include "tensor/dtype.h"

/*
 * C = alpha (op(A) op(B) + U op(V)) + beta C,  U = gamma op(A) op(D) where d is given
 *
 *   op(A)  [M,K]  a is [M,lda], or [K,lda] when trans_a
 *   op(B)  [K,N]  b is [K,ldb], or [N,ldb] when trans_b; f32, bf16 or f16
 *   op(D)  [K,R]  d is [K,ldd], or [R,ldd] when trans_b
 *   U      [M,R]  u is [M,ldu]; written where d is given, else read
 *   op(V)  [R,N]  v is [R,ldv], or [N,ldv] when trans_b
 *   C      [M,N]  c is [M,ldc]; not read when beta is 0
 *
 * U op(V) is the low-rank term, an adapter's product beside that of the frozen
 * weight: up to rank GEMM_LOW_RANK it rides on the same tiles, so that A is
 * read once and C written once. R 0: no such term. v NULL: U is made, but its
 * term left out. N 0: U alone.
 *
 * Leading dimensions are in numbers. C and U must not overlap the others. The
 * longer side is divided over the threads.  Local; cannot fail; allocates nothing.
 */
enum { GEMM_LOW_RANK = 64 };

struct gemm_call {
    int trans_a, trans_b, M, N, K;
    float alpha, beta;
    const float *a;
    const void *b;
    enum dtype b_dtype;
    float *c;
    size_t lda, ldb, ldc;
    int R;
    float gamma;
    const float *d, *v;
    float *u;
    size_t ldd, ldu, ldv;
    const float *panels; // of this layer's own: op(B) packed beforehand, see nn_internal.h
};

void gemm(const struct nn *nn, const struct gemm_call *call);

/* The same on the calling thread alone, with its part of the scratch memory: for use inside a parallel region. */
void gemm_serial(const struct nn *nn, const struct gemm_call *call, int thread);

/*
 * True when a row of the product x W^T and x W has the same bits whatever
 * other rows stand beside it, tried on this K and N (the run's own shapes).
 */
int gemm_rows_independent(const struct nn *nn, int N, int K, struct error *err);

enum { GEMM_RATE_SIDE = 512 };
#define GEMM_RATE_FLOPS (2.0 * GEMM_RATE_SIDE * GEMM_RATE_SIDE * GEMM_RATE_SIDE)

/*
 * Floating-point operations per second of products of 512 x 512 x 512 with weights of a type, on all threads at
 * once: the sum of what each reaches in the fastest of as many as take so long, one at least. Threads that have
 * just begun may share a core for a while, which does not count.
 */
double gemm_measure_rate(const struct nn *nn, enum dtype weights, double seconds,
                         struct error *err);

#endif
