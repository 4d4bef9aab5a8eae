#!/usr/bin/env python3
"""What a state after every step costs, in seconds and as a share of a step.

    tests/bench/saving.py [--profile PROFILE.json] [--json OUT] ...

Runs build/tests/bench/saving at 2.44 M adapter parameters (SmolLM2-135M, rank
8, every linear module) and at 20 M (a 7B model of Qwen2.5's shape), on 1 and 2
ranks; the first lines of saving.c say what is timed. --profile is the
profile.json of a run with `profile: true`: a step's seconds are the median of
its steps after the first, without their saving. --step gives seconds by hand.
Then each line also says after how many steps a state costs less than 1 % of
the run. Files go to a folder of --folder, which should lie where runs do.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
PROGRAM = os.path.join(BUILD, "tests/bench/saving")


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", default="2440000,20000000")
    parser.add_argument("--ranks", default="1,2")
    parser.add_argument("--saves", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3, help="the best round of each counts")
    parser.add_argument("--folder", default=".", help="where states are written")
    parser.add_argument("--profile", metavar="FILE", help="a run's profile.json")
    parser.add_argument("--step", type=float, help="seconds of a step")
    parser.add_argument("--json", metavar="OUT")
    return parser.parse_args()


def step_seconds(args):
    if not args.profile:
        return args.step
    with open(args.profile, encoding="utf-8") as f:
        steps = json.load(f)["steps"][1:]
    return statistics.median(s["seconds"] - s.get("saving", [0])[0] for s in steps)


def measure(folder, ranks, parameters, saves):
    command = ["mpirun", "-q", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n",
               str(ranks), PROGRAM, folder, str(parameters), str(saves)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def with_share(result, step):
    if step:
        share = result["seconds_median"] / (step + result["seconds_median"])
        result["step_seconds"], result["share"] = step, share
        result["steps_below_1_percent"] = math.ceil(99 * result["seconds_median"] / step)
    return result


def table(results):
    lines = ["| ranks | adapter parameters | MB | ms a state: min | median | max | ms of CPU, all ranks "
             "| share of a step | steps a state for 1 % |", "|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for r in results:
        share = f"{100 * r['share']:.2f} % | {r['steps_below_1_percent']}" if "share" in r else " | "
        ms = " | ".join(f"{1e3 * r[k]:.1f}" for k in
                        ("seconds_min", "seconds_median", "seconds_max", "cpu_seconds_median"))
        lines.append(f"| {r['ranks']} | {r['parameters'] * 1e-6:.2f} M | {r['bytes'] * 1e-6:.0f} "
                     f"| {ms} | {share} |")
    return "\n".join(lines)


def main():
    args = parse()
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"not built: {PROGRAM}; make {os.path.relpath(PROGRAM, ROOT)}")
    step = step_seconds(args)
    best = {}
    for _ in range(args.rounds):
        for parameters in (int(p) for p in args.parameters.split(",")):
            for ranks in (int(r) for r in args.ranks.split(",")):
                with tempfile.TemporaryDirectory(dir=args.folder, prefix="saving-") as folder:
                    result = measure(folder, ranks, parameters, args.saves)
                key = parameters, ranks
                if key not in best or result["seconds_median"] < best[key]["seconds_median"]:
                    best[key] = result
    results = [with_share(best[key], step) for key in sorted(best)]
    print(table(results))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(results, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
