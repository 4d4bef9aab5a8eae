#!/usr/bin/env python3
"""Make the tiny models of tests/golden/models and what transformers and PEFT compute with them.

    $ORACLE_PYTHON tests/golden/make_models.py [NAME ...]

Every model has random weights of a realistic scale from a fixed seed and odd
shapes; its tokenizer is linked from tests/golden/tokenizers. README.md in the
output folder describes the files. Weights come out the same wherever this
runs; logits and gradients may differ in the last bits with another CPU.
"""

import argparse
import json
import math
import os
import shutil
import sys

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
# Prime lengths, and the positions whose logits are kept.
LENGTHS = {1: range(1), 7: range(7), 31: range(0, 31, 3), 67: (0, 1, 15, 16, 33, 47, 64, 66)}
GRAD_LENGTHS = (7, 31, 67)
ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS = {
    "all": dict(r=4, lora_alpha=8, target_modules=ALL_LINEAR),
    "qv": dict(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj"], use_rslora=True),
}

# One entry a model: its configuration, the tokenizer, how it is stored, and
# how config.json spells the rotary settings (old: rope_theta, rope_scaling).
MODELS = {
    "llama": dict(
        tokenizer="llama3", dtype="float32", spelling="old", pad_rows=3,
        config=dict(model_type="llama", hidden_size=48, num_attention_heads=6,
                    num_key_value_heads=2, intermediate_size=131, num_hidden_layers=3,
                    max_position_embeddings=512, tie_word_embeddings=False, rms_norm_eps=1e-5,
                    rope=dict(rope_type="llama3", rope_theta=8000.0, factor=8.0,
                              low_freq_factor=1.0, high_freq_factor=4.0,
                              original_max_position_embeddings=64))),
    "llama_bias": dict(
        tokenizer="llama2", dtype="bfloat16", spelling="old", pad_rows=0,
        config=dict(model_type="llama", hidden_size=36, num_attention_heads=3,
                    num_key_value_heads=1, intermediate_size=97, num_hidden_layers=2,
                    max_position_embeddings=256, tie_word_embeddings=False, rms_norm_eps=1e-6,
                    attention_bias=True, mlp_bias=True,
                    rope=dict(rope_type="default", rope_theta=10000.0))),
    "mistral": dict(
        tokenizer="mistral", dtype="float32", spelling="new", pad_rows=1, shard="80KB",
        config=dict(model_type="mistral", hidden_size=40, num_attention_heads=4,
                    num_key_value_heads=2, head_dim=14, intermediate_size=109,
                    num_hidden_layers=2, max_position_embeddings=512, sliding_window=None,
                    tie_word_embeddings=False, rms_norm_eps=1e-5,
                    rope=dict(rope_type="default", rope_theta=1000000.0))),
    "qwen2": dict(
        tokenizer="qwen2", dtype="float32", spelling="old", pad_rows=7,
        config=dict(model_type="qwen2", hidden_size=60, num_attention_heads=6,
                    num_key_value_heads=2, intermediate_size=113, num_hidden_layers=2,
                    max_position_embeddings=512, tie_word_embeddings=True, rms_norm_eps=1e-6,
                    use_sliding_window=False,
                    rope=dict(rope_type="default", rope_theta=1000000.0))),
    "qwen3": dict(
        tokenizer="qwen3", dtype="float32", spelling="new", pad_rows=5,
        config=dict(model_type="qwen3", hidden_size=44, num_attention_heads=3,
                    num_key_value_heads=1, head_dim=18, intermediate_size=101,
                    num_hidden_layers=3, max_position_embeddings=512, tie_word_embeddings=True,
                    rms_norm_eps=1e-6, use_sliding_window=False,
                    rope=dict(rope_type="default", rope_theta=1000000.0))),
    "smollm2": dict(
        tokenizer="smollm2", dtype="float16", spelling="old", pad_rows=0,
        config=dict(model_type="llama", hidden_size=36, num_attention_heads=9,
                    num_key_value_heads=3, intermediate_size=89, num_hidden_layers=2,
                    max_position_embeddings=512, tie_word_embeddings=True, rms_norm_eps=1e-5,
                    rope=dict(rope_type="default", rope_theta=100000.0))),
}


def tokenizer_facts(folder):
    """Size of the vocabulary and the ids of bos and eos, from the files alone."""
    with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as f:
        tok = json.load(f)
    ids = dict(tok["model"]["vocab"])
    for added in tok.get("added_tokens", []):
        ids[added["content"]] = added["id"]
    config = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                config.update(json.load(f))

    def token_id(key):
        value = config.get(key)
        if isinstance(value, dict):
            value = value.get("content")
        return ids.get(value) if value is not None else None

    return max(ids.values()) + 1, token_id("bos_token"), token_id("eos_token")


def make_config(spec, vocab, bos, eos):
    fields = dict(spec["config"])
    model_type = fields.pop("model_type")
    rope = fields.pop("rope")
    config = transformers.AutoConfig.for_model(
        model_type, vocab_size=vocab, bos_token_id=bos, eos_token_id=eos, pad_token_id=None,
        rope_parameters=rope, **fields)
    config.dtype = spec["dtype"]
    return config


def fill(model, seed):
    """Random weights: unit-gain linears, embeddings and norms that are not trivial."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=gen, dtype=torch.float32)
            if "norm" in name:
                value = 1.0 + 0.2 * noise
            elif name.endswith(".bias"):
                value = 0.2 * noise
            elif "embed_tokens" in name:
                value = noise * (0.3 if model.config.tie_word_embeddings else 0.7)
            else:
                gain = 1.6 if ("q_proj" in name or "k_proj" in name) else 1.0
                value = noise * gain / math.sqrt(p.shape[1])
            p.copy_(value)


def rewrite_config(folder, spelling):
    """config.json without the noise of this version, rotary settings as asked."""
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    if spelling == "old":
        rope = config.pop("rope_parameters")
        config.setdefault("head_dim", config["hidden_size"] // config["num_attention_heads"])
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
        config["torch_dtype"] = config.pop("dtype")
        if config["head_dim"] * config["num_attention_heads"] == config["hidden_size"]:
            del config["head_dim"]
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")


def link_tokenizer(folder, family):
    source = os.path.join(HERE, "tokenizers", family)
    for name in sorted(os.listdir(source)):
        if name.startswith(("tokenizer", "special_tokens", "vocab", "merges", "chat_template")):
            os.symlink(os.path.join("..", "..", "tokenizers", family, name),
                       os.path.join(folder, name))


def load(folder, dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager").eval()


def make_ids(vocab, length, seed):
    gen = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocab, (length,), generator=gen)


def make_labels(ids):
    """A prompt of a third, then labels with a hole, as two turns have them."""
    labels = ids.clone()
    n = len(ids)
    labels[: max(1, n // 3)] = -100
    labels[n // 2 : n // 2 + n // 8] = -100
    return labels


def make_logits(folder, vocab):
    out = {}
    worst = {}
    models = {"f32": load(folder, torch.float32), "f64": load(folder, torch.float64)}
    for length, rows in LENGTHS.items():
        rows = torch.tensor(list(rows))
        ids = make_ids(vocab, length, 1000 + length)
        out[f"ids_{length}"] = ids.to(torch.int32)
        with torch.no_grad():
            got = {k: m(ids[None], output_hidden_states=True) for k, m in models.items()}
        out[f"rows_{length}"] = rows.to(torch.int32)
        out[f"logits_{length}"] = got["f32"].logits[0][rows].float().contiguous()
        if length == 7:
            out["hidden_f64_7"] = torch.cat(got["f64"].hidden_states).float().contiguous()
        if length == 67:
            out["logits_f64_67"] = got["f64"].logits[0][rows].float().contiguous()
        exact = got["f64"].logits[0]
        worst[length] = ((got["f32"].logits[0].double() - exact).abs().max() / exact.abs().max()).item()
    meta = {f"f32_off_by_{k}": f"{v:.3e}" for k, v in worst.items()}
    save_file(out, os.path.join(folder, "logits.safetensors"), metadata=meta)
    return worst


def make_adapter(folder, name, fields, seed):
    target = os.path.join(folder, f"adapter_{name}")
    model = get_peft_model(load(folder, torch.float32), LoraConfig(task_type="CAUSAL_LM", **fields))
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, p in sorted((n, p) for n, p in model.named_parameters() if p.requires_grad):
            noise = torch.randn(p.shape, generator=gen)
            p.copy_(noise * (0.5 / math.sqrt(p.shape[1])))
    model.peft_config["default"].base_model_name_or_path = os.path.basename(folder)
    model.save_pretrained(target)
    os.remove(os.path.join(target, "README.md"))
    path = os.path.join(target, "adapter_config.json")
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    config["target_modules"] = sorted(config["target_modules"])
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")


def token_loss_sum(model, ids, labels):
    logits = model(ids[None]).logits[0]
    return torch.nn.functional.cross_entropy(logits[:-1], labels[1:], ignore_index=-100,
                                             reduction="sum")


def make_grads(folder, name, vocab):
    """Loss and gradients of each sample alone; a packed row's are their sums."""
    out = {}
    worst = {}
    for kind, dtype in (("f32", torch.float32), ("f64", torch.float64)):
        model = PeftModel.from_pretrained(load(folder, dtype), os.path.join(folder, f"adapter_{name}"),
                                          is_trainable=True, autocast_adapter_dtype=False).to(dtype)
        model.eval()
        for length in GRAD_LENGTHS:
            ids = make_ids(vocab, length, 2000 + length)
            labels = make_labels(ids)
            model.zero_grad()
            loss = token_loss_sum(model, ids, labels)
            loss.backward()
            out[f"ids_{length}"] = ids.to(torch.int32)
            out[f"labels_{length}"] = labels.to(torch.int32)
            out[f"{kind}/loss_{length}"] = loss.detach().double().reshape(1)
            for pname, p in model.named_parameters():
                if p.requires_grad:
                    key = pname.replace(".default", "").removeprefix("base_model.model.")
                    out[f"{kind}/grad_{length}/{key}"] = p.grad
    for key in [k for k in out if k.startswith("f32/grad_")]:
        exact = out["f64" + key[3:]]
        off = ((out[key].double() - exact).norm() / exact.norm()).item()
        worst[key.split("/")[1]] = max(worst.get(key.split("/")[1], 0.0), off)
    # What C tests compare with; float64 rounded to float32 says which is nearer.
    out = {k: (v.float() if "/grad_" in k else v).contiguous() for k, v in out.items()}
    for key in [k for k in out if k.startswith("f64/grad_7/") or k.startswith("f32/grad_31/")]:
        del out[key]
    save_file(out, os.path.join(folder, f"grads_{name}.safetensors"),
              metadata={f"f32_off_by_{k}": f"{v:.3e}" for k, v in worst.items()})
    return worst


def make_model(root, name, seed):
    spec = MODELS[name]
    folder = os.path.join(root, name)
    shutil.rmtree(folder, ignore_errors=True)
    size, bos, eos = tokenizer_facts(os.path.join(HERE, "tokenizers", spec["tokenizer"]))
    vocab = size + spec["pad_rows"]
    config = make_config(spec, vocab, bos, eos)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    fill(model, seed)
    model = model.to(getattr(torch, spec["dtype"]))
    model.save_pretrained(folder, max_shard_size=spec.get("shard", "1GB"))
    rewrite_config(folder, spec["spelling"])
    for extra in ("generation_config.json",):
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    link_tokenizer(folder, spec["tokenizer"])
    report = {"logits": make_logits(folder, vocab)}
    for i, (adapter, fields) in enumerate(ADAPTERS.items()):
        make_adapter(folder, adapter, fields, seed + 100 + i)
        report[f"grads_{adapter}"] = make_grads(folder, adapter, vocab)
    total = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(folder)
                for f in fs if not os.path.islink(os.path.join(d, f)))
    print(f"{name}: vocabulary {size}+{spec['pad_rows']}, {total} bytes, float32 off by", report)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(MODELS), metavar="NAME")
    parser.add_argument("--out", default=os.path.join(HERE, "models"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.names:
        make_model(args.out, name, 7000 + 10 * list(MODELS).index(name))
    with open(os.path.join(args.out, "versions.json"), "w", encoding="utf-8") as f:
        json.dump({"torch": torch.__version__, "transformers": transformers.__version__,
                   "peft": peft.__version__, "python": sys.version.split()[0]}, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
