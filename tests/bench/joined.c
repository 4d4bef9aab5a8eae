/*
 * What is there to gain if matrices that multiply the same input were one matrix?
 *
 *     joined [BACKEND]
 *
 * Each line is a pair or triple of a layer's products by weights in bfloat16, on
 * one core: the time of the separate products over that of the joined one, in
 * turns, the median of all turns.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "nn/gemm.h"

enum { PARTS = 3, TURNS = 21 };

static const struct shape {
    const char *name;
    int M, K, N[PARTS];
} shapes[] = { { "q, k, v of SmolLM2-135M", 2048, 576, { 576, 192, 192 } },
               { "gate, up of SmolLM2-135M", 2048, 576, { 1536, 1536 } },
               { "q, k, v of Qwen2.5-7B", 512, 3584, { 3584, 512, 512 } },
               { "gate, up of Qwen2.5-7B", 512, 3584, { 18944, 18944 } } };

static double seconds(const struct nn *nn, const struct shape *s, const int *N, int n,
                      const float *x, const uint16_t *w, float *y)
{
    double start = clock_s();

    for (int i = 0; i < n && N[i] > 0; i++) {
        gemm(nn, &(struct gemm_call){ .trans_b = 1,
                                      .M = s->M,
                                      .N = N[i],
                                      .K = s->K,
                                      .alpha = 1.0f,
                                      .a = x,
                                      .b = w,
                                      .b_dtype = DTYPE_BF16,
                                      .c = y,
                                      .lda = (size_t)s->K,
                                      .ldb = (size_t)s->K,
                                      .ldc = (size_t)N[i] });
        w += (size_t)N[i] * s->K;
        y += (size_t)N[i] * s->M;
    }
    return clock_s() - start;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int measure(const struct nn *nn, const struct shape *s)
{
    int all = s->N[0] + s->N[1] + s->N[2];
    float *x = calloc((size_t)s->M * s->K, sizeof(*x)), *y = calloc((size_t)s->M * all, sizeof(*y));
    uint16_t *w = calloc((size_t)all * s->K, sizeof(*w));
    double ratio[TURNS];

    if (!x || !y || !w)
        return -1;
    for (size_t i = 0; i < (size_t)s->M * s->K; i++)
        x[i] = (float)(i % 1021) * 0x1p-10f - 0.5f;
    for (size_t i = 0; i < (size_t)all * s->K; i++)
        w[i] = float_to_bf16((float)(i % 1019) * 0x1p-10f - 0.5f);
    for (int t = 0; t < TURNS; t++) {
        double apart = seconds(nn, s, s->N, PARTS, x, w, y);

        ratio[t] = apart / seconds(nn, s, &all, 1, x, w, y);
    }
    qsort(ratio, TURNS, sizeof(ratio[0]), ascending);
    (void)printf("%s: %.3f\n", s->name, ratio[TURNS / 2]);
    free(x);
    free(y);
    free(w);
    return 0;
}

int main(int argc, char **argv)
{
    int backend = gemm_backend_from_name(argc > 1 ? argv[1] : "auto");
    struct error err;
    struct nn nn;

    if (backend < 0 || nn_open(&nn, (enum gemm_backend)backend, 1, &err) < 0) {
        (void)fprintf(stderr, "usage: joined [BACKEND]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (measure(&nn, &shapes[i]) < 0) {
            (void)fprintf(stderr, "not enough memory\n");
            return 1;
        }
    nn_close(&nn);
    return 0;
}
