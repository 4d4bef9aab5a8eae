#!/usr/bin/env python3
"""Seconds from the program's start to the beginning of its first training step.

    tests/bench/start.py --model FOLDER [--rounds 5] [--json OUT] [key=value ...]

The sample store is made by a run before; then runs on 0 ranks (the program by
itself, without mpirun), 1 and 2 are started and ended at their first step,
--rounds times in turn. Time counts from the start of the youngest rank, so
mpirun's own is left out, to each line of the log; the line "train:" is the
last one before the first step. Also the CPU seconds that the busiest rank has
used by then: on a machine that others use, less waits are in them.
"""

import argparse
import json
import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))

import harness as h  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
# A line of the log begins so -> what is done then.
PHASES = {"compute:": "MPI and matrix backend", "model:": "model and adapter",
          "samples: taken": "tokenizer, template, sample store", "train:": "plan, memory, matrix rate"}


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dataset-dir", default=os.path.join(ROOT, "configs/demo/data"))
    parser.add_argument("--dataset", default="cluster_qa,cluster_chat")
    parser.add_argument("--template", default="smollm2")
    parser.add_argument("--ranks", default="0,1,2", help="0: without mpirun")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="OUT")
    parser.add_argument("pairs", nargs="*", metavar="key=value")
    return parser.parse_intermixed_args()


def write_config(checks, args):
    path = checks.path("run.yaml")
    settings = {
        "model_name_or_path": os.path.abspath(args.model), "stage": "sft", "do_train": True,
        "finetuning_type": "lora", "lora_rank": 8, "lora_target": "all", "template": args.template,
        "dataset_dir": os.path.abspath(args.dataset_dir), "dataset": args.dataset,
        "cutoff_len": 512, "global_batch_size": 8, "max_steps": 1, "save_strategy": "no",
        "report_to": "none", "overwrite_output_dir": True, "output_dir": checks.path("out"),
        "cache_dir": checks.path("cache"), "threads_per_rank": 1}
    with open(path, "w", encoding="utf-8") as f:
        f.write(h.yaml_text(settings))
    return path


def process_times(pid):
    """(start on the boot clock, CPU seconds used)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[19]) / TICK, (int(fields[11]) + int(fields[12])) / TICK


def one_start(config, ranks, pairs):
    """{phase: seconds since the start when it was done, "cpu": ...}"""
    process, done, text = h.start(ranks, ["train", config, *pairs]), {}, []
    for raw in process.stderr:
        now, line = time.clock_gettime(time.CLOCK_BOOTTIME), raw.decode("utf-8", "replace")
        text.append(line)
        done.update({name: now for start, name in PHASES.items() if line.startswith(start)})
        if line.startswith("train:"):
            break
    else:
        sys.exit("".join(text))
    times = [process_times(pid) for pid in (h.rank_pids(process) if ranks else [process.pid])]
    h.end(process)
    process.wait()
    start = max(t[0] for t in times)
    return {**{name: done[name] - start for name in PHASES.values()}, "cpu": max(t[1] for t in times)}


def main():
    args = parse()
    h.require_program()
    checks = h.Checks("start")
    config = write_config(checks, args)
    made = h.run(0, ["train", config, *args.pairs], timeout=1200)
    if not checks.check("a run makes the sample store", made.code == 0, made.tail()):
        return checks.finish()
    found = {ranks: [] for ranks in (int(r) for r in args.ranks.split(","))}
    for _ in range(args.rounds):
        for ranks in found:
            found[ranks].append(one_start(config, ranks, args.pairs))
    last = list(PHASES.values())[-1]
    print("| ranks | s to the first step: min | median | max | CPU s of a rank | "
          + " | ".join(f"{p}, done after" for p in PHASES.values()) + " |")
    print("|---:|" + "---:|" * (4 + len(PHASES)))
    for ranks, starts in found.items():
        total = [s[last] for s in starts]
        best = min(starts, key=lambda s: s[last])
        print(f"| {ranks or '1, no mpirun'} | {min(total):.2f} | {statistics.median(total):.2f} "
              f"| {max(total):.2f} | {best['cpu']:.2f} | "
              + " | ".join(f"{best[p]:.2f}" for p in PHASES.values()) + " |")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({str(ranks): starts for ranks, starts in found.items()}, f, indent=1)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
