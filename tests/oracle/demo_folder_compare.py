#!/usr/bin/env python3
"""demo_folder_compare.py OURS THEIRS: is the folder that configs/demo/gguf_to_hf.py made the right one?

THEIRS is the folder that transformers makes of the same GGUF file (AutoModelForCausalLM and AutoTokenizer with
gguf_file=, then save_pretrained). Compared are every tensor, bit for bit; what the configurations mean; vocabulary,
merges and special tokens; and ids on text. Run with a Python that has torch, transformers and safetensors.

One difference is wanted. transformers gives every such tokenizer GPT-2's pre-tokenizer, while the file asks for
'smollm', which first splits off each digit; runs of spaces before a digit then come out otherwise. So ids are
compared with THEIRS after its pre-tokenizer is replaced, and the lines that differ without that are counted. Its
eos is also wrong (the id of bos): the file says <|im_end|>.
"""
import json
import sys

import torch
from safetensors import safe_open
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoConfig, AutoTokenizer

TEXTS = [
    "Hello, world!", "  leading and trailing  ", "x = 12345 + 6.78", "in  2024, 3 000  4", "   7", "\t8\n\n9 \n10",
    "don't we'll I'VE", "<|im_start|>user\nhi<|im_end|>\n", "naïve café, Zürich, 東京 ٣٤ ½ ²", "🙂👩‍👩‍👧 emoji",
    "for (int i = 0; i < n; i++)\n        a[i] += 2;", "\u00a0nbsp\u2003em\u200bzero", "", " ", "\x00\x07",
]
CONFIG_KEYS = [
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "vocab_size", "max_position_embeddings", "tie_word_embeddings", "hidden_act", "attention_bias", "mlp_bias",
    "bos_token_id", "eos_token_id", "pad_token_id", "model_type", "architectures", "rope_parameters",
]
failed = 0
passed = 0


def check(name, ok, note=""):
    global failed, passed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok or note:
        print(("ok: " if ok else "FAILED: ") + name + (f": {note}" if note else ""))


def tensors(ours, theirs):
    with safe_open(f"{ours}/model.safetensors", "pt") as a, safe_open(f"{theirs}/model.safetensors", "pt") as b:
        check("names of tensors", set(a.keys()) == set(b.keys()), f"{len(a.keys())} tensors")
        for name in sorted(set(a.keys()) & set(b.keys())):
            x, y = a.get_tensor(name), b.get_tensor(name)
            check(name, x.dtype == y.dtype and x.shape == y.shape and torch.equal(x, y))


def configs(ours, theirs):
    a, b = AutoConfig.from_pretrained(ours), AutoConfig.from_pretrained(theirs)
    for key in CONFIG_KEYS:
        check(f"config {key}", getattr(a, key) == getattr(b, key), f"{getattr(a, key)}")
    eps = [torch.tensor(c.rms_norm_eps, dtype=torch.float32) for c in (a, b)]
    check("config rms_norm_eps in float32", eps[0] == eps[1])


def bpe(folder):
    with open(f"{folder}/tokenizer.json", encoding="utf-8") as f:
        whole = json.load(f)
    merges = [m if isinstance(m, list) else m.split(" ") for m in whole["model"]["merges"]]
    special = sorted((t["id"], t["content"], t["special"]) for t in whole["added_tokens"])
    return whole["model"]["vocab"], merges, special


def ids(ours, theirs, files):
    for what, x, y in zip(("vocabulary", "merges", "special tokens"), bpe(ours), bpe(theirs)):
        check(what, x == y, f"{len(x)}")
    a, b = (Tokenizer.from_file(f"{folder}/tokenizer.json") for folder in (ours, theirs))
    texts = TEXTS + [line for name in files for line in open(name, encoding="utf-8")]

    def encode(t):
        return [e.ids for e in t.encode_batch(texts, add_special_tokens=False)]

    mine, plain = encode(a), encode(b)
    b.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    wanted = encode(b)
    check("ids", mine == wanted, f"{len(texts)} texts, {sum(map(len, mine))} tokens; "
          f"{sum(x != y for x, y in zip(mine, plain))} texts differ from the pre-tokenizer that transformers writes")
    auto = AutoTokenizer.from_pretrained(ours)
    check("ids through AutoTokenizer", [auto(t, add_special_tokens=False)["input_ids"] for t in texts] == mine)
    check("eos", auto.eos_token == "<|im_end|>" and auto.bos_token == "<|im_start|>" and auto.pad_token == "<|im_end|>")
    with open(f"{theirs}/chat_template.jinja", encoding="utf-8") as f:
        check("chat template", auto.chat_template == f.read())


if len(sys.argv) < 3:
    sys.exit("usage: demo_folder_compare.py OURS THEIRS [TEXT FILE ...]")
tensors(*sys.argv[1:3])
configs(*sys.argv[1:3])
ids(*sys.argv[1:3], sys.argv[3:])
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
