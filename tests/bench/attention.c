/*
 * Attention forward and backward on one core, by length and head width.
 *
 *     attention [BACKEND [bf16]]
 *
 * Each line is a case: tokens, head width, GFLOP/s of both passes together at
 * their best, and the share of the rate of float32 products on vector units (the
 * native backend, 512 x 512 x 512, measured beside every case). Operations are
 * those of half the square: two products forward, four backward; scores that
 * are made again do not count.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "nn/attention.h"
#include "nn/gemm.h"

static const int cases[][4] = { // tokens, query heads, key/value heads, width
    { 64, 9, 3, 64 },   { 200, 9, 3, 64 },   { 512, 9, 3, 64 },
    { 2048, 9, 3, 64 }, { 8192, 3, 1, 64 },  { 200, 8, 2, 128 },
    { 512, 8, 2, 128 }, { 2048, 4, 1, 128 }, { 8192, 2, 1, 128 }
};
static const double SECONDS = 0.7; // of each case

enum { Q, K, V, O, D_O, DQ, DK, DV, ARRAYS };

/* What both passes over a block take. */
struct data {
    float *x[ARRAYS], *lse, *delta, *scratch;
};

static float *numbers(struct arena *arena, size_t n)
{
    float *x = arena_take(arena, n, sizeof(*x));

    for (size_t i = 0; x && i < n; i++)
        x[i] = (float)((i * 2654435761u) >> 8 & 0xFFFFu) * 0x1p-16f - 0.5f;
    return x;
}

static void place(struct data *d, struct arena *arena, const struct nn *nn, int T, int H, int D)
{
    for (int i = 0; i < ARRAYS; i++)
        d->x[i] = numbers(arena, (size_t)T * H * D);
    d->lse = numbers(arena, (size_t)T * H);
    d->delta = numbers(arena, (size_t)T * H);
    d->scratch = numbers(arena, attention_scratch_floats(nn, T, D));
}

/* Best seconds of both passes over one block of T tokens; negative where there is no memory. */
static double best_of(const struct nn *nn, int T, int H, int G, int D, struct error *err)
{
    int blocks[2] = { 0, T };
    struct arena arena = { 0 };
    struct attention_call call;
    struct data d;
    double best = 1e9, end;

    place(&d, &arena, nn, T, H, D);
    if (arena_open(&arena, arena.peak, err) < 0)
        return -1.0;
    place(&d, &arena, nn, T, H, D);
    call = (struct attention_call){ .q = d.x[Q],
                                    .k = d.x[K],
                                    .v = d.x[V],
                                    .o = d.x[O],
                                    .lse = d.lse,
                                    .blocks = blocks,
                                    .n_blocks = 1,
                                    .Q = T,
                                    .H = H,
                                    .G = G,
                                    .D = D,
                                    .scratch = d.scratch };
    end = clock_s() + SECONDS;
    for (int n = 0; n < 2 || clock_s() < end; n++) {
        double start = clock_s(), s;

        attention_forward(nn, &call, T);
        attention_backward(nn, &call, T, d.x[D_O], d.delta, d.x[DQ], d.x[DK], d.x[DV]);
        s = clock_s() - start;
        best = s < best ? s : best;
    }
    arena_close(&arena);
    return best;
}

int main(int argc, char **argv)
{
    int backend = gemm_backend_from_name(argc > 1 ? argv[1] : "auto");
    struct error err;
    struct nn nn, native;

    if (backend < 0 || nn_open(&nn, (enum gemm_backend)backend, 1, &err) < 0 ||
        nn_open(&native, GEMM_NATIVE, 1, &err) < 0) {
        (void)fprintf(stderr, "usage: attention [BACKEND [bf16]]\n");
        return 2;
    }
    if (argc > 2 && strcmp(argv[2], "bf16") == 0)
        nn_use_bf16(&nn);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int T = cases[i][0], H = cases[i][1], G = cases[i][2], D = cases[i][3];
        double flops = 6.0 * T * T * D * H, rate = gemm_measure_rate(&native, DTYPE_F32, 0.2, &err);
        double best = best_of(&nn, T, H, G, D, &err), got = flops / best, after;

        if (best < 0.0) {
            (void)fprintf(stderr, "error: %s\n", err.msg);
            return 1;
        }
        after = gemm_measure_rate(&native, DTYPE_F32, 0.2, &err);
        rate = after > rate ? after : rate;
        (void)printf("%d tokens, width %d: %.1f GFLOP/s of %.1f: %.0f %%\n", T, D, got * 1e-9,
                     rate * 1e-9, 100.0 * got / rate);
    }
    nn_close(&native);
    nn_close(&nn);
    return 0;
}
