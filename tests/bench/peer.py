#!/usr/bin/env python3
"""Tokens a second of lowrank on 2 ranks against LLaMA-Factory with 2 threads, alternating.

    $ORACLE_PYTHON tests/bench/peer.py --model FOLDER [--rounds 3] [--steps 8] ...

Both train the same rows in the same order from a new adapter (r 8, every
linear), global batch 8, dropout 0, on the same float32 folder (--bf16 gives
lowrank another). LLaMA-Factory at its best on CPUs: float32, gradient
checkpointing off; --lf-batch lists rows per micro-batch to try, the fastest
counts. Tokens are real ones, without padding, of the steps after the first
(which pays for warming up on both sides); a rate is those tokens over the
seconds from the end of step 1 to the end of the last step, as the logs show
them while they are written. Also printed: each
side's train_runtime, and whether the losses agree, so that the same work was
timed. OPENBLAS_* are unset for LLaMA-Factory.
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
    parser.add_argument("--model", required=True, help="float32 folder")
    parser.add_argument("--bf16", metavar="FOLDER", help="a bf16 folder of it, for lowrank")
    parser.add_argument("--dataset-dir", default=os.path.join(ROOT, "configs/demo/data"))
    parser.add_argument("--dataset", default="cluster_qa,cluster_chat")
    parser.add_argument("--template", default="smollm2")
    parser.add_argument("--cutoff-len", type=int, default=512)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="LLaMA-Factory's")
    parser.add_argument("--lf-batch", default="1,8", help="rows per micro-batch to try")
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


def run_lf(args, work, batch):
    yaml, steps = os.path.join(work, "lf.yaml"), os.path.join(work, "lf.jsonl")
    settings = {**common(args, args.model), "use_cpu": True, "disable_gradient_checkpointing": True,
                "per_device_train_batch_size": batch, "gradient_accumulation_steps": 8 // batch,
                "output_dir": os.path.join(work, "lf-out")}
    with open(yaml, "w", encoding="utf-8") as f:
        f.write(h.yaml_text(settings))
    env = dict(os.environ, HF_DATASETS_CACHE=os.path.join(work, "datasets"))
    with open(os.path.join(work, "lf.log"), "wb") as log:
        subprocess.run([sys.executable, os.path.join(ROOT, "tests/oracle/lf_run.py"), yaml, "--steps",
                        steps, "--threads", str(args.threads)], check=True, env=env, stdout=log,
                       stderr=log)
    rows = h.read_jsonl(steps)
    timed = [r for r in rows if "loss" in r]
    return {"rate": (timed[-1]["tokens"] - timed[0]["tokens"])
                    / (timed[-1]["seconds"] - timed[0]["seconds"]),
            "tokens": timed[-1]["tokens"] - timed[0]["tokens"],
            "runtime": rows[-1]["train_runtime"], "losses": [r["loss"] for r in timed]}


def run_lowrank(args, work, tokens):
    yaml, out = os.path.join(work, "lowrank.yaml"), os.path.join(work, "out")
    settings = {**common(args, args.bf16 or args.model), "global_batch_size": 8, "output_dir": out,
                "per_device_train_batch_size": 1, "cache_dir": os.path.join(work, "cache"),
                "threads_per_rank": max(1, args.threads // args.ranks)}
    with open(yaml, "w", encoding="utf-8") as f:
        f.write(h.yaml_text(settings))
    shutil.rmtree(out, ignore_errors=True)
    process = h.start(args.ranks, ["train", yaml, *args.pairs], out=os.path.join(work, "lowrank.log"))
    moments = {}
    while process.poll() is None:
        moments.setdefault(h.logged_step(out), time.monotonic())
        time.sleep(0.005)
    if process.returncode != 0:
        with open(os.path.join(work, "lowrank.log"), encoding="utf-8") as f:
            sys.exit(f.read())
    timed = [r for r in h.read_steps(out) if "loss" in r]
    return {"rate": tokens / (moments[args.steps] - moments[1]), "tokens": tokens,
            "runtime": h.read_json(os.path.join(out, "train_results.json"))["train_runtime"],
            "losses": [r["loss"] for r in timed]}


def line(name, rates):
    return (f"{name:<16} {min(rates):9.1f} {statistics.median(rates):9.1f} {max(rates):9.1f}"
            f"   tokens/s min, median, max of {len(rates)}")


def main():
    args = parse()
    h.require_program()
    checks = h.Checks("peer")
    batches = [int(b) for b in args.lf_batch.split(",")]
    rates = {"lowrank": [], **{f"LF batch {b}": [] for b in batches}}
    for number in range(args.rounds):
        for batch in batches:
            lf = run_lf(args, checks.work, batch)
            rates[f"LF batch {batch}"].append(lf["rate"])
            print(f"round {number + 1}: LLaMA-Factory, micro-batch {batch}: {lf['rate']:.1f} tokens/s, "
                  f"train_runtime {lf['runtime']:.1f} s", flush=True)
        ours = run_lowrank(args, checks.work, lf["tokens"])
        rates["lowrank"].append(ours["rate"])
        off = max(abs(a - b) / abs(a) for a, b in zip(lf["losses"][:1], ours["losses"][:1]))
        print(f"round {number + 1}: lowrank on {args.ranks} ranks: {ours['rate']:.1f} tokens/s, "
              f"train_runtime {ours['runtime']:.1f} s; first loss {off:.0e} apart", flush=True)
        checks.check("the first step's loss is the same, so the work is", off < (5e-2 if args.bf16 else 1e-5),
                     json.dumps([lf["losses"], ours["losses"]]))
    for name, values in rates.items():
        print(line(name, values))
    best = max((statistics.median(v), k) for k, v in rates.items() if k != "lowrank")
    ratio = statistics.median(rates["lowrank"]) / best[0]
    print(f"{lf['tokens']} tokens a run; ratio of medians, lowrank to {best[1]}: {ratio:.2f}")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
