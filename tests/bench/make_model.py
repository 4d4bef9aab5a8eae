#!/usr/bin/env python3
"""Writes a folder of random bf16 weights in the shape of Qwen2.5-7B, and a row of data that fills 2048 tokens.

    tests/bench/make_model.py FOLDER [--layers 28]

For measuring time and memory at a size that cannot be shipped: 15 GB of
weights in four files, the tokenizer of tests/golden/models/qwen2, and
data/dataset_info.json with the data set `long`, 8 rows. Needs numpy. Shape:
config.json of Qwen/Qwen2.5-7B-Instruct.
"""

import argparse
import json
import os
import shutil
import sys

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOKENIZER = os.path.join(ROOT, "tests", "golden", "models", "qwen2")
FILES = 4
POOL = 1 << 25  # random numbers; every tensor takes its own from somewhere in them

CONFIG = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "torch_dtype": "bfloat16",
    "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    "max_position_embeddings": 32768, "tie_word_embeddings": False, "use_sliding_window": False,
    "max_window_layers": 28, "sliding_window": 131072, "attention_dropout": 0.0,
    "initializer_range": 0.02, "bos_token_id": 151643, "eos_token_id": 151645,
}


def tensors(c):
    """(name, shape) of each tensor."""
    wide, inner, kv = c["hidden_size"], c["intermediate_size"], \
        c["hidden_size"] // c["num_attention_heads"] * c["num_key_value_heads"]
    yield "model.embed_tokens.weight", (c["vocab_size"], wide)
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{layer}{norm}.weight", (wide,)
        for name, rows in (("q", wide), ("k", kv), ("v", kv)):
            yield f"{layer}self_attn.{name}_proj.weight", (rows, wide)
            yield f"{layer}self_attn.{name}_proj.bias", (rows,)
        yield f"{layer}self_attn.o_proj.weight", (wide, wide)
        for name, shape in (("gate", (inner, wide)), ("up", (inner, wide)), ("down", (wide, inner))):
            yield f"{layer}mlp.{name}_proj.weight", shape
    yield "model.norm.weight", (wide,)
    yield "lm_head.weight", (c["vocab_size"], wide)


def bf16(values):
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2")


def write_file(path, members, pool):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in members:
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for number, (name, shape) in enumerate(members):
            left = int(np.prod(shape))
            if name.endswith("norm.weight"):
                f.write(bf16(np.ones(left)).tobytes())
                continue
            start = number * 7919 * 64 % POOL
            while left > 0:
                part = pool[start:start + left]
                f.write(part.tobytes())
                left, start = left - len(part), 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--layers", type=int, default=CONFIG["num_hidden_layers"])
    args = parser.parse_args()
    config = {**CONFIG, "num_hidden_layers": args.layers}
    os.makedirs(os.path.join(args.folder, "data"), exist_ok=True)
    random = np.random.default_rng(0)
    pool = bf16(random.standard_normal(POOL, dtype=np.float32) * np.float32(0.02))
    members = list(tensors(config))
    share = -(-len(members) // FILES)
    index = {}
    for i in range(FILES):
        name = f"model-{i + 1:05d}-of-{FILES:05d}.safetensors"
        part = members[i * share:(i + 1) * share]
        write_file(os.path.join(args.folder, name), part, pool)
        index.update((tensor, name) for tensor, _ in part)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(TOKENIZER, name), args.folder)
    words = ("node", "queue", "rank", "core", "step", "job", "file", "disk")
    rows = [{"instruction": f"Tell all about run {i}.", "input": "",
             "output": " ".join(words[j] for j in random.integers(len(words), size=4096))}
            for i in range(8)]
    total = sum(2 * int(np.prod(shape)) for _, shape in members)
    for path, content in (("config.json", config),
                          ("model.safetensors.index.json",
                           {"metadata": {"total_size": total}, "weight_map": index}),
                          ("data/long.json", rows),
                          ("data/dataset_info.json", {"long": {"file_name": "long.json"}})):
        with open(os.path.join(args.folder, path), "w", encoding="utf-8") as f:
            json.dump(content, f, indent=1)
    print(f"{args.folder}: {len(members)} tensors, {total / 1e9:.1f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
