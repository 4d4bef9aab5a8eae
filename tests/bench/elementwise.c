/*
 * The passes over memory of a layer, on one core, against the memory's own rate.
 *
 *     elementwise
 *
 * Arrays of 64 MiB, too large for the caches that a core has to itself. Each line
 * is a pass: how many arrays it reads and writes, GB/s of them at its best, and
 * the share of the rate of z = x + 3 y, as of STREAM (McCalpin 1995), measured
 * beside it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "nn/elementwise.h"
#include "nn/rmsnorm.h"
#include "nn/rope.h"

enum { ROWS = 8192, WIDTH = 2048, HEAD = 64, ARRAYS = 6 };
static const size_t NUMBERS = (size_t)ROWS * WIDTH;
static const double SECONDS = 0.5; // of each pass

/* The arrays, and what a pass has for each row. */
struct data {
    struct nn nn;
    float *x[ARRAYS];
    float *w, *rstd, *cosine, *sine;
};

static float *numbers(size_t n)
{
    float *x = malloc(n * sizeof(*x));

    for (size_t i = 0; x && i < n; i++)
        x[i] = (float)((i * 2654435761u) >> 8 & 0xFFFFu) * 0x1p-16f - 0.5f;
    if (!x) {
        (void)fprintf(stderr, "not enough memory\n");
        exit(1);
    }
    return x;
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
    swiglu_backward(&d->nn, d->x[0], d->x[3], d->x[4], d->x[5], d->x[1], d->x[2], NUMBERS);
}

static const struct pass {
    const char *name;
    void (*run)(struct data *d);
    int arrays; // read and written
} passes[] = { { "residual sum", add, 3 },
               { "RMSNorm", norm_forward, 2 },
               { "RMSNorm backward", norm_backward, 4 },
               { "RoPE", rotate, 2 },
               { "SwiGLU", glu_forward, 3 },
               { "SwiGLU backward", glu_backward, 6 } };

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
    static const struct pass copy = { "triad", triad, 3 };
    struct data d;
    struct error err;

    if (nn_open(&d.nn, GEMM_NATIVE, 1, &err) < 0) {
        (void)fprintf(stderr, "error: %s\n", err.msg);
        return 1;
    }
    for (int i = 0; i < ARRAYS; i++)
        d.x[i] = numbers(NUMBERS);
    d.w = numbers(WIDTH);
    d.rstd = numbers(ROWS);
    d.cosine = numbers((size_t)ROWS * HEAD / 2);
    d.sine = numbers((size_t)ROWS * HEAD / 2);
    for (size_t i = 0; i < (size_t)ROWS * HEAD / 2;
         i++) { // an angle: numbers stay as large as they are
        d.cosine[i] = 0.6f;
        d.sine[i] = 0.8f;
    }
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
        double memory = bytes_per_second(&d, &copy, SECONDS / 2);
        double got = bytes_per_second(&d, &passes[i], SECONDS), after;

        after = bytes_per_second(&d, &copy, SECONDS / 2);
        memory = after > memory ? after : memory;
        (void)printf("%s, %d arrays: %.1f GB/s of %.1f: %.0f %%\n", passes[i].name,
                     passes[i].arrays, got * 1e-9, memory * 1e-9, 100.0 * got / memory);
    }
    for (int i = 0; i < ARRAYS; i++)
        free(d.x[i]);
    free(d.w);
    free(d.rstd);
    free(d.cosine);
    free(d.sine);
    nn_close(&d.nn);
    return 0;
}
