/*
 * tiles.h: the tile instructions of AMX in plain C, for CPUs without them; included before the code under test.
 *
 * Intel, Instruction Set Extensions Reference 319433: LDTILECFG and what follows. All tiles have 16 rows of 64 bytes.
 */
#ifndef TILES_H
#define TILES_H

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "tensor/dtype.h"

enum { TILES_COUNT = 8, TILES_ROWS = 16, TILES_BYTES = 64 };

static _Thread_local union {
    float sum[TILES_ROWS][TILES_BYTES / 4];
    uint16_t number[TILES_ROWS][TILES_BYTES / 2];
} tiles_held[TILES_COUNT];

static inline void tiles_load(int t, const void *p, size_t stride)
{
    for (size_t i = 0; i < TILES_ROWS; i++)
        memcpy(tiles_held[t].sum[i], (const char *)p + i * stride, TILES_BYTES);
}

static inline void tiles_store(int t, void *p, size_t stride)
{
    for (size_t i = 0; i < TILES_ROWS; i++)
        memcpy((char *)p + i * stride, tiles_held[t].sum[i], TILES_BYTES);
}

static inline void tiles_zero(int t)
{
    memset(&tiles_held[t], 0, sizeof(tiles_held[t]));
}

/* Sums of row m and column n: pairs along a row of a, down the columns of b. */
static inline void tiles_multiply(int sums, int a, int b)
{
    for (int m = 0; m < TILES_ROWS; m++)
        for (int k = 0; k < TILES_BYTES / 2; k++)
            for (int n = 0; n < TILES_BYTES / 4; n++)
                tiles_held[sums].sum[m][n] =
                    fmaf(bf16_to_float(tiles_held[a].number[m][k]),
                         bf16_to_float(tiles_held[b].number[k / 2][2 * n + k % 2]),
                         tiles_held[sums].sum[m][n]);
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#define _tile_loadconfig(shapes)   ((void)(shapes))
#define _tile_release()            ((void)0)
#define _tile_loadd(t, p, stride)  tiles_load(t, p, stride)
#define _tile_stored(t, p, stride) tiles_store(t, p, stride)
#define _tile_zero(t)              tiles_zero(t)
#define _tile_dpbf16ps(s, a, b)    tiles_multiply(s, a, b)
#define amx_available              amx_really_available // test_tiles.c has the other

#endif
