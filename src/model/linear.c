/*
 * model/linear.c: a frozen matrix with its adapter, forward and backward.
 *
 * Products of the adapter run over all tokens of the pass, but its own
 * gradients are taken leaf by leaf: a leaf's gradient is a function of the
 * leaf alone, and their sum is exact.
 */
#include "model/model_internal.h"
#include "nn/elementwise.h"
#include "nn/gemm.h"

static const struct lora_module *module_of(const struct run *run, const struct model_linear *lin)
{
    return lin->module < 0 ? NULL : &run->model->adapter->modules[lin->module];
}

static int drops(const struct run *run)
{
    return run->pass->train && run->model->adapter->dropout > 0.0f;
}

static void drop_leaves(const struct run *run, const struct rows *rows, int linear, float *y,
                        const float *x, int C, int add)
{
    const struct model_pass *pass = run->pass;

    for (int i = 0; i < pass->n_leaves; i++) {
        size_t at = (size_t)rows->leaves[i] * C;
        size_t n = (size_t)(rows->leaves[i + 1] - rows->leaves[i]) * C;
        struct dropout_key key = { pass->seed, pass->step, pass->leaf_tag[i], (uint32_t)linear };

        dropout_apply(run->nn, y + at, x + at, run->model->adapter->dropout, &key, add, n);
    }
}

/* xa [N,R] = s dropout(x) A^T. */
static void adapter_down(const struct run *run, const struct rows *rows,
                         const struct lora_module *m, float *xa, const float *x)
{
    const struct adapter *adapter = run->model->adapter;

    if (drops(run)) {
        drop_leaves(run, rows, m->linear, run->work->dropped, x, m->C, 0);
        x = run->work->dropped;
    }
    gemm(run->nn, &(struct gemm_call){ .trans_b = 1,
                                       .M = rows->N,
                                       .N = adapter->R,
                                       .K = m->C,
                                       .alpha = adapter->scale,
                                       .a = x,
                                       .b = adapter->params + m->a_offset,
                                       .c = xa,
                                       .lda = (size_t)m->C,
                                       .ldb = (size_t)m->C,
                                       .ldc = (size_t)adapter->R });
}

void linear_forward(const struct run *run, const struct rows *rows, const struct model_linear *lin,
                    float *y, float *xa, const float *x)
{
    const struct lora_module *m = module_of(run, lin);
    const struct adapter *adapter = run->model->adapter;
    int apart =
        m && (drops(run) || !y); // the adapter's input is another, or nothing else is wanted
    struct gemm_call call = { .trans_b = 1,
                              .M = rows->N,
                              .N = lin->O,
                              .K = lin->C,
                              .alpha = 1.0f,
                              .a = x,
                              .b = lin->w,
                              .b_dtype = lin->dtype,
                              .c = y,
                              .lda = (size_t)lin->C,
                              .ldb = (size_t)lin->C,
                              .ldc = (size_t)lin->O };

    if (apart) {
        profile_products(run->nn->profile, PROFILE_ADAPTER);
        adapter_down(run, rows, m, xa, x);
        profile_products(run->nn->profile, PROFILE_GEMM);
    }
    if (!y)
        return;
    if (m) {
        call.R = adapter->R;
        call.gamma = adapter->scale;
        call.d = apart ? NULL : adapter->params + m->a_offset;
        call.u = xa;
        call.v = adapter->params + m->b_offset;
        call.ldd = (size_t)lin->C;
        call.ldu = call.ldv = (size_t)adapter->R;
    }
    gemm(run->nn, &call);
    if (lin->bias)
        bias_forward(run->nn, y, lin->bias, call.M, lin->O);
}

/* The columns of a gradient that a thread makes. */
struct columns {
    int from, n, thread;
};

static struct columns columns_of(int n, int thread, int threads)
{
    enum { STEP = 48 }; // as a library's product is cut, nn/gemm.c
    long steps = (n + STEP - 1) / STEP;
    int from = (int)(steps * thread / threads) * STEP,
        to = (int)(steps * (thread + 1) / threads) * STEP;

    return (struct columns){ from, (to < n ? to : n) - from, thread };
}

/* g [R,n] = u^T x over the T rows of a leaf, u [T,R], x [T,n]; some of its columns. */
static void leaf_product(const struct run *run, const struct columns *at, float *g, const float *u,
                         const float *x, int T, int n)
{
    int R = run->model->adapter->R;

    gemm_serial(run->nn,
                &(struct gemm_call){ .trans_a = 1,
                                     .M = R,
                                     .N = at->n,
                                     .K = T,
                                     .alpha = 1.0f,
                                     .a = u,
                                     .b = x + at->from,
                                     .c = g + at->from,
                                     .lda = (size_t)R,
                                     .ldb = (size_t)n,
                                     .ldc = (size_t)n },
                at->thread);
    if (at->thread == 0)
        profile_lap(run->nn->profile, PROFILE_ADAPTER, 2.0 * R * T * n);
}

/* The rows of a leaf, and what they multiply. */
struct leaf {
    int from, T, thread;
    const float *dy, *x, *xa;
};

/* dA [R,C] = dxa^T x, this thread's columns. */
static void gradient_a(const struct run *run, const struct lora_module *m, const struct leaf *leaf)
{
    struct columns at = columns_of(m->C, leaf->thread, run->nn->threads);
    struct model_work *work = run->work;
    int R = run->model->adapter->R;

    if (at.n == 0)
        return;
    leaf_product(run, &at, work->leaf_a, work->dxa + (size_t)leaf->from * R,
                 leaf->x + (size_t)leaf->from * m->C, leaf->T, m->C);
    run->sink->add(run->sink->context, m->a_offset + (size_t)at.from, work->leaf_a + at.from, R,
                   (size_t)at.n, (size_t)m->C);
}

/* dB [O,R] = (xa^T dy)^T, this thread's rows. */
static void gradient_b(const struct run *run, const struct lora_module *m, const struct leaf *leaf)
{
    struct columns at = columns_of(m->O, leaf->thread, run->nn->threads);
    struct model_work *work = run->work;
    int R = run->model->adapter->R;
    size_t first = (size_t)at.from * R;

    if (at.n == 0)
        return;
    leaf_product(run, &at, work->leaf_bt, leaf->xa + (size_t)leaf->from * R,
                 leaf->dy + (size_t)leaf->from * m->O, leaf->T, m->O);
    for (int o = at.from; o < at.from + at.n; o++)
        for (int r = 0; r < R; r++)
            work->leaf_b[(size_t)o * R + r] = work->leaf_bt[(size_t)r * m->O + o];
    run->sink->add(run->sink->context, m->b_offset + first, work->leaf_b + first, 1,
                   (size_t)at.n * R, 0);
}

/* A thread's part of the gradients of all leaves. */
static void leaf_gradients(const struct run *run, const struct rows *rows,
                           const struct lora_module *m, struct leaf leaf)
{
    for (int i = 0; i < run->pass->n_leaves; i++) {
        leaf.from = rows->leaves[i];
        leaf.T = rows->leaves[i + 1] - leaf.from;
        if (leaf.T == 0)
            continue; // no row of the last layer is labelled in this leaf
        gradient_a(run, m, &leaf);
        gradient_b(run, m, &leaf);
    }
}

void linear_adapter_gradients(const struct run *run, const struct rows *rows,
                              const struct model_linear *lin, const float *dy, const float *x,
                              const float *xa)
{
    const struct lora_module *m = module_of(run, lin);

    if (!m)
        return;
    profile_products(run->nn->profile, PROFILE_ADAPTER);
    if (drops(run)) {
        drop_leaves(run, rows, m->linear, run->work->dropped, x, m->C, 0);
        x = run->work->dropped;
    }
#pragma omp parallel for num_threads(run->nn->threads) schedule(static, 1) if (run->nn->threads > 1)
    for (int thread = 0; thread < run->nn->threads; thread++)
        leaf_gradients(run, rows, m, (struct leaf){ .thread = thread, .dy = dy, .x = x, .xa = xa });
    profile_products(run->nn->profile, PROFILE_GEMM);
}

/* dx += dropout(dxa A): behind a mask the adapter's part cannot ride on the frozen weight's product. */
static void masked_input_gradient(const struct run *run, const struct rows *rows,
                                  const struct lora_module *m, float *dx)
{
    const struct adapter *adapter = run->model->adapter;

    gemm(run->nn, &(struct gemm_call){ .M = rows->N,
                                       .N = m->C,
                                       .K = adapter->R,
                                       .alpha = 1.0f,
                                       .a = run->work->dxa,
                                       .b = adapter->params + m->a_offset,
                                       .c = run->work->dropped,
                                       .lda = (size_t)adapter->R,
                                       .ldb = (size_t)m->C,
                                       .ldc = (size_t)m->C });
    drop_leaves(run, rows, m->linear, dx, run->work->dropped, m->C, 1);
}

void linear_input_gradient(const struct run *run, const struct rows *rows,
                           const struct model_linear *lin, float *dx, int add, const float *dy)
{
    const struct lora_module *m = module_of(run, lin);
    const struct adapter *adapter = run->model->adapter;
    struct gemm_call call = { .M = rows->N,
                              .N = lin->C,
                              .K = lin->O,
                              .alpha = 1.0f,
                              .beta = add ? 1.0f : 0.0f,
                              .a = dy,
                              .b = lin->w,
                              .b_dtype = lin->dtype,
                              .c = dx,
                              .lda = (size_t)lin->O,
                              .ldb = (size_t)lin->C,
                              .ldc = (size_t)lin->C };

    if (m) { // dxa [N,R] = s dy B on the way
        call.R = adapter->R;
        call.gamma = adapter->scale;
        call.d = adapter->params + m->b_offset;
        call.u = run->work->dxa;
        call.v = drops(run) ? NULL : adapter->params + m->a_offset;
        call.ldd = call.ldu = (size_t)adapter->R;
        call.ldv = (size_t)lin->C;
    }
    if (!dx) { // dxa alone
        call.N = 0;
        profile_products(run->nn->profile, PROFILE_ADAPTER);
    }
    gemm(run->nn, &call);
    profile_products(run->nn->profile, PROFILE_GEMM);
    if (m && dx && drops(run))
        masked_input_gradient(run, rows, m, dx);
}

void linear_backward(const struct run *run, const struct rows *rows, const struct model_linear *lin,
                     float *dx, int add, const float *dy, const float *x, const float *xa)
{
    linear_input_gradient(run, rows, lin, dx, add, dy);
    linear_adapter_gradients(run, rows, lin, dy, x, xa);
}
