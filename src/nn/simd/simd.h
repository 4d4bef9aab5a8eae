/*
 * nn/simd/simd.h: one source, several instruction sets.
 *
 * The .c files of this folder, but for those that bf16.h describes, are compiled
 * once per instruction set, with NN_ISA naming it: generic, avx2 (with FMA) and
 * avx512. SIMD(f) is the name of f in that set. Vectors are the compiler's own
 * (GCC and clang), so there is no intrinsic and any CPU can be served.
 */
#ifndef NN_SIMD_H
#define NN_SIMD_H

#include <stdint.h>
#include <string.h>

#include "nn/gemm.h"
#include "nn/update.h"

#define INLINE static inline __attribute__((always_inline))

#define SIMD_JOIN_(name, isa) name##_##isa
#define SIMD_JOIN(name, isa)  SIMD_JOIN_(name, isa)
#define SIMD(name)            SIMD_JOIN(name, NN_ISA)
#define SIMD_TEXT_(isa)       #isa
#define SIMD_TEXT(isa)        SIMD_TEXT_(isa)

#if defined(__AVX512F__)
#define VLEN 16 // floats in a vector
#define MR   14 // rows of a tile of sums: as many as the registers hold
#elif defined(__AVX2__)
#define VLEN 8
#define MR   6
#else
#define VLEN 4
#define MR   4
#endif
#define NV 2 // vectors in a row of it
#define NR (NV * VLEN)

typedef float vfloat __attribute__((vector_size(VLEN * 4)));
typedef int32_t vint __attribute__((vector_size(VLEN * 4)));
typedef uint16_t vhalf_u __attribute__((vector_size(VLEN * 2), aligned(2), may_alias));
typedef float vfloat_u __attribute__((vector_size(VLEN * 4), aligned(4), may_alias));

static inline vfloat vload(const float *p)
{
    return *(const vfloat_u *)p;
}

static inline void vstore(float *p, vfloat v)
{
    *(vfloat_u *)p = v;
}

static inline vfloat vset(float f)
{
    return f - (vfloat){ 0 };
}

/*
 * Step d of a transposition: in blocks of d lanes, the upper right of rows i
 * and i + d changes places with the lower left.
 */
#define SIMD_LOW(x, d)        ((x) & (d) ? VLEN + (x) - (d) : (x))
#define SIMD_HIGH(x, d)       ((x) & (d) ? VLEN + (x) : (x) + (d))
#define SIMD_LANES4(f, x, d)  f(x, d), f((x) + 1, d), f((x) + 2, d), f((x) + 3, d)
#define SIMD_LANES8(f, x, d)  SIMD_LANES4(f, x, d), SIMD_LANES4(f, (x) + 4, d)
#define SIMD_LANES16(f, x, d) SIMD_LANES8(f, x, d), SIMD_LANES8(f, (x) + 8, d)
#define SIMD_LANES(f, d)      SIMD_JOIN_LANES(VLEN)(f, 0, d)
#define SIMD_JOIN_LANES(n)    SIMD_JOIN_LANES_(n)
#define SIMD_JOIN_LANES_(n)   SIMD_LANES##n
#ifdef __clang__
#define SIMD_PICK(a, b, f, d) __builtin_shufflevector(a, b, SIMD_LANES(f, d))
#else
#define SIMD_PICK(a, b, f, d) __builtin_shuffle(a, b, (vint){ SIMD_LANES(f, d) })
#endif
#define SIMD_TRANSPOSE_STEP(v, d)                            \
    for (int i_ = 0; i_ < VLEN; i_++)                        \
        if (!(i_ & (d))) {                                   \
            vfloat a_ = (v)[i_], b_ = (v)[i_ | (d)];         \
                                                             \
            (v)[i_] = SIMD_PICK(a_, b_, SIMD_LOW, d);        \
            (v)[i_ | (d)] = SIMD_PICK(a_, b_, SIMD_HIGH, d); \
        }

/* v[i][j] = v[j][i], VLEN x VLEN, in registers. */
static inline __attribute__((always_inline)) void vtranspose(vfloat *v)
{
#pragma GCC unroll 16
    SIMD_TRANSPOSE_STEP(v, 1)
#pragma GCC unroll 16
    SIMD_TRANSPOSE_STEP(v, 2)
#if VLEN > 4
#pragma GCC unroll 16
    SIMD_TRANSPOSE_STEP(v, 4)
#endif
#if VLEN > 8
#pragma GCC unroll 16
    SIMD_TRANSPOSE_STEP(v, 8)
#endif
}

/* The length of a block of n: equal parts of at most max, multiples of a step that divides max. */
static inline int block_of(int n, int max, int step)
{
    int parts = (n + max - 1) / max;

    return ((n + parts - 1) / parts + step - 1) / step * step;
}

/*
 * How much of K is summed at a time. Equal parts, but where op(B) was packed beforehand the most there is: a row of
 * attention is then cut at the same places however many keys follow those that it sees, which add nothing.
 */
static inline int depth_of_block(const struct gemm_call *g, int max, int step)
{
    return g->panels || g->K <= max ? max : block_of(g->K, max, step);
}

/*
 * v, rounded: the compiler must not fuse the product that made it with a later
 * sum, which it would do in one tile and not in another.
 */
static inline vfloat vrounded(vfloat v)
{
#if defined(__x86_64__)
    __asm__("" : "+v"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#else
    __asm__("" : "+m"(v));
#endif
    return v;
}

/*
 * e^x within 1 ulp for x in [-87, 88], 0 below; NaN stays NaN. Range reduction by ln 2 in two parts, then a
 * polynomial of degree 6 (minimax on [-ln2/2, ln2/2]), times 2^n. Written so that a loop over it becomes vector
 * code.
 */
static inline float exp_bounded(float x)
{
    const float shift = 0x1.8p23f; // adding it rounds to an integer, kept in the low bits
    const uint32_t bias = 127;
    float t = x * 0x1.715476p0f + shift, n = t - shift, r, p, power;
    uint32_t bits;

    r = x - n * 0x1.62e4p-1f;
    r = r - n * 0x1.7f7d1cp-20f;
    p = 0x1.6850e4p-10f;
    p = p * r + 0x1.123bccp-7f;
    p = p * r + 0x1.555b98p-5f;
    p = p * r + 0x1.55548ep-3f;
    p = p * r + 0x1.fffff8p-2f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    memcpy(&bits, &t, sizeof(bits));
    bits = (bits + bias) << 23;
    memcpy(&power, &bits, sizeof(power));
    return x < -87.0f ? 0.0f : p * power;
}

/* The same, e^88 above 88. */
static inline float exp_fast(float x)
{
    return exp_bounded(x > 88.0f ? 88.0f : x);
}

/* Declared here because gemm.c and update.c define them and elementwise.c lists them. */
size_t SIMD(gemm_scratch_floats)(void);
size_t SIMD(gemm_panels_floats)(int K, int N);
size_t SIMD(gemm_panel_at)(int K, int k, int n);
void SIMD(gemm_pack)(float *panels, const float *b, int trans_b, size_t ldb, int K, int N);
void SIMD(gemm_block)(const struct gemm_call *g, float *scratch);
int SIMD(exact_add)(int64_t *sum, const float *g, size_t n, double scale, double limit);
void SIMD(exact_mean)(float *g, const int64_t *sum, size_t n, double unit, double divisor);
void SIMD(adamw)(float *p, float *m, float *v, const float *g, size_t n,
                 const struct adamw_factors *factors);

#endif
