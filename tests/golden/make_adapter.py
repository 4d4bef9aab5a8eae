#!/usr/bin/env python3
"""Files for tests of format/safetensors and lora, written by safetensors and PEFT themselves.

usage: make_adapter.py [FOLDER]     (default: lora beside this file)

peft/            an adapter on a Llama of two layers: rank 3, alpha 5, dropout 0.05, all linear modules
peft-rslora/     the same in bfloat16 with rslora, on q_proj and layer 1's down_proj
plain.safetensors   float32 tensors with values i / 8, for the bytes of our writer
mixed.safetensors   many types, a single number, an empty tensor
sharded/         two shards and their index
"""
import json
import os
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

FOLDER = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "lora")
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def eighths(*shape):
    count = 1
    for n in shape:
        count *= n
    return (torch.arange(count, dtype=torch.float32) / 8).reshape(shape)


def adapter(name, dtype, **options):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=11, hidden_size=6, intermediate_size=10, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=4,
    )
    model = LlamaForCausalLM(config)
    model.name_or_path = model.config._name_or_path = "some/base-model"
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    numbers = 0
    for key, p in model.named_parameters():
        if "lora_" in key:
            p.data = (eighths(*p.shape) + numbers).to(dtype)
            numbers += 1
    folder = os.path.join(FOLDER, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    os.remove(os.path.join(folder, "README.md"))
    path = os.path.join(folder, "adapter_config.json")
    with open(path, encoding="utf-8") as file:
        written = json.load(file)
    written["target_modules"].sort()  # PEFT's order comes from a set
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(written, indent=2, sort_keys=True))


def main():
    os.makedirs(FOLDER, exist_ok=True)
    adapter("peft", torch.float32, r=3, lora_alpha=5, lora_dropout=0.05, target_modules=ALL)
    adapter("peft-rslora", torch.bfloat16, r=4, lora_alpha=8, use_rslora=True,
            target_modules=["q_proj", "model.layers.1.mlp.down_proj"])
    save_file(
        {"b.weight": eighths(2, 3), "a": eighths(5), "c\u00e9\"x": eighths(1, 1, 2), "B": eighths(7, 1)},
        os.path.join(FOLDER, "plain.safetensors"), metadata={"format": "pt"},
    )
    mixed = {
        "half": eighths(3, 5).half(), "brain": eighths(7).bfloat16(), "single": eighths(2, 2),
        "double": eighths(3).double(), "long": torch.arange(4), "byte": torch.arange(3, dtype=torch.uint8),
        "flag": torch.tensor([True, False, True]), "number": torch.tensor(2.5), "empty": torch.zeros(0, 4),
    }
    save_file(mixed, os.path.join(FOLDER, "mixed.safetensors"))
    sharded = os.path.join(FOLDER, "sharded")
    shutil.rmtree(sharded, ignore_errors=True)
    os.makedirs(sharded)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    shards = [{"x.weight": eighths(2, 2), "z": eighths(3)}, {"y.weight": eighths(4).bfloat16()}]
    for file, shard in zip(files, shards):
        save_file(shard, os.path.join(sharded, file), metadata={"format": "pt"})
    index = {"metadata": {"total_size": 36}, "weight_map": {k: f for f, s in zip(files, shards) for k in s}}
    with open(os.path.join(sharded, "model.safetensors.index.json"), "w", encoding="ascii") as file:
        json.dump(index, file, indent=2, sort_keys=True)


main()
