/*
 * model/model_config.c: config.json to struct model_config.
 */
#include "model/model_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/strbuf.h"
#include "format/json.h"

enum { DIM_MAX = 1 << 22 }; // far above any model; keeps products within 64 bits

/* What transformers' configuration class of a family assumes and its code fixes. */
struct family {
    const char *architecture;
    int kv_heads;       // 0: as many as heads
    int head_dim;       // 0: hidden_size / heads
    int sliding_window; // default in tokens
    int window_switch;  // use_sliding_window decides whether the window counts
    int qkv_bias;       // always there, whatever attention_bias says
    int qk_norm;
    int has_biases; // attention_bias and mlp_bias are read
};

static const struct family families[] = {
    { "LlamaForCausalLM", 0, 0, 0, 0, 0, 0, 1 },
    { "MistralForCausalLM", 8, 0, 4096, 0, 0, 0, 0 },
    { "Qwen2ForCausalLM", 32, 0, 4096, 1, 1, 0, 0 },
    { "Qwen3ForCausalLM", 32, 128, 4096, 1, 0, 1, 1 },
};
enum { FAMILIES = sizeof(families) / sizeof(families[0]) };

static const struct family *find_family(const char *name)
{
    for (int f = 0; f < FAMILIES; f++)
        if (strcmp(families[f].architecture, name) == 0)
            return &families[f];
    return NULL;
}

static const struct family *read_family(const json_t *root, struct error *err)
{
    json_t *list = NULL;
    const char *name = NULL;
    const struct family *family;
    char known[256] = "";

    if (json_need_array(root, "architectures", &list, err) < 0)
        return NULL;
    name = json_string_value(json_array_get(list, 0));
    family = name ? find_family(name) : NULL;
    if (family)
        return family;
    for (int f = 0; f < FAMILIES; f++) {
        size_t used = strlen(known);

        (void)snprintf(known + used, sizeof(known) - used, "%s%s", f ? ", " : "",
                       families[f].architecture);
    }
    (void)error_set(err, "architecture '%s' is not supported; supported are %s",
                    name ? name : "(none)", known);
    return NULL;
}

static int read_dim(const json_t *root, const char *key, int *out, int fallback, struct error *err)
{
    int64_t value = fallback;

    if (json_get_int(root, key, &value, 1, DIM_MAX, err) < 0)
        return -1;
    if (value <= 0)
        return error_set(err, "'%s' is missing", key);
    *out = (int)value;
    return 0;
}

static int read_dims(struct model_config *c, const json_t *root, const struct family *family,
                     struct error *err)
{
    double eps = 1e-6;

    if (read_dim(root, "hidden_size", &c->C, 0, err) < 0 ||
        read_dim(root, "num_hidden_layers", &c->L, 0, err) < 0 ||
        read_dim(root, "num_attention_heads", &c->H, 0, err) < 0 ||
        read_dim(root, "intermediate_size", &c->F, 0, err) < 0 ||
        read_dim(root, "vocab_size", &c->V, 0, err) < 0 ||
        read_dim(root, "max_position_embeddings", &c->max_position, 2048, err) < 0 ||
        read_dim(root, "num_key_value_heads", &c->G, family->kv_heads ? family->kv_heads : c->H,
                 err) < 0 ||
        read_dim(root, "head_dim", &c->D, family->head_dim ? family->head_dim : c->C / c->H, err) <
            0 ||
        json_get_double(root, "rms_norm_eps", &eps, err) < 0)
        return -1;
    if (c->L > MODEL_LAYERS_MAX)
        return error_set(err, "'num_hidden_layers' is %d; at most %d are possible", c->L,
                         MODEL_LAYERS_MAX);
    if (c->H % c->G != 0)
        return error_set(err, "'num_attention_heads' %d is no multiple of 'num_key_value_heads' %d",
                         c->H, c->G);
    if (c->D % 2 != 0)
        return error_set(err, "'head_dim' is %d; rotary positions need an even one", c->D);
    if ((int64_t)c->H * c->D > DIM_MAX)
        return error_set(err, "'num_attention_heads' times 'head_dim' is beyond %d", DIM_MAX);
    c->eps = (float)eps;
    return 0;
}

/* Settings that would change the result and are not computed here. */
static int refuse_others(const json_t *root, struct error *err)
{
    const char *act = "silu";
    double dropout = 0.0;
    json_t *quantization = NULL;

    if (json_get_string(root, "hidden_act", &act, err) < 0 ||
        json_get_double(root, "attention_dropout", &dropout, err) < 0 ||
        json_get_object(root, "quantization_config", &quantization, err) < 0)
        return -1;
    if (strcmp(act, "silu") != 0)
        return error_set(err, "'hidden_act' is '%s'; only silu is supported", act);
    if (dropout != 0.0)
        return error_set(err, "'attention_dropout' is %g; only 0 is supported", dropout);
    if (quantization)
        return error_set(err, "the weights are quantised ('quantization_config'); give a model in "
                              "float32, float16 or bfloat16");
    return 0;
}

static int read_biases(struct model_config *c, const json_t *root, const struct family *family,
                       struct error *err)
{
    int attention = 0, mlp = 0;

    if (json_get_bool(root, "tie_word_embeddings", &c->tied, err) < 0)
        return -1;
    if (family->has_biases && (json_get_bool(root, "attention_bias", &attention, err) < 0 ||
                               json_get_bool(root, "mlp_bias", &mlp, err) < 0))
        return -1;
    c->qkv_bias = family->qkv_bias || attention;
    c->o_bias = attention;
    c->mlp_bias = mlp && !family->qk_norm;
    c->qk_norm = family->qk_norm;
    return 0;
}

static int read_windows(struct model_config *c, const json_t *root, const struct family *family,
                        struct error *err)
{
    const json_t *given = json_object_get(root, "sliding_window");
    int64_t window = given && json_is_null(given) ? 0 : family->sliding_window;
    int64_t first = 28; // max_window_layers: the first layer that has a window
    int use = !family->window_switch;
    json_t *types = NULL;

    if (family->sliding_window == 0)
        return 0;
    if (json_get_int(root, "sliding_window", &window, 0, INT32_MAX, err) < 0 ||
        json_get_bool(root, "use_sliding_window", &use, err) < 0 ||
        json_get_int(root, "max_window_layers", &first, 0, INT32_MAX, err) < 0 ||
        json_get_array(root, "layer_types", &types, err) < 0)
        return -1;
    if (types && json_array_size(types) != (size_t)c->L)
        return error_set(err, "'layer_types' has %zu entries for %d layers", json_array_size(types),
                         c->L);
    for (int l = 0; use && l < c->L; l++) {
        const char *type = types ? json_string_value(json_array_get(types, (size_t)l)) : NULL;
        int slides =
            type ? strcmp(type, "sliding_attention") == 0 : !family->window_switch || l >= first;

        c->window[l] = slides ? (int)window : 0;
    }
    return 0;
}

static int read_llama3(struct rope_params *rope, const json_t *o, int max_position,
                       struct error *err)
{
    rope->kind = ROPE_LLAMA3;
    rope->low_freq_factor = 0.0;
    rope->high_freq_factor = 0.0;
    rope->original_max_position_embeddings = max_position;
    if (json_get_double(o, "low_freq_factor", &rope->low_freq_factor, err) < 0 ||
        json_get_double(o, "high_freq_factor", &rope->high_freq_factor, err) < 0 ||
        json_get_double(o, "original_max_position_embeddings",
                        &rope->original_max_position_embeddings, err) < 0)
        return -1;
    if (!(rope->low_freq_factor > 0.0) || !(rope->high_freq_factor > rope->low_freq_factor) ||
        !(rope->original_max_position_embeddings > 0.0))
        return error_set(err, "rope type llama3 needs 'low_freq_factor' below 'high_freq_factor', "
                              "both above 0");
    return 0;
}

/* Both spellings: rope_theta with rope_scaling, and rope_parameters that holds all. */
static int read_rope(struct model_config *c, const json_t *root, struct error *err)
{
    json_t *scaling = NULL, *parameters = NULL;
    const json_t *o;
    const char *type = "default";

    c->rope = (struct rope_params){ .theta = 10000.0, .factor = 1.0 };
    if (json_get_double(root, "rope_theta", &c->rope.theta, err) < 0 ||
        json_get_object(root, "rope_scaling", &scaling, err) < 0 ||
        json_get_object(root, "rope_parameters", &parameters, err) < 0)
        return -1;
    o = parameters ? parameters : scaling;
    if (o && (json_get_string(o, "type", &type, err) < 0 ||
              json_get_string(o, "rope_type", &type, err) < 0 ||
              json_get_double(o, "rope_theta", &c->rope.theta, err) < 0 ||
              json_get_double(o, "factor", &c->rope.factor, err) < 0))
        return -1;
    if (!(c->rope.theta > 0.0) || !(c->rope.factor > 0.0))
        return error_set(err, "'rope_theta' and 'factor' must be above 0");
    if (strcmp(type, "default") == 0)
        return 0;
    if (strcmp(type, "linear") == 0) {
        c->rope.kind = ROPE_LINEAR;
        return 0;
    }
    if (strcmp(type, "llama3") == 0)
        return read_llama3(&c->rope, o, c->max_position, err);
    return error_set(err, "rope type '%s' is not supported; supported are default, linear, llama3",
                     type);
}

static int parse(struct model_config *c, const json_t *root, struct error *err)
{
    const struct family *family = read_family(root, err);

    if (!family)
        return -1;
    (void)snprintf(c->architecture, sizeof(c->architecture), "%s", family->architecture);
    if (refuse_others(root, err) < 0 || read_dims(c, root, family, err) < 0 ||
        read_biases(c, root, family, err) < 0 || read_windows(c, root, family, err) < 0)
        return -1;
    return read_rope(c, root, err);
}

int model_config_read(struct model_config *config, const char *folder, struct error *err)
{
    char *path = path_join(folder, "config.json", err);
    json_t *root = path ? json_parse_file(path, err) : NULL;
    int rc = -1;

    *config = (struct model_config){ 0 };
    if (!root)
        goto out;
    if (!json_is_object(root))
        (void)error_set(err, "the top is no object");
    else
        rc = parse(config, root, err);
    if (rc < 0)
        (void)error_wrap(err, "cannot use model '%s'", path);
out:
    json_decref(root);
    free(path);
    return rc;
}
