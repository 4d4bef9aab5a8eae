/*
 * model/model_config.h: one description of a decoder, read from config.json.
 *
 * Llama, Mistral, Qwen2 and Qwen3 differ in a handful of settings; this struct
 * holds them and nothing else in the program asks for a family's name.
 *
 * Local.
 */
#ifndef MODEL_MODEL_CONFIG_H
#define MODEL_MODEL_CONFIG_H

#include "base/error.h"
#include "nn/rope.h"

#define MODEL_LAYERS_MAX 1024

struct model_config {
    char architecture[64];        // "LlamaForCausalLM"
    int C;                        // hidden_size
    int L;                        // num_hidden_layers
    int H;                        // num_attention_heads
    int G;                        // num_key_value_heads
    int D;                        // head_dim
    int F;                        // intermediate_size
    int V;                        // vocab_size
    int max_position;             // max_position_embeddings
    float eps;                    // rms_norm_eps
    int tied;                     // the head is the embedding
    int qkv_bias, o_bias;         // biases of attention's linear modules
    int mlp_bias;                 // biases of gate, up and down
    int qk_norm;                  // RMSNorm on each head of q and k
    int window[MODEL_LAYERS_MAX]; // sliding window of each layer in tokens, 0: none
    struct rope_params rope;
};

/*
 * Reads folder/config.json. Absent keys have the defaults of transformers'
 * class for that architecture. An unsupported architecture is refused with the
 * list of supported ones, and so is a setting that the decoder does not
 * compute (another activation, quantised weights, other rope types), by name.
 */
int model_config_read(struct model_config *config, const char *folder, struct error *err);

#endif
