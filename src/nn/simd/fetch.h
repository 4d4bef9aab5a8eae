/*
 * nn/simd/fetch.h: memory asked for while a product is computed, so that it lies in the second cache
 * when it is to be packed.
 *
 * What comes next is a rectangle of rows, in memory. Many products run beside it, each of some steps:
 * each product takes its share of the rows, and each step a piece of that.
 */
#ifndef NN_FETCH_H
#define NN_FETCH_H

#include <stdint.h>

#include "nn/gemm.h"
#include "nn/simd/simd.h"
#include "tensor/dtype.h"

/* What the next step asks for: so many rows, ld apart, width of each; then it is step further on. Bytes. */
struct fetch {
    uintptr_t at;
    size_t ld, width, step;
    int rows;
};

/* Product number part of so many, and its steps. */
struct fetch_share {
    int part, parts, steps;
};

enum { FETCH_LINE = 64 };

INLINE void fetch_step(struct fetch *f)
{
    for (int i = 0; i < f->rows; i++)
        for (size_t w = 0; w < f->width; w += FETCH_LINE)
            __builtin_prefetch((const void *)(f->at + (size_t)i * f->ld + w), 0, 2);
    f->at += f->step;
}

/* A share of rows of so many bytes: each step goes on along all its rows. */
INLINE struct fetch fetch_along(uintptr_t at, size_t ld, int rows, size_t bytes,
                                struct fetch_share s)
{
    int first = rows * s.part / s.parts, end = rows * (s.part + 1) / s.parts;
    size_t width = (bytes + (size_t)s.steps - 1) / (size_t)s.steps;

    return (struct fetch){ at + (size_t)first * ld, ld, width, width, end - first };
}

/* Of what each step asks for, a share of the rows. */
INLINE struct fetch fetch_part(struct fetch f, int part, int parts)
{
    int first = f.rows * part / parts;

    f.at += (size_t)first * f.ld;
    f.rows = f.rows * (part + 1) / parts - first;
    return f;
}

/* The same: each step takes whole rows. */
INLINE struct fetch fetch_down(uintptr_t at, size_t ld, int rows, size_t bytes,
                               struct fetch_share s)
{
    int first = rows * s.part / s.parts, end = rows * (s.part + 1) / s.parts;
    int each = (end - first + s.steps - 1) / s.steps;

    return (struct fetch){ at + (size_t)first * ld, ld, bytes, (size_t)each * ld, each };
}

/*
 * A share of rows k0 to k0 + kc, columns j to j + n of op(B), as B is given. Numbers of a mapped file begin anywhere
 * in a line: of a row's lines the first has come with the columns before it, the last is asked for.
 */
INLINE struct fetch fetch_columns(const struct gemm_call *g, int k0, int kc, int j, int n,
                                  struct fetch_share s)
{
    size_t size = dtype_size(g->b_dtype), ld = g->ldb * size;
    uintptr_t b = (uintptr_t)g->b;

    if (g->trans_b)
        return fetch_along(b + (size_t)j * ld + (size_t)k0 * size, ld, n, (size_t)kc * size, s);
    return fetch_down(b + (size_t)k0 * ld + (size_t)j * size + FETCH_LINE - 1, ld, kc,
                      (size_t)n * size, s);
}

/* A share of what is packed. */
INLINE struct fetch fetch_packed(const void *p, size_t bytes, struct fetch_share s)
{
    return fetch_down((uintptr_t)p, FETCH_LINE, (int)(bytes / FETCH_LINE), FETCH_LINE, s);
}

/* A tile of C before its sums are made: so many rows, ld floats apart, and vectors of floats of each. */
INLINE void fetch_sums(const float *c, size_t ld, int rows, int vectors)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++)
            __builtin_prefetch(c + (size_t)i * ld + j * VLEN, 1);
}

#endif
