#!/usr/bin/env python3
"""Hold 'lowrank check' against the memory that training takes.

    tests/cli/memory.py [FILE.yaml [key=value ...]]     RANKS=1,2 LIMIT=0.10

The forecast per node (all ranks here) against the peak of the ranks' summed
proportional set size (a page shared by k processes counts 1/k, so mapped
weights count once), the forecast per rank against the largest rank's resident
set. Libraries are shared with other programs that use MPI, so run nothing
else of that kind; how much of them is resident depends on the page cache,
too. Without a file: six layers as wide as SmolLM2-135M's, all weights zero,
so that activations outweigh libraries.
"""

import json
import math
import os
import re
import shutil
import sys
import time

import harness as h

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 1e3, "MB": 1e6, "GB": 1e9}

SHAPE = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 6,
         "max_position_embeddings": 2048}
SOURCE = f"{h.MODELS}/smollm2"


def wide_model(folder):
    """The folder: SOURCE in another shape, its weights a hole in a file."""
    os.makedirs(folder)
    config = {**h.read_json(f"{SOURCE}/config.json"), **SHAPE}
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(f"{SOURCE}/{name}", folder)
    with open(f"{folder}/config.json", "w", encoding="utf-8") as f:
        json.dump(config, f)
    wide, inner = config["hidden_size"], config["intermediate_size"]
    keys = wide // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {"model.embed_tokens": (config["vocab_size"], wide), "model.norm": (wide,)}
    for i in range(config["num_hidden_layers"]):
        for name, shape in (("input_layernorm", (wide,)), ("post_attention_layernorm", (wide,)),
                            ("self_attn.q_proj", (wide, wide)), ("self_attn.k_proj", (keys, wide)),
                            ("self_attn.v_proj", (keys, wide)), ("self_attn.o_proj", (wide, wide)),
                            ("mlp.gate_proj", (inner, wide)), ("mlp.up_proj", (inner, wide)),
                            ("mlp.down_proj", (wide, inner))):
            shapes[f"model.layers.{i}.{name}"] = shape
    header, at = {}, 0
    for name, shape in shapes.items():
        end = at + 2 * math.prod(shape)
        header[f"{name}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    with open(f"{folder}/model.safetensors", "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        f.truncate(8 + len(text) + at)
    return folder


def forecast(text):
    """{"rank": bytes, "node": bytes} from the lines of the plan that speak of memory."""
    found = {}
    for line in text.splitlines():
        if "memory" not in line.lower() and "per " not in line.lower():
            continue
        for number, unit, what in re.findall(
                r"([\d.,]+) ?(GiB|MiB|KiB|GB|MB|kB|B)\b[^,;\n]*?\b(?:per|a|each) (rank|node)", line):
            found.setdefault(what, float(number.replace(",", "")) * UNITS[unit])
        for what, number, unit in re.findall(
                r"(?:per|a) (rank|node)\D{1,20}?([\d.,]+) ?(GiB|MiB|KiB|GB|MB|kB|B)\b", line):
            found.setdefault(what, float(number.replace(",", "")) * UNITS[unit])
    return found


def rollup(pid):
    """(Rss, Pss) of a process now, bytes."""
    values = {"Rss": 0, "Pss": 0}
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        for line in f:
            key = line.split(":")[0]
            if key in values:
                values[key] = int(line.split()[1]) * 1024
    return values["Rss"], values["Pss"]


def measure(ranks, args):
    """Runs; (result, peak of one rank's Rss, peak of the ranks' summed Pss)."""
    process = h.start(ranks, args, out=os.devnull)
    peak_rank, peak_node = 0, 0
    pids = h.wait_for_ranks(process, ranks)
    while process.poll() is None:
        began = time.monotonic()
        try:
            values = [rollup(pid) for pid in pids]
        except OSError:
            values = []
        if values:
            peak_rank = max(peak_rank, max(v[0] for v in values))
            peak_node = max(peak_node, sum(v[1] for v in values))
        # The kernel walks every page for it: seldom where that takes long, but a short run must be seen, too.
        time.sleep(min(max(0.01, 20 * (time.monotonic() - began)), 3.0))
    return process.returncode, peak_rank, peak_node


def main():
    h.require_program()
    checks = h.Checks("memory")
    pairs = sys.argv[2:]
    limit = float(os.environ.get("LIMIT", "0.10"))
    yaml = sys.argv[1] if len(sys.argv) > 1 else h.write_yaml(
        checks.path("run.yaml"), model_name_or_path=wide_model(checks.path("wide")),
        packing=True, cutoff_len=1024, global_batch_size=4, max_steps=2)
    yaml = os.path.abspath(yaml)
    for ranks in (int(r) for r in os.environ.get("RANKS", "1,2").split(",")):
        args = [yaml, *pairs, f"output_dir={checks.path(f'out-{ranks}')}",  # a run that is done would not go on
                f"cache_dir={checks.path('cache')}"]
        plan = h.run(ranks, ["check", *args])
        said = forecast(plan.out)
        if not checks.check(f"{ranks} ranks: check says memory per rank and per node",
                            plan.code == 0 and {"rank", "node"} <= said.keys(), plan.out[-600:]):
            continue
        code, rank, node = measure(ranks, ["train", *args])
        checks.check(f"{ranks} ranks: trains", code == 0)
        for what, got in (("rank", rank), ("node", node)):
            off = said[what] / got - 1 if got else float("inf")
            text = (f"{ranks} ranks: per {what} {said[what] / 2**20:.0f} MiB forecast, "
                    f"{got / 2**20:.0f} MiB measured, {off:+.1%}")
            checks.check(text, abs(off) <= limit)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
