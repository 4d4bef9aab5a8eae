/*
 * nn/simd/elementwise.c: everything that is not a matrix product, on one core.
 *
 * Plain loops that the compiler turns into vector code. Sums over a row are
 * taken in VLEN lanes (omp simd), in an order that depends on the row's length
 * alone.
 */
#include <math.h>

#include "base/rng.h"
#include "nn/nn_internal.h"
#include "nn/simd/simd.h"

static void rmsnorm_forward(float *y, float *rstd, const float *x, const float *w, float eps, int n,
                            int C)
{
    for (int i = 0; i < n; i++) {
        const float *xi = x + (size_t)i * C;
        float *yi = y + (size_t)i * C;
        float sum = 0.0f, r;

#pragma omp simd reduction(+ : sum)
        for (int c = 0; c < C; c++)
            sum += xi[c] * xi[c];
        r = 1.0f / sqrtf(sum / (float)C + eps);
        rstd[i] = r;
        for (int c = 0; c < C; c++)
            yi[c] = xi[c] * r * w[c];
    }
}

static void rmsnorm_backward(float *dx, const float *dy, const float *x, const float *w,
                             const float *rstd, int n, int C)
{
    for (int i = 0; i < n; i++) {
        const float *xi = x + (size_t)i * C;
        const float *dyi = dy + (size_t)i * C;
        float *dxi = dx + (size_t)i * C;
        float r = rstd[i], sum = 0.0f, k;

#pragma omp simd reduction(+ : sum)
        for (int c = 0; c < C; c++)
            sum += dyi[c] * w[c] * xi[c];
        k = sum * r * r * r / (float)C;
        for (int c = 0; c < C; c++)
            dxi[c] += dyi[c] * w[c] * r - xi[c] * k;
    }
}

static void rope_rotate(float *x, const float *cosine, const float *sine, float sign, int n, int H,
                        int D, size_t stride)
{
    int half = D / 2;

    for (int i = 0; i < n; i++) {
        const float *ci = cosine + (size_t)i * half;
        const float *si = sine + (size_t)i * half;

        for (int h = 0; h < H; h++) {
            float *lo = x + (size_t)i * stride + (size_t)h * D;
            float *hi = lo + half;

#pragma omp simd
            for (int d = 0; d < half; d++) {
                float a = lo[d], b = hi[d], s = sign * si[d];

                lo[d] = a * ci[d] - b * s;
                hi[d] = b * ci[d] + a * s;
            }
        }
    }
}

static void swiglu_forward(float *y, const float *gate, const float *up, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] = gate[i] * (1.0f / (1.0f + exp_fast(-gate[i]))) * up[i];
}

static void swiglu_backward(float *dgate, float *dup, float *y, const float *dy, const float *gate,
                            const float *up, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float s = 1.0f / (1.0f + exp_fast(-gate[i]));
        float d = dy[i], silu = gate[i] * s;

        y[i] = silu * up[i];
        dup[i] = d * silu;
        dgate[i] = d * up[i] * s * (1.0f + gate[i] * (1.0f - s));
    }
}

/* Two vectors of maxima: one would wait for itself. */
static float row_max(const float *row, int n)
{
    float lane[NR], max = -INFINITY;
    int i;

    for (int j = 0; j < NR; j++)
        lane[j] = -INFINITY;
    for (i = 0; i + NR <= n; i += NR)
        for (int j = 0; j < NR; j++)
            lane[j] = row[i + j] > lane[j] ? row[i + j] : lane[j];
    for (; i + VLEN <= n; i += VLEN)
        for (int j = 0; j < VLEN; j++)
            lane[j] = row[i + j] > lane[j] ? row[i + j] : lane[j];
    for (; i < n; i++)
        max = row[i] > max ? row[i] : max;
#pragma GCC unroll 8
    for (int half = NR / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] = lane[j + half] > lane[j] ? lane[j + half] : lane[j];
    return lane[0] > max ? lane[0] : max;
}

/* Of the vector at i of a row, what is not in [from, to) becomes -infinity. */
INLINE void hide(float *row, int i, int from, int to)
{
    float lane[VLEN];

    memcpy(lane, row + i, sizeof(lane));
    for (int j = 0; j < VLEN; j++)
        lane[j] = i + j >= from && i + j < to ? lane[j] : -INFINITY;
    memcpy(row + i, lane, sizeof(lane));
}

/* A row of scores, and its vectors that hold any that count. */
struct seen {
    float *row;
    int from, to;
};

static struct seen seen_of(const struct score_rows *at, float *s, int r)
{
    int from = at->seen[r].from, to = at->seen[r].to;

    return (struct seen){ s + (size_t)r * at->ld, from < to ? from / VLEN * VLEN : 0,
                          from < to ? (to + VLEN - 1) / VLEN * VLEN : 0 };
}

/* Those in these vectors that do not count become -infinity. */
static void hide_others(const struct score_rows *at, const struct seen *seen, int r)
{
    int from = at->seen[r].from, to = at->seen[r].to;

    if (seen->from < from && from < to)
        hide(seen->row, seen->from, from, to);
    if (to < seen->to)
        hide(seen->row, seen->to - VLEN, from, to);
}

/* Beside these vectors all become 0: mostly one or two, for which the compiler must not call memset(). */
INLINE void clear_others(const struct score_rows *at, const struct seen *seen)
{
    const vfloat zero = vrounded((vfloat){ 0 });

    for (int i = 0; i < seen->from; i += VLEN)
        vstore(seen->row + i, zero);
    for (int i = seen->to; i < at->n; i += VLEN)
        vstore(seen->row + i, zero);
}

/* First all maxima, then all exponentials: a row alone would wait for its maximum. */
static void exp_rows(const struct score_rows *at, float *s, float *max, float *sum)
{
    for (int r = 0; r < at->rows; r++) {
        struct seen seen = seen_of(at, s, r);

        hide_others(at, &seen, r);
        max[r] = row_max(seen.row + seen.from, seen.to - seen.from);
    }
    for (int r = 0; r < at->rows; r++) {
        struct seen seen = seen_of(at, s, r);
        float lane[VLEN] = { 0 }, top = max[r];

        for (int i = seen.from; i < seen.to; i += VLEN)
            for (int j = 0; j < VLEN; j++) {
                seen.row[i + j] = exp_bounded(seen.row[i + j] - top);
                lane[j] += seen.row[i + j];
            }
#pragma GCC unroll 8
        for (int half = VLEN / 2; half > 0; half /= 2)
            for (int j = 0; j < half; j++)
                lane[j] += lane[j + half];
        sum[r] = lane[0];
        clear_others(at, &seen);
    }
}

INLINE void prob_row(float *restrict p, float *restrict ds, int n, float lse, float delta)
{
    for (int i = 0; i < n; i += VLEN)
        for (int j = 0; j < VLEN; j++) {
            p[i + j] = exp_bounded(p[i + j] - lse);
            ds[i + j] = p[i + j] * (ds[i + j] - delta);
        }
}

static void prob_rows(const struct score_rows *at, float *p, float *ds, const float *lse,
                      const float *delta)
{
    for (int r = 0; r < at->rows; r++) {
        struct seen prob = seen_of(at, p, r), slope = seen_of(at, ds, r);

        hide_others(at, &prob, r);
        prob_row(prob.row + prob.from, slope.row + prob.from, prob.to - prob.from, lse[r],
                 delta[r]);
        clear_others(at, &prob);
        clear_others(at, &slope);
    }
}

static void transpose(float *out, size_t ldo, const float *in, size_t ldi, int rows, int cols)
{
    int whole_rows = rows / VLEN * VLEN, whole_cols = cols / VLEN * VLEN;

    for (int r = 0; r < whole_rows; r += VLEN)
        for (int c = 0; c < whole_cols; c += VLEN) {
            vfloat v[VLEN];

#pragma GCC unroll 16
            for (int i = 0; i < VLEN; i++)
                v[i] = vload(in + (size_t)(r + i) * ldi + c);
            vtranspose(v);
#pragma GCC unroll 16
            for (int i = 0; i < VLEN; i++)
                vstore(out + (size_t)(c + i) * ldo + r, v[i]);
        }
    for (int r = 0; r < rows; r++) // what is left of each row
        for (int c = r < whole_rows ? whole_cols : 0; c < cols; c++)
            out[(size_t)c * ldo + r] = in[(size_t)r * ldi + c];
}

static void divide_rows(float *y, size_t ld, const float *divisor, int rows, int n)
{
    for (int r = 0; r < rows; r++) {
        float factor = 1.0f / divisor[r], *row = y + (size_t)r * ld;

#pragma omp simd
        for (int i = 0; i < n; i++)
            row[i] *= factor;
    }
}

static void dot_rows(float *y, const float *a, const float *b, int rows, int n)
{
    for (int r = 0; r < rows; r++, a += n, b += n) {
        float sum = 0.0f;

#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < n; i++)
            sum += a[i] * b[i];
        y[r] = sum;
    }
}

static void add(float *y, const float *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void add_bias(float *y, const float *bias, int n, int O)
{
    for (int i = 0; i < n; i++)
        add(y + (size_t)i * O, bias, (size_t)O);
}

/*
 * The exponentials are summed in blocks: within a block in float lanes,
 * over the blocks in double, so that a vocabulary of 150,000 costs no
 * accuracy.
 */
static double cross_entropy_row(float *logits, int target, int V)
{
    enum { BLOCK = 1024 };
    float max = row_max(logits, V), scale;
    double sum = 0.0, loss;
    float at_target = logits[target];

    for (int v = 0; v < V; v += BLOCK) {
        int n = V - v < BLOCK ? V - v : BLOCK;
        float part = 0.0f;
        float *p = logits + v;

#pragma omp simd reduction(+ : part)
        for (int i = 0; i < n; i++) {
            p[i] = exp_bounded(p[i] - max);
            part += p[i];
        }
        sum += part;
    }
    loss = log(sum) + (double)max - (double)at_target;
    scale = (float)(1.0 / sum);
    for (int v = 0; v < V; v++)
        logits[v] *= scale;
    logits[target] -= 1.0f;
    return loss;
}

/* Eight numbers a generator call, sixteen bits each. */
static void dropout(float *y, const float *x, float scale, uint64_t key, const uint32_t counter[4],
                    uint32_t threshold, int accumulate, size_t n)
{
    uint32_t at[4] = { counter[0], counter[1], counter[2], counter[3] };

    for (size_t i = 0; i < n; i += 8, at[0]++) {
        uint32_t word[4];
        float keep[8];
        size_t m = n - i < 8 ? n - i : 8;

        rng_philox(word, key, at);
        for (int j = 0; j < 4; j++) {
            keep[2 * j] = (word[j] & 0xFFFFu) >= threshold ? scale : 0.0f;
            keep[2 * j + 1] = (word[j] >> 16) >= threshold ? scale : 0.0f;
        }
        for (size_t j = 0; j < m; j++)
            y[i + j] = (accumulate ? y[i + j] : 0.0f) + x[i + j] * keep[j];
    }
}

const struct nn_kernels SIMD(nn_kernels) = {
    .isa = SIMD_TEXT(NN_ISA),
    .gemm = { .scratch_floats = SIMD(gemm_scratch_floats),
              .block = SIMD(gemm_block),
              .tile_rows = MR,
              .panel_width = NR,
              .panels_floats = SIMD(gemm_panels_floats),
              .panel_at = SIMD(gemm_panel_at),
              .pack = SIMD(gemm_pack) },
    .rmsnorm_forward = rmsnorm_forward,
    .rmsnorm_backward = rmsnorm_backward,
    .rope_rotate = rope_rotate,
    .swiglu_forward = swiglu_forward,
    .swiglu_backward = swiglu_backward,
    .exp_rows = exp_rows,
    .prob_rows = prob_rows,
    .transpose = transpose,
    .divide_rows = divide_rows,
    .dot_rows = dot_rows,
    .add = add,
    .add_bias = add_bias,
    .cross_entropy_row = cross_entropy_row,
    .dropout = dropout,
    .exact_add = SIMD(exact_add),
    .exact_mean = SIMD(exact_mean),
    .adamw = SIMD(adamw),
};
