/*
 * model/model.c: from a folder to a struct of pointers into mapped files.
 */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { NAME_MAX_LEN = 96 };

static const char *const slot_names[SLOT_COUNT] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj",
};

static void slot_shape(const struct model_config *c, enum model_slot slot, int *C, int *O)
{
    int q = c->H * c->D, kv = c->G * c->D;
    const int shapes[SLOT_COUNT][2] = {
        { c->C, q },    { c->C, kv },   { c->C, kv },   { q, c->C },
        { c->C, c->F }, { c->C, c->F }, { c->F, c->C },
    };

    *C = shapes[slot][0];
    *O = shapes[slot][1];
}

static int slot_has_bias(const struct model_config *c, enum model_slot slot)
{
    return slot <= SLOT_V ? c->qkv_bias : slot == SLOT_O ? c->o_bias : c->mlp_bias;
}

/* A vector of n numbers, widened into the constants; counts only while they are measured. */
static int load_vector(struct model *m, const float **out, const char *name, int n,
                       struct error *err)
{
    size_t shape[1] = { (size_t)n };
    const struct safetensors_tensor *t = safetensors_need(&m->weights, name, 1, shape, err);
    float *to = arena_take(&m->constants, (size_t)n, sizeof(*to));

    if (!t)
        return -1;
    if (to)
        dtype_widen(to, t->data, (enum dtype)t->dtype, (size_t)n);
    *out = to;
    return 0;
}

static int load_matrix(const struct model *m, const void **w, enum dtype *dtype, const char *name,
                       int rows, int cols, struct error *err)
{
    size_t shape[2] = { (size_t)rows, (size_t)cols };
    const struct safetensors_tensor *t = safetensors_need(&m->weights, name, 2, shape, err);

    if (!t)
        return -1;
    *w = t->data;
    *dtype = (enum dtype)t->dtype;
    return 0;
}

static int load_linear(struct model *m, int l, enum model_slot slot, struct error *err)
{
    struct model_linear *lin = &m->layers[l].linear[slot];
    char name[NAME_MAX_LEN];

    lin->module = -1;
    slot_shape(&m->config, slot, &lin->C, &lin->O);
    (void)snprintf(name, sizeof(name), "model.layers.%d.%s.weight", l, slot_names[slot]);
    if (load_matrix(m, &lin->w, &lin->dtype, name, lin->O, lin->C, err) < 0)
        return -1;
    if (!slot_has_bias(&m->config, slot))
        return 0;
    (void)snprintf(name, sizeof(name), "model.layers.%d.%s.bias", l, slot_names[slot]);
    return load_vector(m, &lin->bias, name, lin->O, err);
}

static int load_norm(struct model *m, const float **out, int l, const char *which, int n,
                     struct error *err)
{
    char name[NAME_MAX_LEN];

    (void)snprintf(name, sizeof(name), "model.layers.%d.%s.weight", l, which);
    return load_vector(m, out, name, n, err);
}

static int load_layer(struct model *m, int l, struct error *err)
{
    struct model_layer *layer = &m->layers[l];
    const struct model_config *c = &m->config;

    layer->window = c->window[l];
    for (int s = 0; s < SLOT_COUNT; s++)
        if (load_linear(m, l, (enum model_slot)s, err) < 0)
            return -1;
    if (load_norm(m, &layer->norm_in, l, "input_layernorm", c->C, err) < 0 ||
        load_norm(m, &layer->norm_mid, l, "post_attention_layernorm", c->C, err) < 0)
        return -1;
    if (c->qk_norm && (load_norm(m, &layer->norm_q, l, "self_attn.q_norm", c->D, err) < 0 ||
                       load_norm(m, &layer->norm_k, l, "self_attn.k_norm", c->D, err) < 0))
        return -1;
    return 0;
}

/* All weights; run once to measure the constants and once to fill them. */
static int load_weights(struct model *m, struct error *err)
{
    const struct model_config *c = &m->config;

    if (load_matrix(m, &m->embedding, &m->embedding_dtype, "model.embed_tokens.weight", c->V, c->C,
                    err) < 0)
        return -1;
    m->head = m->embedding;
    m->head_dtype = m->embedding_dtype;
    if (!c->tied && load_matrix(m, &m->head, &m->head_dtype, "lm_head.weight", c->V, c->C, err) < 0)
        return -1;
    if (load_vector(m, &m->norm_out, "model.norm.weight", c->C, err) < 0)
        return -1;
    m->inv_freq = arena_take(&m->constants, (size_t)c->D / 2, sizeof(float));
    if (m->inv_freq)
        rope_frequencies(m->inv_freq, &c->rope, c->D);
    for (int l = 0; l < c->L; l++)
        if (load_layer(m, l, err) < 0)
            return -1;
    return 0;
}

int model_open(struct model *model, const char *folder, struct error *err)
{
    size_t bytes;

    *model = (struct model){ 0 };
    if (model_config_read(&model->config, folder, err) < 0 ||
        safetensors_open(&model->weights, folder, err) < 0)
        goto fail;
    model->layers = mem_alloc((size_t)model->config.L, sizeof(*model->layers), err);
    if (!model->layers || load_weights(model, err) < 0)
        goto fail;
    bytes = model->constants.peak;
    model->constants = (struct arena){ 0 };
    if (arena_open(&model->constants, bytes, err) < 0 || load_weights(model, err) < 0)
        goto fail;
    model->first_layer = model->config.L;
    return 0;
fail:
    model_close(model);
    return -1;
}

void model_close(struct model *model)
{
    safetensors_close(&model->weights);
    arena_close(&model->constants);
    free(model->layers);
    free(model->names);
    *model = (struct model){ 0 };
}

int model_linears(struct model *model, struct lora_linear **linears, int *count, struct error *err)
{
    int n = model->config.L * SLOT_COUNT;

    *linears = mem_alloc((size_t)n, sizeof(**linears), err);
    free(model->names);
    model->names = mem_alloc((size_t)n, NAME_MAX_LEN, err);
    if (!*linears || !model->names) {
        free(*linears);
        *linears = NULL;
        return -1;
    }
    for (int i = 0; i < n; i++) {
        char *name = model->names + (size_t)i * NAME_MAX_LEN;

        (void)snprintf(name, NAME_MAX_LEN, "model.layers.%d.%s", i / SLOT_COUNT,
                       slot_names[i % SLOT_COUNT]);
        (*linears)[i].name = name;
        slot_shape(&model->config, (enum model_slot)(i % SLOT_COUNT), &(*linears)[i].C,
                   &(*linears)[i].O);
    }
    *count = n;
    return 0;
}

void model_attach(struct model *model, const struct adapter *adapter)
{
    model->adapter = adapter;
    model->first_layer = model->config.L;
    for (int i = adapter->count - 1; i >= 0; i--) {
        int linear = adapter->modules[i].linear;

        model->first_layer = linear / SLOT_COUNT;
        model->first_slot = (enum model_slot)(linear % SLOT_COUNT);
        model->layers[linear / SLOT_COUNT].linear[linear % SLOT_COUNT].module = i;
    }
}

struct hash model_fingerprint(const struct model *model)
{
    enum { SAMPLE = 4096 }; // bytes from the start, the middle and the end of a tensor
    struct hash hash = hash_bytes(model->config.architecture, strlen(model->config.architecture));

    for (size_t i = 0; i < model->weights.count; i++) {
        const struct safetensors_tensor *t = &model->weights.tensors[i];
        const char *data = t->data;
        size_t n = t->bytes < SAMPLE ? t->bytes : SAMPLE;

        hash = hash_chain(hash, t->name, strlen(t->name));
        hash = hash_chain(hash, t->type_name, strlen(t->type_name));
        hash = hash_chain(hash, t->shape, (size_t)t->dims * sizeof(t->shape[0]));
        if (n == 0)
            continue;
        hash = hash_chain(hash, data, n);
        hash = hash_chain(hash, data + (t->bytes - n) / 2, n);
        hash = hash_chain(hash, data + (t->bytes - n), n);
    }
    return hash;
}

static double linear_parameters(const struct model_linear *lin)
{
    return (double)lin->C * lin->O;
}

enum dtype model_dtype(const struct model *model)
{
    return model->layers[0].linear[0].dtype;
}

double model_layer_parameters(const struct model *model)
{
    double sum = 0.0;

    for (int s = 0; s < SLOT_COUNT; s++)
        sum += linear_parameters(&model->layers[0].linear[s]);
    return sum * model->config.L;
}

double model_flops(const struct model *model, double tokens, double labelled, double squares,
                   int train)
{
    const struct model_config *c = &model->config;
    double layers = model_layer_parameters(model), per_layer = layers / c->L;
    double attention = 2.0 * (double)c->H * c->D * squares; // two products over half the square
    double top = (double)c->V * c->C * labelled;            // multiply-adds
    double trained = c->L - model->first_layer, share = tokens > 0.0 ? labelled / tokens : 0.0;
    double last = attention * share * (2.0 - share), flops;

    for (int s = 0; s < SLOT_COUNT; s++) // the last layer makes nothing else of unlabelled tokens
        if (s != SLOT_K && s != SLOT_V)
            top -= linear_parameters(&model->layers[c->L - 1].linear[s]) * (tokens - labelled);
    flops = 2.0 * (layers * tokens + top) + attention * (c->L - 1) + last;
    if (model->adapter)
        flops += 2.0 * (double)model->adapter->param_count * tokens;
    if (!train)
        return flops;
    flops +=
        2.0 * (per_layer * trained * tokens + top) + 2.0 * (attention * (trained - 1.0) + last);
    return flops + 4.0 * (double)model->adapter->param_count * tokens;
}
