/*
 * The passes over memory of a layer, on one core, against the memory's own rate.
 *
 *     elementwise
 *
 * Arrays of 64 MiB, too large for the caches that a core has to itself. Each line
 * is a pass as layers make it: how many arrays it moves, GB/s of them at its best,
 * and the share of the rate of z = x + 3 y, as of STREAM (McCalpin 1995), measured
 * beside it. An array that is written moves once, and once more into the cache
 * before that, if only for being written.
 */
#include <stdio.h>

#include "base/arena.h"
#include "base/clock.h"
#include "nn/elementwise.h"
#include "nn/rmsnorm.h"
#include "nn/rope.h"

enum { ROWS = 8192, WIDTH = 2048, HEAD = 64, ARRAYS = 5 };
static const size_t NUMBERS = (size_t)ROWS * WIDTH;
static const double SECONDS = 0.5; // of each pass

/* The arrays, and what a pass has for each row. */
struct data {
    struct nn nn;
    float *x[ARRAYS];
    float *w, *rstd, *cosine, *sine;
};

static float *numbers(struct arena *arena, size_t n)
{
    float *x = arena_take(arena, n, sizeof(*x));

    for (size_t i = 0; x && i < n; i++)
        x[i] = (float)((i * 2654435761u) >> 8 & 0xFFFFu) * 0x1p-16f - 0.5f;
    return x;
}

static void place(struct data *d, struct arena *arena)
{
    size_t angles = (size_t)ROWS * HEAD / 2;

    for (int i = 0; i < ARRAYS; i++)
        d->x[i] = numbers(arena, NUMBERS);
    d->w = numbers(arena, WIDTH);
    d->rstd = numbers(arena, ROWS);
    d->cosine = numbers(arena, angles);
    d->sine = numbers(arena, angles);
    for (size_t i = 0; d->sine && i < angles; i++) { // an angle: numbers stay as large as they are
        d->cosine[i] = 0.6f;
        d->sine[i] = 0.8f;
    }
}

static void triad(struct data *d)
{
    float *z = d->x[0];
    const float *x = d->x[1], *y = d->x[2];

#pragma omp simd
    for (size_t i = 0; i < NUMBERS; i++)
        z[i] = x[i] + 3.0f * y[i];
}

static void add(struct data *d)
{
    add_forward(&d->nn, d->x[0], d->x[1], NUMBERS);
}

static void norm_forward(struct data *d)
{
    rmsnorm_forward(&d->nn, d->x[0], d->rstd, d->x[1], d->w, 1e-5f, ROWS, WIDTH);
}

static void norm_backward(struct data *d)
{
    rmsnorm_backward(&d->nn, d->x[0], d->x[2], d->x[1], d->w, d->rstd, ROWS, WIDTH);
}

static void rotate(struct data *d)
{
    rope_forward(&d->nn, d->x[1], d->cosine, d->sine, ROWS, WIDTH / HEAD, HEAD);
}

static void glu_forward(struct data *d)
{
    swiglu_forward(&d->nn, d->x[0], d->x[1], d->x[2], NUMBERS);
}

static void glu_backward(struct data *d)
{
    swiglu_backward(&d->nn, d->x[0], d->x[3], d->x[4], d->x[3], d->x[1], d->x[2], NUMBERS);
}

static const struct pass {
    const char *name;
    void (*run)(struct data *d);
    int arrays; // moved
} passes[] = { { "residual sum", add, 3 },
               { "RMSNorm", norm_forward, 3 },
               { "RMSNorm backward", norm_backward, 4 },
               { "RoPE", rotate, 2 },
               { "SwiGLU", glu_forward, 4 },
               { "SwiGLU backward", glu_backward, 8 } };

static double bytes_per_second(struct data *d, const struct pass *pass, double seconds)
{
    double best = 1e9, end = clock_s() + seconds;

    for (int n = 0; n < 2 || clock_s() < end; n++) {
        double start = clock_s(), s;

        pass->run(d);
        s = clock_s() - start;
        best = s < best ? s : best;
    }
    return (double)pass->arrays * (double)(NUMBERS * sizeof(float)) / best;
}

int main(void)
{
    static const struct pass copy = { "triad", triad, 4 };
    struct arena arena = { 0 };
    struct data d;
    struct error err;

    place(&d, &arena);
    if (nn_open(&d.nn, GEMM_NATIVE, 1, &err) < 0 || arena_open(&arena, arena.peak, &err) < 0) {
        (void)fprintf(stderr, "error: %s\n", err.msg);
        return 1;
    }
    place(&d, &arena);
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
        double memory = bytes_per_second(&d, &copy, SECONDS / 2);
        double got = bytes_per_second(&d, &passes[i], SECONDS), after;

        after = bytes_per_second(&d, &copy, SECONDS / 2);
        memory = after > memory ? after : memory;
        (void)printf("%s, %d arrays: %.1f GB/s of %.1f: %.0f %%\n", passes[i].name,
                     passes[i].arrays, got * 1e-9, memory * 1e-9, 100.0 * got / memory);
    }
    arena_close(&arena);
    nn_close(&d.nn);
    return 0;
}
