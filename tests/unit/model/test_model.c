/*
 * Logits and LoRA gradients of every tiny model against transformers and PEFT
 * (tests/golden/models, made by tests/golden/make_models.py).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "nn/gemm.h"
#include "nn/rmsnorm.h"

static const char *const families[] = { "llama", "llama_bias", "mistral",
                                        "qwen2", "qwen3",      "smollm2" };
enum { FAMILIES = sizeof(families) / sizeof(families[0]), TOKENS_MAX = 3400 };

static const double LOGIT_TOLERANCE = 2e-5;    // of the largest logit
static const double GRADIENT_TOLERANCE = 2e-5; // of the tensor's norm

/* One model with everything a pass needs. */
struct bench {
    struct model model;
    struct adapter adapter;
    struct nn nn;
    struct model_work work;
    struct arena arena;
    struct safetensors golden;
    double *grad; // sum of the leaves' gradients
};

static void must(int rc, const struct error *err)
{
    if (rc < 0)
        fail_msg("%s", err->msg);
}

/* With a backend; bf16: factors are rounded where that backend can. */
static void bench_open_with(struct bench *b, const char *family, const char *adapter,
                            const char *golden, float dropout, int threads, int kept,
                            enum gemm_backend backend, int bf16)
{
    struct model_shape shape = { TOKENS_MAX, 8, TOKENS_MAX, TOKENS_MAX, kept };
    struct lora_linear *linears = NULL;
    struct error err;
    char path[256];
    int n = 0;

    memset(b, 0, sizeof(*b));
    (void)snprintf(path, sizeof(path), "tests/golden/models/%s", family);
    must(model_open(&b->model, path, &err), &err);
    must(nn_open(&b->nn, backend, threads, &err), &err);
    if (bf16)
        nn_use_bf16(&b->nn);
    if (adapter) {
        must(model_linears(&b->model, &linears, &n, &err), &err);
        (void)snprintf(path, sizeof(path), "tests/golden/models/%s/%s", family, adapter);
        must(adapter_load(&b->adapter, path, linears, n, &err), &err);
        b->adapter.dropout = dropout;
        model_attach(&b->model, &b->adapter);
        free(linears);
    }
    (void)snprintf(path, sizeof(path), "tests/golden/models/%s/%s", family, golden);
    must(safetensors_open(&b->golden, path, &err), &err);
    model_work_place(&b->work, &b->arena, &b->model, &b->nn, &shape);
    must(arena_open(&b->arena, b->arena.peak, &err), &err);
    model_work_place(&b->work, &b->arena, &b->model, &b->nn, &shape);
    b->grad = calloc(b->adapter.param_count + 1, sizeof(*b->grad));
}

static void bench_open(struct bench *b, const char *family, const char *adapter, const char *golden,
                       float dropout, int threads, int kept)
{
    bench_open_with(b, family, adapter, golden, dropout, threads, kept, GEMM_NATIVE, 0);
}

static void bench_close(struct bench *b)
{
    free(b->grad);
    safetensors_close(&b->golden);
    arena_close(&b->arena);
    nn_close(&b->nn);
    adapter_close(&b->adapter);
    model_close(&b->model);
}

static void sum_gradient(void *context, size_t offset, const float *g, int rows, size_t n,
                         size_t ld)
{
    struct bench *b = context;

    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t i = r * ld; i < r * ld + n; i++)
            b->grad[offset + i] += (double)g[i];
}

static const void *golden_data(const struct bench *b, const char *name, size_t *count)
{
    const struct safetensors_tensor *t = safetensors_find(&b->golden, name);

    if (!t)
        fail_msg("golden file has no '%s'", name);
    *count = t->count;
    return t->data;
}

/* One leaf after the other at the places of a pass; labels NULL: nothing is labelled. */
struct leaves {
    int n, T;
    int bounds[9], positions[TOKENS_MAX];
    int32_t ids[TOKENS_MAX], targets[TOKENS_MAX];
    uint32_t tags[8];
};

static void leaves_add(struct leaves *p, const int32_t *ids, const int32_t *labels, int T)
{
    for (int t = 0; t < T; t++) {
        p->ids[p->T + t] = ids[t];
        p->positions[p->T + t] = t;
        p->targets[p->T + t] = labels && t + 1 < T && labels[t + 1] >= 0 ? labels[t + 1] : -1;
    }
    p->tags[p->n] = (uint32_t)p->n;
    p->T += T;
    p->bounds[++p->n] = p->T;
}

static void run(struct bench *b, const struct leaves *p, double *loss, int train)
{
    struct model_pass pass = { .N = p->T,
                               .n_leaves = p->n,
                               .n_blocks = p->n,
                               .leaves = p->bounds,
                               .blocks = p->bounds,
                               .ids = p->ids,
                               .targets = p->targets,
                               .positions = p->positions,
                               .leaf_tag = p->tags,
                               .train = train };
    struct model_sink sink = { .context = b, .add = sum_gradient };

    model_run(&b->model, &b->nn, &b->work, &pass, loss, &sink);
}

/* The head on one row of the last layer's output, which has the labelled rows in order. */
static void row_logits(const struct bench *b, int row, float *logits)
{
    const struct model_config *c = &b->model.config;
    float *h = malloc((size_t)c->C * sizeof(*h)), rstd;

    rmsnorm_forward(&b->nn, h, &rstd, b->work.x_out + (size_t)row * c->C, b->model.norm_out, c->eps,
                    1, c->C);
    gemm(&b->nn, &(struct gemm_call){ .trans_b = 1,
                                      .M = 1,
                                      .N = c->V,
                                      .K = c->C,
                                      .alpha = 1.0f,
                                      .a = h,
                                      .b = b->model.head,
                                      .b_dtype = b->model.head_dtype,
                                      .c = logits,
                                      .lda = (size_t)c->C,
                                      .ldb = (size_t)c->C,
                                      .ldc = (size_t)c->V });
    free(h);
}

static double compare_logits(struct bench *b, int T)
{
    char name[64];
    size_t n, n_rows, n_logits;
    const int32_t *ids, *rows;
    const float *want;
    float *got = malloc((size_t)b->model.config.V * sizeof(*got));
    struct leaves p = { 0 };
    double loss[8], largest = 0.0, worst = 0.0;

    (void)snprintf(name, sizeof(name), "ids_%d", T);
    ids = golden_data(b, name, &n);
    (void)snprintf(name, sizeof(name), "rows_%d", T);
    rows = golden_data(b, name, &n_rows);
    (void)snprintf(name, sizeof(name), "logits_%d", T);
    want = golden_data(b, name, &n_logits);
    assert_int_equal(n, T);
    assert_int_equal(n_logits, n_rows * (size_t)b->model.config.V);
    leaves_add(&p, ids, NULL, T);
    for (size_t r = 0; r < n_rows; r++) {
        p.targets[rows[r]] = 0;
        assert_true(r == 0 || rows[r] > rows[r - 1]);
    }
    run(b, &p, loss, 0);
    for (size_t r = 0; r < n_rows; r++) {
        row_logits(b, (int)r, got);
        for (int v = 0; v < b->model.config.V; v++) {
            double w = (double)want[r * (size_t)b->model.config.V + (size_t)v];

            largest = fmax(largest, fabs(w));
            worst = fmax(worst, fabs(w - (double)got[v]));
        }
    }
    free(got);
    return worst / largest;
}

static void logits_equal_those_of_transformers(void **state)
{
    static const int lengths[] = { 1, 7, 31, 67 };

    (void)state;
    for (int f = 0; f < FAMILIES; f++) {
        struct bench b;

        bench_open(&b, families[f], NULL, "logits.safetensors", 0.0f, 1, 0);
        for (int i = 0; i < 4; i++) {
            double off = compare_logits(&b, lengths[i]);

            if (!(off < LOGIT_TOLERANCE))
                fail_msg("%s, %d tokens: logits are off by %g", families[f], lengths[i], off);
        }
        bench_close(&b);
    }
}

/* The worst relative error over the adapter's tensors; "f32" or "f64" names the golden values. */
static double compare_gradients(struct bench *b, const char *kind, int T)
{
    double worst = 0.0;

    for (int i = 0; i < b->adapter.count * 2; i++) {
        const struct lora_module *m = &b->adapter.modules[i / 2];
        const double *got = b->grad + (i % 2 ? m->b_offset : m->a_offset);
        double diff = 0.0, norm = 0.0;
        const float *want;
        char name[160];
        size_t n;

        (void)snprintf(name, sizeof(name), "%s/grad_%d/%s.lora_%c.weight", kind, T, m->name,
                       i % 2 ? 'B' : 'A');
        want = golden_data(b, name, &n);
        assert_int_equal(n, (size_t)b->adapter.R * (size_t)(i % 2 ? m->O : m->C));
        for (size_t e = 0; e < n; e++) {
            diff += ((double)want[e] - got[e]) * ((double)want[e] - got[e]);
            norm += (double)want[e] * (double)want[e];
        }
        if (!(sqrt(diff) <= worst * sqrt(norm)))
            worst = sqrt(diff) / sqrt(norm);
    }
    return worst;
}

static void check_family_gradients(const char *family, const char *which, int threads, int kept)
{
    static const struct {
        const char *kind;
        int T;
    } cases[] = { { "f32", 7 }, { "f64", 31 }, { "f32", 67 }, { "f64", 67 } };
    struct bench b;
    char adapter[32], golden[48];

    (void)snprintf(adapter, sizeof(adapter), "adapter_%s", which);
    (void)snprintf(golden, sizeof(golden), "grads_%s.safetensors", which);
    bench_open(&b, family, adapter, golden, 0.0f, threads, kept);
    for (int i = 0; i < 4; i++) {
        struct leaves p = { 0 };
        char name[64];
        size_t n, one;
        const int32_t *ids, *labels;
        const double *want;
        double loss[8], off;

        (void)snprintf(name, sizeof(name), "ids_%d", cases[i].T);
        ids = golden_data(&b, name, &n);
        (void)snprintf(name, sizeof(name), "labels_%d", cases[i].T);
        labels = golden_data(&b, name, &n);
        (void)snprintf(name, sizeof(name), "%s/loss_%d", cases[i].kind, cases[i].T);
        want = golden_data(&b, name, &one);
        leaves_add(&p, ids, labels, cases[i].T);
        memset(b.grad, 0, b.adapter.param_count * sizeof(*b.grad));
        run(&b, &p, loss, 1);
        if (!(fabs(loss[0] - *want) < 2e-6 * fabs(*want)))
            fail_msg("%s: loss is %.9g, not %.9g", family, loss[0], *want);
        off = compare_gradients(&b, cases[i].kind, cases[i].T);
        if (!(off < GRADIENT_TOLERANCE))
            fail_msg("%s %s, %d tokens: a gradient is off by %g of its norm", family, which,
                     cases[i].T, off);
    }
    bench_close(&b);
}

static void gradients_equal_those_of_peft(void **state)
{
    (void)state;
    for (int f = 0; f < FAMILIES; f++) {
        check_family_gradients(families[f], "all", 1, 1000);
        check_family_gradients(families[f], "qv", 1, 1000);
    }
}

static void recomputed_layers_and_threads_change_no_gradient(void **state)
{
    (void)state;
    for (int f = 0; f < FAMILIES; f++) {
        check_family_gradients(families[f], "all", 2, 0);
        check_family_gradients(families[f], "qv", 3, 1);
    }
}

/* Each leaf's gradient by itself: the n-th call for an offset is the n-th leaf's. */
struct record {
    size_t params;
    float *g;   // [8][params]
    int *calls; // [params]
    size_t final;
    int layers, late; // calls of final; gradients that came after theirs
};

static void keep_gradient(void *context, size_t offset, const float *g, int rows, size_t n,
                          size_t ld)
{
    struct record *r = context;
    int leaf = r->calls[offset]++;

    if (offset + (size_t)(rows - 1) * ld + n > r->final) {
#pragma omp atomic
        r->late++;
    }
    for (size_t i = 0; i < (size_t)rows; i++)
        memcpy(r->g + (size_t)leaf * r->params + offset + i * ld, g + i * ld, n * sizeof(*g));
}

static void keep_final(void *context, size_t offset)
{
    struct record *r = context;

    r->late += offset >= r->final; // it only falls
    r->final = offset;
    r->layers++;
}

static void run_recorded(struct bench *b, const struct leaves *p, double *loss, struct record *r)
{
    struct model_pass pass = { .N = p->T,
                               .n_leaves = p->n,
                               .n_blocks = p->n,
                               .leaves = p->bounds,
                               .blocks = p->bounds,
                               .ids = p->ids,
                               .targets = p->targets,
                               .positions = p->positions,
                               .leaf_tag = p->tags,
                               .train = 1,
                               .seed = 7,
                               .step = 3 };
    struct model_sink sink = { r, keep_gradient, keep_final };

    r->final = r->params;
    r->layers = r->late = 0;
    memset(r->calls, 0, r->params * sizeof(*r->calls));
    model_run(&b->model, &b->nn, &b->work, &pass, loss, &sink);
}

static void record_open(struct record *r, size_t params)
{
    r->params = params;
    r->g = calloc(8 * params, sizeof(*r->g));
    r->calls = calloc(params, sizeof(*r->calls));
}

static void record_close(struct record *r)
{
    free(r->g);
    free(r->calls);
}

static void add_golden_leaf(struct bench *b, struct leaves *p, int T)
{
    char ids[64], labels[64];
    size_t n;

    (void)snprintf(ids, sizeof(ids), "ids_%d", T);
    (void)snprintf(labels, sizeof(labels), "labels_%d", T);
    leaves_add(p, golden_data(b, ids, &n), golden_data(b, labels, &n), T);
}

/* Every leaf has the same bits alone. Returns the frozen products' operations together over those alone. */
static double check_leaf_bits(struct bench *b, const struct leaves *all)
{
    struct record together, alone;
    struct profile watch = { 0 };
    double losses[8], loss[8], flops;

    b->nn.profile = &watch;
    record_open(&together, b->adapter.param_count);
    record_open(&alone, b->adapter.param_count);
    run_recorded(b, all, losses, &together);
    flops = watch.flops[PROFILE_GEMM];
    profile_reset(&watch);
    for (int i = 0; i < all->n; i++) {
        struct leaves one = { 0 };

        leaves_add(&one, all->ids + all->bounds[i], NULL, all->bounds[i + 1] - all->bounds[i]);
        memcpy(one.targets, all->targets + all->bounds[i], (size_t)one.T * sizeof(*one.targets));
        one.tags[0] = (uint32_t)i;
        run_recorded(b, &one, loss, &alone);
        assert_memory_equal(&loss[0], &losses[i], sizeof(double));
        assert_memory_equal(alone.g, together.g + (size_t)i * together.params,
                            alone.params * sizeof(float));
    }
    record_close(&together);
    record_close(&alone);
    b->nn.profile = NULL;
    return flops / watch.flops[PROFILE_GEMM];
}

static void a_leaf_has_the_same_bits_alone_and_among_others(void **state)
{
    static const int lengths[] = { 31, 67, 7, 67 };

    (void)state;
    for (int k = 0; k < 2 * FAMILIES; k++) {
        struct leaves all = { 0 };
        struct bench b;

        bench_open(&b, families[k / 2], "adapter_all", "grads_all.safetensors", k % 2 ? 0.1f : 0.0f,
                   2, 1);
        for (int i = 0; i < 4; i++)
            add_golden_leaf(&b, &all, lengths[i]);
        (void)check_leaf_bits(&b, &all);
        bench_close(&b);
    }
}

/* Beside the first leaf: itself, its first 40 tokens and others, all of its first 12, and one that begins otherwise. */
static void leaves_that_begin_alike_share_the_forward_pass_and_keep_their_bits(void **state)
{
    enum { LONG = 67, SHORT = 31, COMMON = 40, PART = 12 };

    (void)state;
    for (int k = 0; k < 3 * FAMILIES; k++) {
        int kept = k % 3, distinct = LONG + SHORT + SHORT, tokens = distinct + LONG + COMMON + PART;
        struct leaves all = { 0 };
        const int32_t *ids, *other;
        int32_t joined[COMMON + SHORT];
        struct bench b;
        double share;
        size_t n;

        bench_open(&b, families[k / 3], "adapter_all", "grads_all.safetensors", 0.0f, 2,
                   kept == 2 ? 1 << 20 : kept);
        ids = golden_data(&b, "ids_67", &n);
        other = golden_data(&b, "ids_31", &n);
        memcpy(joined, ids, COMMON * sizeof(*ids));
        memcpy(joined + COMMON, other, SHORT * sizeof(*ids));
        joined[COMMON] = ids[COMMON] + 1; // the first that differs
        add_golden_leaf(&b, &all, LONG);
        leaves_add(&all, ids, ids, LONG);
        leaves_add(&all, joined, joined, COMMON + SHORT);
        leaves_add(&all, ids, ids, PART);
        add_golden_leaf(&b, &all, SHORT);
        share = check_leaf_bits(&b, &all);
        assert_true(share < 0.9 && share > (double)distinct / tokens);
        bench_close(&b);
    }
}

/*
 * Rows that a short leaf and a longer one have in common reach into the short one's last tile of attention, beyond what
 * any kernel sums at a time. The lengths are such that equal parts of them would be cut elsewhere.
 */
static void long_leaves_that_begin_alike_keep_their_bits(void **state)
{
    static const int lengths[][3] = { { 1599, 1670, 1598 },
                                      { 1605, 1700, 1603 } }; // the last: in common
    static const struct {
        enum gemm_backend backend;
        int bf16;
    } ways[] = { { GEMM_NATIVE, 0 }, { GEMM_NATIVE, 1 }, { GEMM_AUTO, 0 }, { GEMM_AUTO, 1 } };

    (void)state;
    for (int k = 0; k < 8; k++) {
        const int *T = lengths[k % 2];
        struct leaves all = { 0 };
        int32_t ids[TOKENS_MAX];
        const int32_t *some;
        struct bench b;
        size_t n;

        bench_open_with(&b, "llama", "adapter_all", "grads_all.safetensors", 0.0f, 2, 1 << 20,
                        ways[k / 2].backend, ways[k / 2].bf16);
        some = golden_data(&b, "ids_67", &n);
        for (int t = 0; t < T[1]; t++)
            ids[t] = some[t * 5 % 67];
        leaves_add(&all, ids, ids, T[0]);
        for (int t = T[2]; t < T[1]; t++)
            ids[t] = some[t * 3 % 67];
        ids[T[2]] = ids[T[2]] == some[0] ? some[1] : some[0];
        leaves_add(&all, ids, ids, T[1]);
        (void)check_leaf_bits(&b, &all);
        bench_close(&b);
    }
}

static void layers_are_called_final_from_the_top_down_and_nothing_comes_for_them_later(void **state)
{
    static const char *const kinds[][2] = { { "adapter_all", "grads_all.safetensors" },
                                            { "adapter_qv", "grads_qv.safetensors" } };
    double loss[8];

    (void)state;
    for (int k = 0; k < 2; k++) {
        struct leaves p = { 0 };
        struct record r;
        struct bench b;

        bench_open(&b, families[0], kinds[k][0], kinds[k][1], 0.0f, 1, 0);
        record_open(&r, b.adapter.param_count);
        add_golden_leaf(&b, &p, 31);
        add_golden_leaf(&b, &p, 67);
        run_recorded(&b, &p, loss, &r);
        assert_int_equal(r.late, 0);
        assert_int_equal(r.layers, b.model.config.L - b.model.first_layer);
        assert_int_equal(r.final, 0);
        record_close(&r);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_equal_those_of_transformers),
        cmocka_unit_test(gradients_equal_those_of_peft),
        cmocka_unit_test(recomputed_layers_and_threads_change_no_gradient),
        cmocka_unit_test(a_leaf_has_the_same_bits_alone_and_among_others),
        cmocka_unit_test(leaves_that_begin_alike_share_the_forward_pass_and_keep_their_bits),
        cmocka_unit_test(long_leaves_that_begin_alike_keep_their_bits),
        cmocka_unit_test(
            layers_are_called_final_from_the_top_down_and_nothing_comes_for_them_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
