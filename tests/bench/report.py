#!/usr/bin/env python3
"""Measures lowrank on this machine and writes docs/performance.md.

    $ORACLE_PYTHON tests/bench/report.py --model FOLDER [--bf16 FOLDER] [--rounds 3] [--steps 8] ...

Runs tests/bench/peer.py (its options are passed on), then a profiled run on 2
ranks, then tests/bench/pass at several lengths. `make bench MODEL=FOLDER`
builds all that is needed and calls this. Every table says on which machine,
with which versions and when it was made; figures of other machines differ.
"""

import datetime
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))
sys.path.insert(0, HERE)

import harness as h  # noqa: E402
import peer  # noqa: E402

DOCUMENT = os.path.join(ROOT, "docs", "performance.md")
LENGTHS = ((16, 64), (8, 256), (2, 1024), (1, 2048))


def versions():
    from importlib.metadata import version
    names = ("llamafactory", "torch", "transformers", "peft")
    return ", ".join(f"{name} {version(name)}" for name in names)


def machine():
    info = h.run(0, ["info"]).text
    picked = [line for line in info.splitlines()
              if re.match(r"cpu|compiler|libraries|backend .*auto", line)]
    return "\n".join(f"    {line}" for line in picked)


def compare(work):
    out = os.path.join(work, "peer.json")
    subprocess.run([sys.executable, os.path.join(HERE, "peer.py"), *sys.argv[1:], "--json", out],
                   check=True)
    return h.read_json(out)


def profile(args, work):
    out, yaml = os.path.join(work, "profile"), os.path.join(work, "profile.yaml")
    with open(yaml, "w", encoding="utf-8") as f:
        f.write(h.yaml_text({**peer.common(args, args.model), "global_batch_size": 8, "profile": True,
                             "per_device_train_batch_size": 1, "output_dir": out,
                             "threads_per_rank": 1}))
    done = h.run(2, ["train", yaml], timeout=3600)
    if done.code != 0:
        sys.exit(done.tail())
    return h.read_json(os.path.join(out, "profile.json"))


def passes(args):
    program, rows = os.path.join(os.path.dirname(h.PROGRAM), "tests/bench/pass"), []
    for leaves, tokens in LENGTHS:
        text = subprocess.run([program, args.model, str(leaves), str(tokens), "1"], check=True,
                              capture_output=True, text=True).stdout
        rates = [(float(t), float(share)) for t, share in
                 re.findall(r"([\d.]+) tokens/s.*?([\d.]+) %", text)]
        rows.append((leaves, tokens, *max(rates)))
    return rows


def peer_table(result):
    lines = ["| program | tokens/s: min | median | max | of LLaMA-Factory's best: min | median | max | peak memory |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for name, runs in result["runs"].items():
        rates = [r["rate"] for r in runs]
        memory = [r["memory"] for r in runs if r["memory"]]
        peak = f"{max(memory) / 2**20:.0f} MiB" if memory else ""
        rate, ratio = peer.spread(rates, ".1f"), peer.spread(peer.over(rates, result["best"]), ".2f")
        lines.append(f"| {name} | {' | '.join((rate + ' ' + ratio).split())} | {peak} |")
    return "\n".join(lines)


def profile_table(data):
    steps = data["steps"][1:]
    total = sum(s["seconds"] for s in steps)
    lines = ["| work | s a step | share | GFLOP/s | of the matrix rate |", "|---|---:|---:|---:|---:|"]
    names = []
    for step in steps:
        names += [k for k, v in step.items() if isinstance(v, list) and k not in names]
    for name in names + ["all"]:
        parts = [step.get(name, [0, 0]) for step in steps] if name != "all" else \
            [[s["seconds"], sum(v[1] for v in s.values() if isinstance(v, list))] for s in steps]
        seconds, flops = sum(p[0] for p in parts), sum(p[1] for p in parts)
        rate = f"{flops / seconds * 1e-9:.1f} | {100 * flops / seconds / data['gemm_rate']:.0f} %" \
            if flops else " | "
        lines.append(f"| {name} | {seconds / len(steps):.4f} | {100 * seconds / total:.1f} % | {rate} |")
    return "\n".join(lines)


def product_table(data):
    lines = ["| N | K | seconds | GFLOP/s of a rank |", "|---:|---:|---:|---:|"]
    for p in sorted(data["products"], key=lambda p: -p["seconds"]):
        lines.append(f"| {p['N']} | {p['K']} | {p['seconds']:.2f} "
                     f"| {p['flops'] / p['seconds'] * 1e-9:.1f} |")
    return "\n".join(lines)


def pass_table(rows):
    lines = ["| leaves | tokens of each | tokens/s | of the matrix rate |", "|---:|---:|---:|---:|"]
    lines += [f"| {a} | {b} | {t:.1f} | {share:.0f} % |" for a, b, t, share in rows]
    return "\n".join(lines)


TEXT = """# Performance

Written by `make bench`, which measures what stands here on the machine it runs on; do not edit. How each
figure is taken: the first lines of `tests/bench/peer.py`, `pass.c` and `report.py`.

Measured on {date}, {cores} cores. lowrank {version}. Peer: {peers}.

{machine}

## Tokens per second against LLaMA-Factory

SmolLM2-135M or the model given, LoRA rank 8 on every linear module, global batch 8, {tokens} real tokens a
run, {rounds} rounds in which the programs take turns. LLaMA-Factory has {threads} threads; its best is the
fastest of its float32 settings in the same round.

{peer}

## Where the time of a step goes

`profile: true` on 2 ranks of one thread, steps after the first; seconds are the mean over the ranks, the
matrix rate is that of products of 512 x 512 x 512, measured by both ranks before the first step, {rate:.1f}
GFLOP/s together. The adapter's products ride on the frozen ones and are counted there, but for its own
gradients. "of the matrix rate" counts the operations that the mathematics needs.

{profile}

The large products by shape, C [M,N] over K, tokens in M:

{products}

## One pass, by length

`tests/bench/pass` on one thread, half of each leaf labelled, the best of three passes.

{passes}
"""


def main():
    args = peer.parse()
    h.require_program()
    for name in [n for n in os.environ if n.startswith("OPENBLAS_")]:
        del os.environ[name]
    checks = h.Checks("report")
    result, data = compare(checks.work), profile(args, checks.work)
    text = TEXT.format(date=datetime.date.today(), cores=len(os.sched_getaffinity(0)),
                       version=h.run(0, ["--version"]).text.strip().removeprefix("lowrank "),
                       peers=versions(), machine=machine(), tokens=result["tokens"],
                       rounds=result["rounds"], threads=args.threads, peer=peer_table(result),
                       rate=data["gemm_rate"] * 1e-9, profile=profile_table(data),
                       products=product_table(data), passes=pass_table(passes(args)))
    with open(DOCUMENT, "w", encoding="utf-8") as f:
        f.write(text)
    print(f"written: {DOCUMENT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
