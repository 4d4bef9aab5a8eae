/*
 * nn/cross_entropy.c: logits of a few rows, turned in place into their gradient.
 */
#include "nn/cross_entropy.h"

#include "base/mem.h"
#include "nn/nn_internal.h"

enum {
    LOGITS_BYTES = 128 << 20
}; // each block of rows packs the whole head twice: few rows are dear

/* How many of M rows are computed together: as many as fit, 64 to 512. */
static int cross_entropy_rows(int M, int V)
{
    int rows = LOGITS_BYTES / ((int)sizeof(float) * (V < 1 ? 1 : V > (1 << 22) ? 1 << 22 : V));

    rows = rows < 64 ? 64 : rows > 512 ? 512 : rows;
    return M < rows ? M : rows;
}

/* Rows begin an odd number of cache lines apart: at V x 4 bytes, often a multiple of a page, they would share lines. */
static size_t row_stride(int V)
{
    enum { LINE = 16 };
    size_t lines = ((size_t)V + LINE - 1) / LINE;

    return (lines | 1) * LINE;
}

size_t cross_entropy_scratch_floats(int M, int V)
{
    return size_mul((size_t)cross_entropy_rows(M, V), row_stride(V));
}

void cross_entropy(const struct nn *nn, double *loss, float *dh, const float *h, const void *w,
                   enum dtype dtype, const int32_t *targets, int M, int C, int V, float *scratch)
{
    int step = cross_entropy_rows(M, V);
    size_t ld = row_stride(V);

    profile_products(nn->profile, PROFILE_HEAD);
    for (int i0 = 0; i0 < M; i0 += step) {
        int m = M - i0 < step ? M - i0 : step;
        struct gemm_call logits = { .trans_b = 1,
                                    .M = m,
                                    .N = V,
                                    .K = C,
                                    .alpha = 1.0f,
                                    .a = h + (size_t)i0 * C,
                                    .b = w,
                                    .b_dtype = dtype,
                                    .c = scratch,
                                    .lda = (size_t)C,
                                    .ldb = (size_t)C,
                                    .ldc = ld };
        struct gemm_call back = { .M = m,
                                  .N = C,
                                  .K = V,
                                  .alpha = 1.0f,
                                  .a = scratch,
                                  .b = w,
                                  .b_dtype = dtype,
                                  .c = dh ? dh + (size_t)i0 * C : NULL,
                                  .lda = ld,
                                  .ldb = (size_t)C,
                                  .ldc = (size_t)C };

        gemm(nn, &logits);
#pragma omp parallel for num_threads(nn->threads) schedule(static) if (nn->threads > 1)
        for (int i = 0; i < m; i++)
            loss[i0 + i] =
                nn->kernels->cross_entropy_row(scratch + (size_t)i * ld, targets[i0 + i], V);
        profile_lap(nn->profile, PROFILE_HEAD, 0.0);
        if (dh)
            gemm(nn, &back);
    }
    profile_products(nn->profile, PROFILE_GEMM);
}
