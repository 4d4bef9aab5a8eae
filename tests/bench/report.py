#!/usr/bin/env python3
"""Measures lowrank on this machine and writes docs/performance-KIND.md, with what it measured beside it.

    $ORACLE_PYTHON tests/bench/report.py --model FOLDER [--rounds 3] [--steps 8] ...
    python3 tests/bench/report.py --model FOLDER --only PART ...
    python3 tests/bench/report.py --write           (anew from docs/performance-*.json)

KIND is what multiplies matrices there by itself: amx, or the instruction set of
the native kernels (avx512_bf16, avx512, avx2, generic); docs/performance.md has the main
figures of each kind. Runs tests/bench/peer.py (its options are passed on),
profiled runs on 2 ranks and on 2 threads, scaling.py, which writes its part of
docs/scaling.md, and the other programs of tests/bench. `make bench MODEL=FOLDER`
builds all that is needed and calls this. --large takes a folder that
make_model.py wrote: one step of 2 rows of 2048 tokens, on 1 and 2 ranks. --only
measures some parts anew, by their names in docs/performance-KIND.json; with
--add-rounds those of a comparison join the rounds that are there, of
the same code on the same machine. The documents say on which machine, with which
versions and when they were made; figures of other machines differ.
"""

import argparse
import datetime
import glob
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))
sys.path.insert(0, HERE)

import chart  # noqa: E402
import harness as h  # noqa: E402
import peer  # noqa: E402

DOCS = os.path.join(ROOT, "docs")
PROFILED = 8  # steps; the first warms up, and the last has the end of the run
BACKENDS = ("auto", "native")
VECTORS = ("--lowrank", "2x1:native,1x2:native")
HELD_BACK = ("As on a CPU without {what}: lowrank on vector units in float32 (`gemm_backend: native`), torch's oneDNN\n"
             "held to the others (`ONEDNN_MAX_CPU_ISA={isa}`)")
# The comparison under other conditions: options of peer.py, what a row in the overview says, the words above its table.
OTHERWISE = {
    "without_amx": (("--onednn-isa", "AVX512_CORE_BF16", *VECTORS), "both without AMX",
                    HELD_BACK.format(what="AMX", isa="AVX512_CORE_BF16")),
    "without_bf16": (("--onednn-isa", "AVX512_CORE", *VECTORS), "both without instructions for bfloat16",
                     HELD_BACK.format(what="instructions for bfloat16", isa="AVX512_CORE")),
    "as_installed": (("--mkl-as-is",), "beside torch as it is installed",
                     "torch as it is installed: on this CPU MKL, with which it multiplies float32, does not take its fast\n"
                     "kernels, which LLaMA-Factory was given above"),
}
LENGTHS = ((16, 64), (8, 256), (2, 1024), (1, 2048))


# --- measuring --------------------------------------------------------------

def program(name):
    return os.path.join(os.path.dirname(h.PROGRAM), "tests/bench", name)


def output(command, env=None):
    print("+ " + " ".join(os.path.relpath(c) if os.path.isabs(c) else c for c in command), flush=True)
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout


def script(name, *options):
    """The tables that a script prints."""
    text = output([sys.executable, os.path.join(ROOT, "tests", name), *options])
    return re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)


def versions():
    from importlib.metadata import version
    names = ("llamafactory", "torch", "transformers", "peft", "tokenizers")
    return ", ".join(f"{name} {version(name)}" for name in names)


def machine():
    info = h.run(0, ["info"]).text
    return [line for line in info.splitlines() if re.match(r"cpu|compiler|libraries|backend.*GFLOP", line)]


def kind_of(lines):
    """The first backend that `info` names is what auto takes."""
    line = next(line for line in lines if line.startswith("backend"))
    name, isa = line.split()[1:3]
    return name.rstrip(":") if name != "native" else isa.rstrip(":") + ("_bf16" if "with bf16" in line else "")


def torch_rates(work):
    """The peer's own matrix rates, as it is installed and with MKL's fast kernels where it withholds them."""
    command = [sys.executable, os.path.join(HERE, "torch_rate.py")]
    rates = {"as installed": output(command).strip()}
    if peer.mkl_withholds():
        rates["with MKL's kernels for Intel"] = output(command, peer.with_fast_mkl(os.environ, work)).strip()
    return rates


def profile(args, work, ranks, *pairs):
    """The fastest of three profiled runs on two cores, and what share of the matrix rate each step of all reached."""
    out, yaml = os.path.join(work, "profile"), os.path.join(work, "profile.yaml")
    with open(yaml, "w", encoding="utf-8") as f:
        f.write(h.yaml_text({**peer.common(args, args.model), "global_batch_size": 8, "max_steps": PROFILED,
                             "profile": True, "per_device_train_batch_size": 1, "output_dir": out,
                             "threads_per_rank": 2 // ranks, "overwrite_output_dir": True}))
    runs = []
    for n in range(3):
        print(f"+ a profiled run, {ranks} ranks {' '.join(pairs)}, {n + 1} of 3", flush=True)
        done = h.run(ranks, ["train", yaml, *pairs], timeout=3600)
        if done.code != 0:
            sys.exit(done.tail())
        runs.append(h.read_json(os.path.join(out, "profile.json")))
    shares = [flops(s) / s["seconds"] / s["gemm_rate"] for run in runs for s in run["steps"][1:-1]]
    return {**max(runs, key=whole_rate), "shares": shares}


def passes(args, backend):
    rows = []
    for leaves, tokens in LENGTHS:
        text = output([program("pass"), args.model, str(leaves), str(tokens), "1", backend])
        rows.append([leaves, tokens, *map(float, re.search(r"([\d.]+) tokens/s.*?([\d.]+) %", text).groups())])
    return rows


def attention(*options):
    return re.findall(r"(\d+) tokens, width (\d+): ([\d.]+) GFLOP/s of ([\d.]+)",
                      output([program("attention"), *options]))


def compare(work, passed, *more):
    out = os.path.join(work, "peer.json")
    subprocess.run([sys.executable, os.path.join(HERE, "peer.py"), *passed, *more, "--json", out], check=True)
    return h.read_json(out)


def git(*words):
    return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()


def now():
    """When, and the commit that is measured where git can tell; what this writes into docs is no change."""
    changed = git("status", "--porcelain", "--", "Makefile", "src", "include", "tests/bench")
    return [datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
            (git("describe", "--always") or "unknown") + ("-dirty" if changed else "")]


def about(args):
    return {"cores": len(os.sched_getaffinity(0)),
            "version": h.run(0, ["--version"]).text.strip().removeprefix("lowrank "),
            "peers": versions(), "machine": machine(), "threads": args.threads}


def rates(name, *options):
    """name: GB/s of memory's."""
    return re.findall(r"(.+), (\d) arrays: ([\d.]+) GB/s of ([\d.]+)", output([program(name), *options]))


def joined(backends):
    return {b: re.findall(r"(.+): ([\d.]+)", output([program("joined"), b])) for b in backends}


def scaling(args):
    output([sys.executable, os.path.join(HERE, "scaling.py"), "--model", args.model])


def parts(args, passed, work, kind):
    """What there is to measure, in this order; each part says how. What vector units do alone matters beside AMX."""
    watched = os.path.join(work, "profile", "profile.json")
    data = ["--dataset-dir", os.path.abspath(args.dataset_dir)]
    backends = BACKENDS if kind == "amx" else BACKENDS[:1]
    otherwise = {name: lambda options=options: compare(work, passed, *options)
                 for name, (options, _, _) in OTHERWISE.items()}
    alone = {
        "without_amx": otherwise["without_amx"],
        "native_threads": lambda: profile(args, work, 1, "gemm_backend=native"),
        "native": lambda: profile(args, work, 2, "gemm_backend=native"),
    }
    return {
        "torch": lambda: torch_rates(work),
        "peer": lambda: compare(work, passed),
        **(alone if kind == "amx" else {}),
        "without_bf16": otherwise["without_bf16"],
        **({"as_installed": otherwise["as_installed"]} if peer.mkl_withholds() else {}),
        "bf16_threads": lambda: profile(args, work, 1, "bf16=true"),
        "bf16": lambda: profile(args, work, 2, "bf16=true"),
        "profile_threads": lambda: profile(args, work, 1),
        "profile": lambda: profile(args, work, 2),
        "saving": lambda: script("bench/saving.py", "--profile", watched, "--folder", work),
        "start": lambda: script("bench/start.py", "--model", args.model),
        "preprocess": lambda: script("bench/preprocess.py", "--model", args.model, "--dataset", args.dataset, *data),
        "tokenizer": lambda: output([sys.executable, os.path.join(ROOT, "tests/oracle/tokenizer_compare.py"),
                                     "--program", program("tokenizer_encode"), "--speed"]),
        "attention": lambda: {name: attention(*options) for name, options in
                              (("auto", []), ("bf16", ["auto", "bf16"]), *((b, [b]) for b in backends[1:]))},
        "passes": lambda: {b: passes(args, b) for b in backends},
        "elementwise": lambda: rates("elementwise"),
        "joined": lambda: joined(backends),
        "scaling": lambda: scaling(args),
    }


def large(folder, work):
    yaml = os.path.join(work, "large.yaml")
    with open(yaml, "w", encoding="utf-8") as f:
        f.write(h.yaml_text({
            "model_name_or_path": folder, "stage": "sft", "do_train": True, "finetuning_type": "lora",
            "lora_rank": 8, "lora_target": "all", "template": "qwen", "dataset": "long",
            "dataset_dir": os.path.join(folder, "data"), "cutoff_len": 2048, "max_steps": 1,
            "per_device_train_batch_size": 1, "global_batch_size": 2, "save_strategy": "no",
            "report_to": "none", "output_dir": os.path.join(work, "large")}))
    text = output([sys.executable, os.path.join(ROOT, "tests/cli/memory.py"), yaml])
    return re.findall(r"(\d+) ranks: per (rank|node) (\d+) MiB forecast, (\d+) MiB measured, ([+-][\d.]+)%", text)


# --- writing ----------------------------------------------------------------

def numbers(text):
    return [float(n) for n in text.split()]


def peer_rows(result):
    for name, runs in result["runs"].items():
        rates = [r["rate"] for r in runs]
        memory = [r["memory"] for r in runs if r["memory"]]
        yield name, rates, max(memory) / 2**20 if memory else None


def peer_table(result):
    lines = ["| program | tokens/s: min | median | max | of its best in float32: min | median | max "
             "| of its examples: min | median | max | peak memory |", "|---|" + "---:|" * 10]
    for name, rates, memory in peer_rows(result):
        cells = peer.spread(rates, ".1f").split() + peer.spread(peer.over(rates, result["best"]), ".2f").split()
        cells += peer.spread(peer.over(rates, result["examples"]), ".2f").split() \
            if result["examples"] else [""] * 3
        lines.append(f"| {name} | {' | '.join(cells)} | {f'{memory:.0f} MiB' if memory else ''} |")
    return "\n".join(lines)


def profile_table(data):
    steps = data["steps"][1:-1]
    total = sum(s["seconds"] for s in steps)
    lines = ["| work | s a step | share | GFLOP/s | of the matrix rate |", "|---|---:|---:|---:|---:|"]
    names = []
    for step in steps:
        names += [k for k, v in step.items() if isinstance(v, list) and k not in names]
    for name in names + ["all"]:
        parts = [step.get(name, [0, 0]) for step in steps] if name != "all" else \
            [[s["seconds"], flops(s)] for s in steps]
        seconds, operations = sum(p[0] for p in parts), sum(p[1] for p in parts)
        rate = f"{operations / seconds * 1e-9:.1f} | {100 * operations / seconds / matrix_rate(data):.0f} %" \
            if operations else " | "
        lines.append(f"| {name} | {seconds / len(steps):.4f} | {100 * seconds / total:.1f} % | {rate} |")
    return "\n".join(lines)


PROFILES = ("profile", "profile_threads", "native", "native_threads", "bf16", "bf16_threads")


def whole_table(found):
    library = 2e9 * blas_rate(found["machine"])
    lines = ["| ranks x threads | backend | whole step, GFLOP/s | matrix rate | of it | of a library's rate "
             "| each step of three runs, of its matrix rate: min | median | max |", "|---|---|---:|---:|---:|---:|---:|---:|---:|"]
    for name in PROFILES:
        if name not in found:
            continue
        data, rate, products = found[name], whole_rate(found[name]), matrix_rate(found[name])
        shares = peer.spread([100 * s for s in data["shares"]], ".0f").split()
        lines.append(f"| {data['ranks']} x {data['threads']} | {data['backend']} | {rate * 1e-9:.0f} "
                     f"| {products * 1e-9:.0f} | {100 * rate / products:.0f} % | {100 * rate / library:.0f} % "
                     f"| {' | '.join(s + ' %' for s in shares)} |")
    return "\n".join(lines)


def product_table(data):
    lines = ["| N | K | seconds | GFLOP/s of a rank |", "|---:|---:|---:|---:|"]
    for p in sorted(data["products"], key=lambda p: -p["seconds"]):
        lines.append(f"| {p['N']} | {p['K']} | {p['seconds']:.2f} "
                     f"| {p['flops'] / p['seconds'] * 1e-9:.1f} |")
    return "\n".join(lines)


def pass_table(found):
    lines = ["| leaves | tokens of each" + "".join(f" | {b}: tokens/s | of its matrix rate" for b in found) + " |",
             "|---:|---:|" + "---:|---:|" * len(found)]
    for rows in zip(*found.values()):
        cells = [f"{row[2]:.1f} | {row[3]:.0f} %" for row in rows]
        lines.append(f"| {rows[0][0]} | {rows[0][1]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def attention_table(found):
    lines = ["| tokens | head width" + "".join(f" | {k}: GFLOP/s | shares" for k in found) + " |",
             "|---:|---:|" + "---:|---:|" * len(found)]
    for rows in zip(*found.values()):
        shares = [100 * float(g) / float(rate) for _, _, g, rate in rows]
        cells = [f"{float(row[2]):.0f} | {share:.0f}, {7 / 6 * share:.0f} %" for row, share in zip(rows, shares)]
        lines.append(f"| {rows[0][0]} | {rows[0][1]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tokenizer_table(text):
    lines = ["| tokenizer | lowrank, MB/s | tokenizers, MB/s | times |", "|---|---:|---:|---:|"]
    for name, ours, theirs, times in re.findall(r"^(\S+) +ours ([\d.]+) MB/s, library ([\d.]+) MB/s: ([\d.]+)x",
                                                text, re.MULTILINE):
        lines.append(f"| {name} | {ours} | {theirs} | {times} |")
    return "\n".join(lines)


def elementwise_table(found):
    lines = ["| pass | arrays moved | GB/s | memory, GB/s | share |", "|---|---:|---:|---:|---:|"]
    for name, arrays, got, memory in found:
        lines.append(f"| {name} | {arrays} | {got} | {memory} | {100 * float(got) / float(memory):.0f} % |")
    return "\n".join(lines)


def joined_table(found):
    lines = [f"| products | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    for rows in zip(*found.values()):
        lines.append(f"| {rows[0][0]} | {' | '.join(row[1] for row in rows)} |")
    return "\n".join(lines)


def large_table(found):
    if not found:
        return "Not measured: `--large`."
    lines = ["| ranks | of | forecast, MiB | measured, MiB | off |", "|---:|---|---:|---:|---:|"]
    return "\n".join(lines + [f"| {r} | a {what} | {said} | {got} | {off} % |" for r, what, said, got, off in found])


def flops(step):
    return sum(v[1] for v in step.values() if isinstance(v, list))


def whole_rate(data):
    """Operations of all steps over their seconds."""
    steps = data["steps"][1:-1]
    return sum(map(flops, steps)) / sum(s["seconds"] for s in steps)


def matrix_rate(data):
    """What products alone would have done over the same seconds."""
    steps = data["steps"][1:-1]
    return sum(s["gemm_rate"] * s["seconds"] for s in steps) / sum(s["seconds"] for s in steps)


def blas_rate(machine):
    """The faster library's GFLOP/s with floats on one thread."""
    return max(float(x) for line in machine
               for x in re.findall(r"^backend +(?:openblas|onednn|cblas)[^:]*: ([\d.]+) GFLOP/s", line))


OVERVIEW = """# Performance

Tokens a second of SmolLM2-135M with LoRA rank 8 beside LLaMA-Factory's on the same two cores: in turns, ratios within a
round, min to median to max. Its fastest setting is that of all that were tried, without gradient checkpointing: in
float32, or with `bf16: true` where torch multiplies bfloat16 faster. Its examples say checkpointing, a bfloat16 folder
and `bf16: true`. On CPUs that are not Intel's it is given the fast kernels that MKL keeps for those, unless a row says
"as it is installed". lowrank computes in float32 but for `bf16: true`. How much of the machine a whole step uses is what
its mathematics needs over what products of 512 x 512 x 512 alone would have done in that time, in the fastest run.

{tables}

Written by `make bench` (`tests/bench/report.py`); a machine's own document says how, and has everything else: where
the time goes, attention, memory, start, reading, saving.
"""

CONDITIONS = """
{words}; {rounds} rounds.

{table}
"""

TEXT = """# Performance: {kind}

Written by `make bench`, which measures what stands here on the machine it runs on; do not edit. How each
figure is taken: the first lines of the files in `tests/bench`. What was measured: `docs/performance-{kind}.json`.

{cores} cores. lowrank {version}. Peer: {peers}. Measured:

{when}

{machine}

## Tokens per second against LLaMA-Factory

SmolLM2-135M or the model given, LoRA rank 8 on every linear module, global batch 8, {tokens} real tokens a
run, {rounds} rounds in which the programs take turns. LLaMA-Factory has {threads} threads; where MKL withholds its fast
kernels, it gets them (`tests/bench/peer.py`). Ratios are taken
within a round: to the fastest of its float32 settings (the folder widened to float32, gradient checkpointing off),
and to what its examples say (the bfloat16 folder, checkpointing on; the faster without or with `bf16: true`). lowrank computes in float32 but for `bf16: true`.

![tokens per second](performance-{kind}.svg)

{peer}
{otherwise}
## Where the time of a step goes

`profile: true` on two cores, the fastest of three runs of each kind; of its {profiled} steps neither the first, which
warms up, nor the last, with the end of the run. The matrix rate is that of products of 512 x 512 x 512 with weights of
the model's type, on each core at the same time, before each step, since the pace of a machine wanders; its mean over
the steps stands here. Operations are those that the mathematics needs, forward those of rows that leaves of a pass have
in common once. A library's rate is what the faster of OpenBLAS and oneDNN would do on as many cores with floats (above,
on one thread, when the bench began). The last columns are of the steps of all three runs.

{whole}

Measuring itself took {watching:.2f} % of the time. In the tables, seconds are the mean over ranks and threads. The
adapter's products ride on the frozen ones and are counted there, but for its own gradients. A thread that helps another
with its products has its time there.

{profiles}

The large products by shape, C [M,N] over K, tokens in M:

{products}

## One pass, by length

`tests/bench/pass` on one thread, half of each leaf labelled, the best of three passes.

{passes}

## Attention, by length

`tests/bench/attention` on one thread, forward and backward together. Shares are of float32 products on vector units,
measured beside each case. In the first, as in GFLOP/s, two products forward and four backward count, which are what
the mathematics needs; in the second also the scores that the backward pass makes again, which are two and five, as
papers on FlashAttention count (Dao 2023).

{attention}

## Passes over memory

`tests/bench/elementwise` on one core, arrays of 64 MiB. Bytes are those that move: of what is written where nothing
was read twice as many, since a cache reads a line before it takes a part of it. Memory's rate is that of z = x + 3 y,
counted alike. Fewer streams can be above it, and what a cache of all cores still holds.

{elementwise}

The residual sums are passes of their own, a part of "norms, elementwise" above.

## Products that have their input in common

`tests/bench/joined` on one core: the time of q, k and v, or of gate and up, one after the other, over that of one
product of them all. That is all there would be to gain if they were one matrix, and it is why they are not.

{joined}

## Start

`tests/bench/start.py`: seconds from the program's start to its first step, with the sample store there.

{start}

## Reading data

`tests/bench/preprocess.py`: data files to tokens, 2 processes each.

{preprocess}

The tokenizer on one thread, `tests/oracle/tokenizer_compare.py --speed`, ids equal:

{tokenizer}

## Saving after every step

`tests/bench/saving.py`: a rolling state, adapter and optimizer, written whole and hashed; the step is the one of
the first profile above. 20 M parameters are those of a 7B model, whose steps take many times as long.

{saving}

## Memory of a large model

One step of 2 rows of 2048 tokens of the shape of Qwen2.5-7B in bfloat16, random weights
(`tests/bench/make_model.py`), on one node; what `lowrank check` foresees and the peak, by `tests/cli/memory.py`.

{large}
"""


def when_list(found):
    """Each commit with the parts measured at it and when the last of them was, the latest first."""
    parts, last = {}, {}
    for part, (moment, commit) in found["when"].items():
        parts.setdefault(commit, []).append(part)
        last[commit] = max(last.get(commit, ""), moment)
    return "\n".join(f"- until {last[commit]} at commit {commit}: {', '.join(parts[commit])}"
                     for commit in sorted(parts, key=last.get, reverse=True))


def torch_line(found):
    return [f"torch     {rates}, on 1 thread, {how}" for how, rates in found.get("torch", {}).items()]


def profile_tables(found):
    return "\n\n".join(f"{d['ranks']} rank{'s' if d['ranks'] > 1 else ''} x {d['threads']}, {d['backend']}:\n\n"
                       + profile_table(d) for d in (found[name] for name in PROFILES if name in found))


def write(found, kind):
    peers, data = found["peer"], found["profile"]
    rows = [(name, numbers(peer.spread(rates, ".1f"))) for name, rates, _ in peer_rows(peers)]
    text = TEXT.format(
        **{k: found[k] for k in ("cores", "version", "peers", "threads")}, kind=kind, when=when_list(found),
        machine="\n".join("    " + line for line in found["machine"] + torch_line(found)), tokens=peers["tokens"],
        rounds=peers["rounds"], peer=peer_table(peers), profiled=PROFILED,
        otherwise="".join(CONDITIONS.format(words=words, rounds=found[name]["rounds"], table=peer_table(found[name]))
                          for name, (_, _, words) in OTHERWISE.items() if name in found),
        watching=100 * data["watching"], whole=whole_table(found), profiles=profile_tables(found),
        products=product_table(data),
        passes=pass_table(found["passes"]), elementwise=elementwise_table(found["elementwise"]),
        joined=joined_table(found["joined"]), attention=attention_table(found["attention"]),
        start="\n".join(found["start"]), preprocess="\n".join(found["preprocess"]),
        tokenizer=tokenizer_table(found["tokenizer"]), saving="\n".join(found["saving"]), large=large_table(found.get("large")))
    written(f"performance-{kind}.md", text)
    written(f"performance-{kind}.svg", chart.bars(
        "SmolLM2-135M, LoRA rank 8: tokens a second", "tokens/s", rows, "lowrank"))


def written(name, content):
    with open(os.path.join(DOCS, name), "w", encoding="utf-8") as f:
        f.write(content)
    print(f"written: docs/{name}")


def overview(found, kind):
    """The main figures of one kind."""
    cpu = next(line.split(None, 1)[1] for line in found["machine"] if line.startswith("cpu"))
    rates = [line for line in found["machine"] if re.match("backend .*on 1 thread .auto", line)] + torch_line(found)
    lines = [f"## [{kind}](performance-{kind}.md)", "", f"{cpu}, {max(when for when, _ in found['when'].values())[:10]}. Matrix products alone:", "",
             *("    " + line for line in rates), "",
             "| lowrank | of its fastest | of its best in float32 | of its examples |", "|---|---:|---:|---:|"]
    for part in (name for name in ("peer", *OTHERWISE) if name in found):
        rows = list(peer_rows(found[part]))
        against = (peer.fastest(rates for name, rates, _ in rows if not name.startswith("lowrank")),
                   found[part]["best"], found[part]["examples"])
        for name, rates, _ in rows:
            if name.startswith("lowrank"):
                name = f"{name.split(', vector')[0]}, {OTHERWISE[part][1]}" if part in OTHERWISE else name
                cells = [" to ".join(peer.spread(peer.over(rates, those), ".2f").split()) for those in against]
                lines.append(f"| {name.removeprefix('lowrank, ')} | {' | '.join(cells)} |")
    lines += ["", "| ranks x threads | backend | whole step, of the matrix rate |", "|---|---|---:|"]
    for data in (found[name] for name in PROFILES if name in found):
        lines.append(f"| {data['ranks']} x {data['threads']} | {data['backend']} "
                     f"| {100 * whole_rate(data) / matrix_rate(data):.0f} % |")
    return "\n".join(lines)


def write_all():
    tables = []
    for path in sorted(glob.glob(os.path.join(DOCS, "performance-*.json"))):
        kind, found = re.search(r"performance-(.*)\.json$", path).group(1), h.read_json(path)
        write(found, kind)
        tables.append(overview(found, kind))
    written("performance.md", OVERVIEW.format(tables="\n\n".join(tables)))


def kept(found, measured):
    """Writes what was measured; what it lacks stays as it was."""
    before = h.read_json(measured) if os.path.exists(measured) else {}
    with open(measured, "w", encoding="utf-8") as f:
        json.dump({**before, **found}, f, indent=1)


def keep_part(name, part, measured):
    when = h.read_json(measured).get("when", {})
    kept({name: part, "when": {**when, name: now()}}, measured)


def more_rounds(before, found):
    """The rounds of two comparisons of the same programs."""
    return {**found, "rounds": before["rounds"] + found["rounds"], "best": before["best"] + found["best"],
            "examples": before["examples"] + found["examples"],
            "runs": {name: before["runs"][name] + runs for name, runs in found["runs"].items()}}


def measure(mine, passed):
    h.require_program()
    for name in [n for n in os.environ if n.startswith("OPENBLAS_")]:
        del os.environ[name]
    sys.argv[1:] = passed
    args, work = peer.parse(), h.Checks("report").work
    kind = kind_of(machine())
    measured = os.path.join(DOCS, f"performance-{kind}.json")
    todo = parts(args, passed, work, kind)
    if mine.large:
        todo["large"] = lambda: large(os.path.abspath(mine.large), work)
    if mine.only:
        wanted = {*mine.only, *(["profile"] if "saving" in mine.only else [])}  # whose step saving is compared with
        if wanted - todo.keys():
            sys.exit(f"error: no part {', '.join(wanted - todo.keys())}; there are {', '.join(todo)}")
        todo = {name: how for name, how in todo.items() if name in wanted}
    else:
        kept(about(args), measured)
    for name, how in todo.items():
        found = how()
        if mine.add_rounds:
            found = more_rounds(h.read_json(measured)[name], found)
        if found is not None:
            keep_part(name, found, measured)


def main():
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--write", action="store_true")
    own.add_argument("--large", metavar="FOLDER")
    own.add_argument("--only", nargs="+", metavar="PART")
    own.add_argument("--add-rounds", action="store_true")
    mine, passed = own.parse_known_args()
    if not mine.write:
        measure(mine, passed)
    write_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
