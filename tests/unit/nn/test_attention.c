/*
 * Attention against double loops, backward against the derivative formula in
 * double; several blocks at once; odd sizes around the tile; all tokens ask or
 * some of them.
 */
#include "nn_test.h"

#include <limits.h>

#include "nn/attention.h"

struct shape {
    int H, G, D, window;
    int blocks[5], n_blocks;
};

static const struct shape shapes[] = {
    { 1, 1, 2, 0, { 0, 1 }, 1 },          { 3, 1, 10, 0, { 0, 7, 8, 75 }, 3 },
    { 4, 2, 16, 0, { 0, 64, 193 }, 2 },   { 2, 2, 18, 5, { 0, 31, 98 }, 2 },
    { 6, 3, 12, 70, { 0, 150 }, 1 },      { 2, 1, 16, 0, { 0, 1030 }, 1 },
    { 2, 1, 18, 300, { 0, 9, 1110 }, 2 }, { 4, 2, 10, 40, { 0, 700 }, 1 },
    { 2, 1, 130, 0, { 0, 70, 300 }, 2 },  { 2, 1, 64, 40, { 0, 900 }, 1 },
    { 2, 1, 16, INT_MAX, { 0, 290 }, 1 },
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static int first_key(const struct shape *s, int start, int i)
{
    return s->window > 0 && i - s->window + 1 > start ? i - s->window + 1 : start;
}

/* Which tokens ask. */
enum asking { ALL, LAST, SOME, FEW, ASKINGS };

static int asks(const struct shape *s, int block, int i, enum asking asking)
{
    int start = s->blocks[block], T = s->blocks[block + 1] - start;

    switch (asking) {
    case LAST:
        return i - start >= T - T / 3;
    case SOME:
        return (i * 7 / 5 & 3) != 0;
    case FEW: // not in the first block
        return block > 0 && i % 61 == 20;
    default:
        return 1;
    }
}

/* o, dq, dk, dv in double; p is scratch for one row. */
struct reference {
    double *o, *dq, *dk, *dv;
};

static double score(const struct shape *s, const float *q, const float *k, int i, int j, int h)
{
    double sum = 0.0;
    int g = h / (s->H / s->G);

    for (int d = 0; d < s->D; d++)
        sum += (double)q[((size_t)i * s->H + h) * s->D + d] *
               (double)k[((size_t)j * s->G + g) * s->D + d];
    return sum / sqrt((double)s->D);
}

static void reference_row(const struct shape *s, const float *q, const float *k, const float *v,
                          const float *d_o, int start, int i, int h, double *p, struct reference *r)
{
    int g = h / (s->H / s->G), j0 = first_key(s, start, i);
    double max = -INFINITY, sum = 0.0, delta = 0.0;
    size_t qi = ((size_t)i * s->H + h) * s->D;

    for (int j = j0; j <= i; j++)
        max = fmax(max, p[j] = score(s, q, k, i, j, h));
    for (int j = j0; j <= i; j++)
        sum += p[j] = exp(p[j] - max);
    for (int j = j0; j <= i; j++)
        for (int d = 0; d < s->D; d++)
            r->o[qi + d] += p[j] / sum * (double)v[((size_t)j * s->G + g) * s->D + d];
    for (int d = 0; d < s->D; d++)
        delta += (double)d_o[qi + d] * r->o[qi + d];
    for (int j = j0; j <= i; j++) {
        size_t kj = ((size_t)j * s->G + g) * s->D;
        double dp = 0.0, ds;

        for (int d = 0; d < s->D; d++) {
            dp += (double)d_o[qi + d] * (double)v[kj + d];
            r->dv[kj + d] += p[j] / sum * (double)d_o[qi + d];
        }
        ds = p[j] / sum * (dp - delta) / sqrt((double)s->D);
        for (int d = 0; d < s->D; d++) {
            r->dq[qi + d] += ds * (double)k[kj + d];
            r->dk[kj + d] += ds * (double)q[qi + d];
        }
    }
}

/* Scores and their gradients are rounded to 8 bits where large products do that. */
static void compare(const struct nn_case *c, const char *what, const float *got, const double *want,
                    size_t n)
{
    double size = nn_rounds_to_bf16(&c->nn) ? 4.0 * 0x1p-8 / TOLERANCE : 4.0;

    for (size_t i = 0; i < n; i++)
        nn_expect(what, (double)got[i], want[i], size);
}

/* The rows of tokens that ask, [Q,width], as a block of their own. */
static float *taken(const float *x, const int *query, int Q, size_t width)
{
    float *rows = malloc(((size_t)Q * width + 1) * sizeof(*rows));

    for (int i = 0; i < Q; i++)
        memcpy(rows + (size_t)i * width, x + (size_t)query[i] * width, width * sizeof(*rows));
    return rows;
}

static void compare_taken(const struct nn_case *c, const char *what, const float *got,
                          const double *want, const int *query, int Q, size_t width)
{
    for (int i = 0; i < Q; i++)
        compare(c, what, got + (size_t)i * width, want + (size_t)query[i] * width, width);
}

static void check(const struct nn_case *c, const struct shape *s, enum asking asking)
{
    int N = s->blocks[s->n_blocks], Q = 0, *query = malloc((size_t)N * sizeof(*query));
    size_t width = (size_t)s->H * s->D, nq = (size_t)N * width, nk = (size_t)N * s->G * s->D;
    float *all_q = nn_random(nq, 1), *k = nn_random(nk, 2), *v = nn_random(nk, 3);
    float *all_d_o = nn_random(nq, 4), *o = nn_random(nq, 5), *q, *d_o;
    float *lse = nn_random((size_t)N * s->H, 6), *delta = nn_random((size_t)N * s->H, 10);
    float *dq = nn_random(nq, 7), *dk = nn_random(nk, 8), *dv = nn_random(nk, 9);
    size_t bytes = attention_scratch_floats(&c->nn, N, s->D) * sizeof(float);
    float *scratch = aligned_alloc(64, (bytes + 63) / 64 * 64);
    double *p = calloc((size_t)N, sizeof(*p));
    struct reference r = { calloc(nq, 8), calloc(nq, 8), calloc(nk, 8), calloc(nk, 8) };
    struct attention_call call = { .k = k,
                                   .v = v,
                                   .o = o,
                                   .lse = lse,
                                   .blocks = s->blocks,
                                   .query = asking == ALL ? NULL : query,
                                   .n_blocks = s->n_blocks,
                                   .H = s->H,
                                   .G = s->G,
                                   .D = s->D,
                                   .window = s->window,
                                   .scratch = scratch };

    for (int b = 0; b < s->n_blocks; b++)
        for (int i = s->blocks[b]; i < s->blocks[b + 1]; i++) {
            if (!asks(s, b, i, asking))
                continue;
            query[Q++] = i;
            for (int h = 0; h < s->H; h++)
                reference_row(s, all_q, k, v, all_d_o, s->blocks[b], i, h, p, &r);
        }
    call.Q = Q;
    call.q = q = taken(all_q, query, Q, width);
    d_o = taken(all_d_o, query, Q, width);
    memset(scratch, 0xff, bytes); // NaN: what is read was written before
    attention_forward(&c->nn, &call, N);
    memset(scratch, 0xff, bytes);
    attention_backward(&c->nn, &call, N, d_o, delta, dq, dk, dv);
    compare_taken(c, "o", o, r.o, query, Q, width);
    compare_taken(c, "dq", dq, r.dq, query, Q, width);
    compare(c, "dk", dk, r.dk, nk);
    compare(c, "dv", dv, r.dv, nk);
    free(all_q), free(q), free(k), free(v), free(all_d_o), free(d_o), free(o), free(lse);
    free(dq), free(dk), free(dv), free(delta), free(scratch), free(p), free(query);
    free(r.o), free(r.dq), free(r.dk), free(r.dv);
}

static void forward_and_backward_equal_double_loops(void **state)
{
    struct nn_case cases[NN_CASES_MAX];
    int n = nn_cases(cases);

    (void)state;
    n += nn_bf16_cases(cases + n);
    for (int c = 0; c < n; c++)
        for (int s = 0; s < SHAPES; s++)
            for (int asking = ALL; asking < ASKINGS; asking++)
                check(&cases[c], &shapes[s], (enum asking)asking);
    nn_cases_close(cases, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_and_backward_equal_double_loops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
