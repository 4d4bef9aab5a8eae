/*
 * nn/simd/bf16.h: what the two files of the product of bfloat16 numbers share: the layout of panels (bf16.c
 * describes it), and their packing.
 */
#ifndef NN_BF16_H
#define NN_BF16_H

#include <immintrin.h>
#include <stdint.h>

#include "nn/gemm.h"
#include "nn/simd/simd.h"
#include "tensor/dtype.h"

enum {
    SIDE = 16,          // rows or columns of a tile
    STEP = 32,          // its length along k
    TILE = SIDE * STEP, // numbers in it
    PANEL = 2 * SIDE,
    PARTS = 3,
    PAIRS = 6 // of parts of two floats that count
};

/* Part a of a number of op(A) times part b of one of op(B). Neighbours in a list share one, which stays loaded. */
struct pair {
    int a, b;
};

static const struct pair pairs_3x3[PAIRS] = { { 0, 2 }, { 0, 0 }, { 2, 0 },
                                              { 1, 0 }, { 1, 1 }, { 0, 1 } };

/* A matrix; along: k runs along its rows, which are lines of the panel, else its rows are numbers of one k. */
struct operand {
    const void *x;
    enum dtype dtype;
    int along, parts;
    size_t ld;
};

/* How many tiles wide a panel of n columns is. */
static int bf16_tiles(int n)
{
    return n <= SIDE ? 1 : 2;
}

/*
 * A panel of n lines from line j on, k from k0 on: rows of op(A), or columns of
 * op(B), which are packed so many tiles wide.
 */
void bf16_pack_rows(uint16_t *dst, const struct operand *a, int k0, int kc, int i, int m);
void bf16_pack_columns(uint16_t *dst, const struct operand *b, int k0, int kc, int j, int n,
                       int tiles);

/* The low-rank ends of panels for tiles: u [m,R]; v [R,n], or [n,R] where B is transposed. */
void bf16_pack_low_rank_rows(uint16_t *dst, const float *u, size_t ldu, int m, int R,
                             uint16_t *buffer);
void bf16_pack_low_rank_columns(uint16_t *dst, const struct gemm_call *g, int j, int n,
                                uint16_t *buffer);

/* Those for vectors: floats, rows of R, and R rows of 16 or 32 with zeros behind n. */
void bf16_copy_low_rank_rows(float *dst, const float *u, size_t ldu, int m, int R);
void bf16_copy_low_rank_columns(float *dst, const struct gemm_call *g, int j, int n);

#endif
