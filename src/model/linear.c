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

/* One leaf: dA [R,C] = dxa^T x, dB [O,R] = (xa^T dy)^T. */
static void leaf_gradients(const struct run *run, const struct lora_module *m, int from, int T,
                           const float *dy, const float *x, const float *xa)
{
    struct model_work *work = run->work;
    int R = run->model->adapter->R;

    if (T == 0)
        return; // no row of the last layer is labelled in this leaf
    gemm(run->nn, &(struct gemm_call){ .trans_a = 1,
                                       .M = R,
                                       .N = m->C,
                                       .K = T,
                                       .alpha = 1.0f,
                                       .a = work->dxa + (size_t)from * R,
                                       .b = x + (size_t)from * m->C,
                                       .c = work->leaf_a,
                                       .lda = (size_t)R,
                                       .ldb = (size_t)m->C,
                                       .ldc = (size_t)m->C });
    run->sink->add(run->sink->context, m->a_offset, work->leaf_a, (size_t)R * m->C);
    gemm(run->nn, &(struct gemm_call){ .trans_a = 1,
                                       .M = R,
                                       .N = m->O,
                                       .K = T,
                                       .alpha = 1.0f,
                                       .a = xa + (size_t)from * R,
                                       .b = dy + (size_t)from * m->O,
                                       .c = work->leaf_bt,
                                       .lda = (size_t)R,
                                       .ldb = (size_t)m->O,
                                       .ldc = (size_t)m->O });
    for (int o = 0; o < m->O; o++)
        for (int r = 0; r < R; r++)
            work->leaf_b[(size_t)o * R + r] = work->leaf_bt[(size_t)r * m->O + o];
    run->sink->add(run->sink->context, m->b_offset, work->leaf_b, (size_t)R * m->O);
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
    for (int i = 0; i < run->pass->n_leaves; i++)
        leaf_gradients(run, m, rows->leaves[i], rows->leaves[i + 1] - rows->leaves[i], dy, x, xa);
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
