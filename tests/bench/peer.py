#!/usr/bin/env python3
"""Tokens a second of lowrank against LLaMA-Factory on the same cores, alternating.

    $ORACLE_PYTHON tests/bench/peer.py --model FOLDER [--rounds 3] [--steps 8] [--json OUT] ...

All train the same rows in the same order from a new adapter (r 8, every
linear), global batch 8, dropout 0. LLaMA-Factory at its best in float32: the
float32 folder, gradient checkpointing off; --lf-batch lists rows per
micro-batch to try, the fastest counts. Where --model is a bfloat16 folder, as
models are published, that float32 folder is a copy of it, widened, so the weights
are the same numbers for all; and LLaMA-Factory runs as its own examples are, too,
on the bfloat16 folder with gradient checkpointing on, without and with bf16: true,
of which the faster counts, and with bf16: true, checkpointing off. --lowrank lists ranks x threads, with :bf16 for bf16: true,
with :native for gemm_backend: native. Tokens are real ones, without padding, of the steps after the first
(which pays for warming up on all sides); a rate is those tokens over the
seconds from the end of step 1 to the end of the last step, as the logs show
them while they are written. Ratios are taken within a round, against
LLaMA-Factory's fastest float32 setting and its examples' setting there: machines
change their pace. The first loss must be the same, so that the same work was
timed. Peak memory is the resident set of a process; of several ranks it is not
given. OPENBLAS_* are unset for all. --onednn-isa holds oneDNN, with which torch
multiplies bfloat16, to what another CPU has: with :native, AVX512_CORE_BF16 is what
one without AMX does, AVX512_CORE one without instructions for bfloat16.

torch multiplies float32 with MKL, which takes its fast kernels on Intel's CPUs alone. On another LLaMA-Factory
gets them all the same, by a preloaded function that says yes where MKL asks; --mkl-as-is leaves it as users have it.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))

import harness as h  # noqa: E402


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="bfloat16 or float32 folder")
    parser.add_argument("--dataset-dir", default=os.path.join(ROOT, "configs/demo/data"))
    parser.add_argument("--dataset", default="cluster_qa,cluster_chat")
    parser.add_argument("--template", default="smollm2")
    parser.add_argument("--cutoff-len", type=int, default=512)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lowrank", default="2x1", help="a list as 2x1,1x2,2x1:bf16,2x1:native")
    parser.add_argument("--threads", type=int, default=2, help="LLaMA-Factory's")
    parser.add_argument("--json", metavar="OUT", help="write every figure")
    parser.add_argument("--lf-batch", default="1,8", help="rows per micro-batch to try")
    parser.add_argument("--onednn-isa", metavar="ISA", help="as ONEDNN_MAX_CPU_ISA spells it")
    parser.add_argument("--mkl-as-is", action="store_true", help="no kernels of MKL's that are Intel's alone")
    parser.add_argument("--pairs", nargs="*", default=[], help="key=value for lowrank")
    return parser.parse_args()


def common(args, model):
    return {
        "model_name_or_path": os.path.abspath(model), "stage": "sft", "do_train": True,
        "finetuning_type": "lora", "lora_rank": 8, "lora_target": "all", "lora_dropout": 0.0,
        "template": args.template, "dataset_dir": os.path.abspath(args.dataset_dir),
        "dataset": args.dataset, "cutoff_len": args.cutoff_len, "overwrite_cache": True,
        "max_steps": args.steps, "learning_rate": 2e-4, "lr_scheduler_type": "cosine",
        "warmup_steps": 2, "logging_steps": 1, "save_strategy": "no", "bf16": False,
        "report_to": "none", "overwrite_output_dir": True,
    }


def launch(command, log, env):
    """Runs it; its peak resident set in bytes."""
    with open(log, "wb") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        with open(log, encoding="utf-8", errors="replace") as f:
            sys.exit(f.read()[-4000:])
    return usage.ru_maxrss * 1024


def mkl_withholds():
    """The CPU is one on which MKL does not take its fast kernels by itself."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return "AuthenticAMD" in f.read()


def with_fast_mkl(env, work):
    """The environment in which MKL takes its fast kernels on any CPU."""
    library = os.path.join(work, "mkl.so")
    if not os.path.exists(library):
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-o", library, "-"], check=True,
                       input=b"int mkl_serv_intel_cpu_true(void) { return 1; }\n")
    return {**env, "LD_PRELOAD": library}


def is_bf16(folder):
    config = h.read_json(os.path.join(folder, "config.json"))
    return config.get("dtype", config.get("torch_dtype")) == "bfloat16"


def widened(args, work):
    """The model's folder in float32: itself, or a copy below work."""
    if not is_bf16(args.model):
        return args.model
    from safetensors.torch import load_file, save_file
    copy = os.path.join(work, "float32")
    if not os.path.exists(copy):
        shutil.copytree(args.model, copy)
        for name in os.listdir(copy):
            path = os.path.join(copy, name)
            if name.endswith(".safetensors"):
                save_file({k: v.float() for k, v in load_file(path).items()}, path, {"format": "pt"})
        config = {**h.read_json(os.path.join(copy, "config.json")), "dtype": "float32", "torch_dtype": "float32"}
        with open(os.path.join(copy, "config.json"), "w", encoding="utf-8") as f:
            json.dump(config, f)
    return copy


def run_lf(args, work, batch, folder, **changes):
    yaml, steps = os.path.join(work, "lf.yaml"), os.path.join(work, "lf.jsonl")
    settings = {**common(args, folder), "use_cpu": True, "disable_gradient_checkpointing": True,
                "per_device_train_batch_size": batch, "gradient_accumulation_steps": 8 // batch,
                "output_dir": os.path.join(work, "lf-out"), **changes}
    with open(yaml, "w", encoding="utf-8") as f:
        f.write(h.yaml_text(settings))
    env = dict(os.environ, HF_DATASETS_CACHE=os.path.join(work, "datasets"))
    if mkl_withholds() and not args.mkl_as_is:
        env = with_fast_mkl(env, work)
    memory = launch([sys.executable, os.path.join(ROOT, "tests/oracle/lf_run.py"), yaml, "--steps",
                     steps, "--threads", str(args.threads)], os.path.join(work, "lf.log"), env)
    timed = [r for r in h.read_jsonl(steps) if "loss" in r]
    tokens = timed[-1]["tokens"] - timed[0]["tokens"]
    return {"rate": tokens / (timed[-1]["seconds"] - timed[0]["seconds"]), "tokens": tokens,
            "loss": timed[0]["loss"], "memory": memory}


def log_size(out):
    """Cheap, so that looking often takes nothing from the run."""
    try:
        return os.stat(os.path.join(out, "trainer_log.jsonl")).st_size
    except OSError:
        return 0


def run_lowrank(args, work, tokens, ranks, threads, pairs):
    yaml, out = os.path.join(work, "lowrank.yaml"), os.path.join(work, "out")
    settings = {**common(args, args.model), "global_batch_size": 8, "output_dir": out,
                "per_device_train_batch_size": 1, "cache_dir": os.path.join(work, "cache"),
                "threads_per_rank": threads}
    with open(yaml, "w", encoding="utf-8") as f:
        f.write(h.yaml_text(settings))
    shutil.rmtree(out, ignore_errors=True)
    process = h.start(0 if ranks == 1 else ranks, ["train", yaml, *pairs, *args.pairs],
                      out=os.path.join(work, "lowrank.log"))
    moments, size, usage, pid = {}, 0, None, 0
    while pid == 0:
        if log_size(out) != size:
            size = log_size(out)
            moments.setdefault(h.logged_step(out), time.monotonic())
        time.sleep(0.005)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    if status != 0:
        with open(os.path.join(work, "lowrank.log"), encoding="utf-8") as f:
            sys.exit(f.read())
    timed = [r for r in h.read_steps(out) if "loss" in r]
    return {"rate": tokens / (moments[args.steps] - moments[1]), "tokens": tokens,
            "loss": timed[0]["loss"], "memory": usage.ru_maxrss * 1024 if ranks == 1 else None}


EXAMPLES = "LLaMA-Factory, as its examples"
VARIANTS = {"": (1e-5, [], ""), "bf16": (5e-2, ["bf16=true"], ", bf16: true"),
            "native": (1e-5, ["gemm_backend=native"], ", vector units alone")}


def sides(args):
    """(name, its loss must be the reference's within this, how to run it), the reference first."""
    found = []
    for batch in args.lf_batch.split(","):
        found.append((f"LLaMA-Factory, float32, micro-batch {batch}", 1e-5,
                      lambda work, tokens, b=int(batch): run_lf(args, work, b, widened(args, work))))
    if is_bf16(args.model):
        found.append((EXAMPLES, 5e-2, lambda work, tokens: run_lf(
            args, work, 1, args.model, disable_gradient_checkpointing=False)))
        found.append((f"{EXAMPLES}, bf16: true", 5e-2, lambda work, tokens: run_lf(
            args, work, 1, args.model, disable_gradient_checkpointing=False, bf16=True)))
        found.append(("LLaMA-Factory, bf16: true", 5e-2,
                      lambda work, tokens: run_lf(args, work, 1, args.model, bf16=True)))
    for entry in args.lowrank.split(","):
        size, _, variant = entry.partition(":")
        ranks, threads = (int(n) for n in size.split("x"))
        limit, pairs, words = VARIANTS[variant]
        found.append((f"lowrank, {ranks} rank{'s' if ranks > 1 else ''} x {threads}{words}", limit,
                      lambda work, tokens, r=ranks, t=threads, p=pairs:
                      run_lowrank(args, work, tokens, r, t, p)))
    return found


def spread(values, form):
    return " ".join(format(f(values), form) for f in (min, statistics.median, max))


def over(rates, best):
    return [a / b for a, b in zip(rates, best)]


def fastest(rates):
    """In each round."""
    return [max(round_) for round_ in zip(*rates)]


def main():
    args = parse()
    h.require_program()
    for name in [n for n in os.environ if n.startswith("OPENBLAS_")]:
        del os.environ[name]
    if args.onednn_isa:
        os.environ["ONEDNN_MAX_CPU_ISA"] = args.onednn_isa
    checks = h.Checks("peer")
    runs = {}
    for number in range(args.rounds):
        tokens = loss = None
        for name, limit, run in sides(args):
            result = run(checks.work, tokens)
            tokens, loss = tokens or result["tokens"], loss or result["loss"]
            runs.setdefault(name, []).append(result)
            print(f"round {number + 1}: {name}: {result['rate']:.1f} tokens/s", flush=True)
            off = abs(result["loss"] - loss) / loss
            checks.check(f"{name}: the first step's loss is the same, so the work is", off < limit,
                         f"{off:.1e} apart")
    rates = {name: [r["rate"] for r in results] for name, results in runs.items()}
    best = fastest(v for k, v in rates.items() if "float32" in k)
    examples = fastest(v for k, v in rates.items() if k.startswith(EXAMPLES))
    for name, v in rates.items():
        print(f"{name:<42} {spread(v, '7.1f')} tokens/s; {spread(over(v, best), '.2f')} of "
              "LLaMA-Factory's best in float32" +
              (f"; {spread(over(v, examples), '.2f')} of its examples" if examples else "") +
              "; min, median, max")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"rounds": args.rounds, "steps": args.steps, "tokens": tokens,
                       "best": best, "examples": examples, "runs": runs}, f, indent=1)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
