/*
 * model/model.h: a decoder with adapters: weights by name, one pass forward
 * and backward over leaves laid end to end.
 *
 * Everything here is local.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdint.h>

#include "base/arena.h"
#include "base/hash.h"
#include "format/safetensors.h"
#include "lora/adapter.h"
#include "model/model_config.h"
#include "nn/nn.h"

/* The linear modules of a layer, in the order in which a layer uses them. */
enum model_slot { SLOT_Q, SLOT_K, SLOT_V, SLOT_O, SLOT_GATE, SLOT_UP, SLOT_DOWN, SLOT_COUNT };

/* y [O] = W [O,C] x + bias, W as it is stored. */
struct model_linear {
    const void *w;
    enum dtype dtype;
    const float *bias; // [O] or NULL
    int C, O;
    int module; // index in adapter->modules, -1: no adapter
};

struct model_layer {
    const float *norm_in, *norm_mid; // [C]
    const float *norm_q, *norm_k;    // [D] or NULL
    struct model_linear linear[SLOT_COUNT];
    int window;
};

struct model {
    struct model_config config;
    struct safetensors weights;
    struct arena constants; // norms and biases, widened
    struct model_layer *layers;
    const void *embedding, *head; // [V,C]
    enum dtype embedding_dtype, head_dtype;
    const float *norm_out; // [C]
    float *inv_freq;       // [D/2]
    const struct adapter *adapter;
    int first_layer;            // the lowest layer with an adapter; L when there is none
    enum model_slot first_slot; // the lowest adapted module in it
    char *names;                // of the linear modules, for model_linears()
};

/*
 * Maps the weights of a Hugging Face folder and checks names, shapes and
 * number formats. Errors name the file and the tensor.
 */
int model_open(struct model *model, const char *folder, struct error *err);
void model_close(struct model *model);

/* The linear modules of the decoder layers by full name; *linears [L * SLOT_COUNT] is the caller's to free(). */
int model_linears(struct model *model, struct lora_linear **linears, int *count, struct error *err);

/* Puts an adapter on. Keeps adapter. */
void model_attach(struct model *model, const struct adapter *adapter);

/* Hash of architecture and weights: sizes and samples of every tensor, not every byte. */
struct hash model_fingerprint(const struct model *model);

/* Numbers in the matrices of the decoder layers. */
double model_layer_parameters(const struct model *model);

enum dtype model_dtype(const struct model *model); // of the matrices of its layers

/*
 * What one pass computes: leaves (rows of the data set) laid end to end.
 */
struct model_pass {
    int N, n_leaves, n_blocks;
    const int *leaves;        // [n_leaves+1] bounds in tokens
    const int *blocks;        // [n_blocks+1] bounds of attention
    const int32_t *ids;       // [N]
    const int32_t *targets;   // [N] token to be predicted after this one, -1: none
    const int *positions;     // [N] for rotary embedding
    const uint32_t *leaf_tag; // [n_leaves] a leaf's place in the step's global list
    uint32_t step;            // addresses dropout, as does seed
    uint64_t seed;
    int train; // 0: loss only, no dropout, no backward
};

/* How large a pass may be, and how much of it is kept for the backward pass. */
struct model_shape {
    int N; // tokens
    int n_leaves;
    int longest;     // tokens of the longest block
    int labelled;    // targets that are not -1
    int kept_layers; // layers that keep their activations; the others compute them again
};

/* What a layer keeps from its forward for its backward pass; see src/model/work.c. */
struct layer_acts {
    float *x;               // [N,C] input; of this and of x_mid, gate and up only the distinct rows
    float *rstd_in;         // [N]
    float *q_raw, *k_raw;   // [N,H,D], [N,G,D] before their norm; NULL without qk_norm
    float *q_rstd, *k_rstd; // [N,H], [N,G]
    float *q, *k, *v;       // [N,H,D], [N,G,D], [N,G,D] after rotation
    float *att, *lse;       // [N,H,D], [N,H]
    float *x_mid, *rstd_mid; // [N,C], [N] after the attention's residual sum
    float *gate, *up;      // [N,F]; in the last layer N is `labelled`, but for x, its norm, k and v
    float *xa[SLOT_COUNT]; // [N,R] s dropout(x) A^T
};

/* Activations and scratch memory for passes up to a shape. */
struct model_work {
    struct model_shape shape;
    struct layer_acts *acts; // [L]; layers that are not kept share all but x
    float *x_out;            // [labelled,C] after the last layer
    float *loss_cosine;      // [labelled,D/2] rows of cosine, for the queries of the last layer
    float *loss_sine;        // [labelled,D/2]
    float *cosine, *sine;    // [N,D/2]
    float *h;                // [N,C] normed input
    float *act;              // [N,F] SwiGLU output
    float *dropped;          // [N,widest input] input of an adapter after dropout; NULL without
    float *attention;        // scratch of nn/attention.h
    float *loss_dh;          // [labelled,C]
    float *loss_rstd;        // [labelled]
    double *loss;            // [labelled]
    struct span *spans;      // [N] see src/model/model_internal.h
    int *loss_row;           // [labelled] token of a labelled row
    int *loss_distinct;      // [labelled] its number among the distinct rows
    int *loss_leaf;          // [n_leaves+1] where a leaf's labelled rows begin
    int32_t *loss_target;    // [labelled]
    float *logits;           // scratch of nn/cross_entropy.h
    float *dx, *dh;          // [N,C]
    float *dgate, *dup;      // [N,F]
    float *dq, *dk, *dv;     // [N,H,D], [N,G,D], [N,G,D]
    float *datt, *delta;     // [N,H,D], [N,H]
    float *dxa;              // [N,R] s dy B
    float *leaf_a;           // [R,widest input]
    float *leaf_bt, *leaf_b; // [R,widest output] and its transpose
};

/* Lays the workspace out in arena: measuring, or for real. */
void model_work_place(struct model_work *work, struct arena *arena, const struct model *model,
                      const struct nn *nn, const struct model_shape *shape);

/*
 * Takes one leaf's gradient of n parameters from offset on, and of as many in
 * each of the following rows, ld parameters further on; g is laid out alike
 * and borrowed for the call. The model does not add leaves itself: the sum
 * must be exact (optim/exact_sum.h). Threads call it at once, each with
 * parameters of its own. final, unless NULL, is called after each layer, from
 * the top down, by one thread: of this pass nothing more comes for the
 * parameters from offset on.
 */
struct model_sink {
    void *context;
    void (*add)(void *context, size_t offset, const float *g, int rows, size_t n, size_t ld);
    void (*final)(void *context, size_t offset);
};

/*
 * Forward, loss and, when pass->train, backward.
 *
 *   leaf_loss  [n_leaves]  out: sum of the losses of the leaf's labelled tokens
 *   sink                   gets the gradient of that sum; NULL when not training
 *
 * Cannot fail; allocates nothing. Numbers that are not finite come out as such.
 */
void model_run(const struct model *model, const struct nn *nn, struct model_work *work,
               const struct model_pass *pass, double *leaf_loss, const struct model_sink *sink);

/*
 * Floating-point operations that the mathematics of a pass needs: products of
 * frozen weights forward and for the input gradient, attention, adapters, the
 * head on labelled positions; recomputation is not counted.
 * squares: sum over attention blocks of their length squared. Labelled tokens
 * are taken to be the last ones of their block.
 */
double model_flops(const struct model *model, double tokens, double labelled, double squares,
                   int train);

#endif
