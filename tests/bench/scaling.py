#!/usr/bin/env python3
"""Fits the constants of the step time on this machine, and holds the formula against it.

    tests/bench/scaling.py --model FOLDER [--ranks 1,2,3,4,6,8] [--rounds 3] [--json OUT] [--svg OUT] ...
    tests/bench/scaling.py --svg OUT --model FOLDER --constants key=value ...   (draws only)

1. tests/bench/sum times the sum over 1 to 8 ranks, short and long; node_bandwidth and the
   latency of a message are the least squares, relative, of its best times.
2. Runs with profile: true give the operations a second of what computes, and the time of
   optimizer, state and logs.
3. Runs on 1 to 8 ranks, in turns, are put beside what `lowrank check ranks=N` forecasts with
   these constants. The rate of a rank is measured for each number up to the cores, for cores
   slow each other down; ranks beyond the cores share them.
4. The plot: efficiency over ranks for several global batches, as check forecasts it.

Four steps' worth of the demo's rows, unshuffled and trained over and over, rank 8 on every
linear module, states saved once; the first and the last step do not count. Of each of the four
the fastest of all rounds is taken, and their mean: on a machine that others use too, the rest
says more of them.
"""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))

import harness as h  # noqa: E402

LENGTHS = (8, 16384, 262144, 2442248)
STEPS = 4
CHUNK, WINDOW = 1 << 17, 4  # dist/sum.h
COMPUTING = ("frozen products", "head and loss", "adapter products", "attention",
             "norms, elementwise", "leaf sums", "input")
OVERHEAD = ("optimizer", "saving", "other")


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dataset-dir", default=os.path.join(ROOT, "configs/demo/data"))
    parser.add_argument("--dataset", default="cluster_qa", help="one; all of its rows for the plot")
    parser.add_argument("--template", default="smollm2")
    parser.add_argument("--ranks", default="1,2,3,4,6,8")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=16, help="global batch of the runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="OUT")
    parser.add_argument("--svg", metavar="OUT")
    parser.add_argument("--constants", nargs="*", help="draw with these keys of check; measure nothing")
    return parser.parse_args()


# --- 1. the sum ----------------------------------------------------------------


def factors(n):
    found, f = [], 2
    while n > 1:
        while n % f == 0:
            found.append(f)
            n //= f
        f += 1
    return found


def messages(ranks, numbers):
    rounds = -(-(-(-numbers // CHUNK)) // WINDOW)
    return 2 * sum(f - 1 for f in factors(ranks)) * rounds


def time_sums(ranks):
    program = os.path.join(h.BUILD, "tests/bench/sum")
    rows = []
    for n in ranks:
        command = ["mpirun", "-q", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n",
                   str(n), program, *map(str, LENGTHS)]
        out = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
        rows += [[float(x) for x in line.split()] for line in out.splitlines()]
    return [(int(r[0]), int(r[1]), r[2], r[4]) for r in rows if r[0] > 1]


def fit_sums(rows):
    """seconds = a bytes + b messages, relative errors squared: (node bytes/s, seconds a message)."""
    xx = xy = yy = x1 = y1 = 0.0
    for ranks, numbers, best, _ in rows:
        x, y = 16.0 * numbers * (ranks - 1) / best, messages(ranks, numbers) / best
        xx, xy, yy, x1, y1 = xx + x * x, xy + x * y, yy + y * y, x1 + x, y1 + y
    det = xx * yy - xy * xy
    return det / (x1 * yy - y1 * xy), (xx * y1 - xy * x1) / det


# --- 2. and 3. runs ------------------------------------------------------------


def settings(args, work):
    return {"model_name_or_path": os.path.abspath(args.model), "stage": "sft", "do_train": True,
            "finetuning_type": "lora", "lora_rank": 8, "lora_target": "all", "lora_dropout": 0.0,
            "template": args.template, "dataset_dir": os.path.abspath(args.dataset_dir),
            "dataset": args.dataset, "cutoff_len": 512, "max_steps": STEPS + 2,
            "max_samples": STEPS * args.batch, "disable_shuffling": True, "global_batch_size": args.batch, "save_strategy": "no", "state_steps": 1000000,
            "threads_per_rank": 1, "overwrite_output_dir": True, "report_to": "none",
            "output_dir": os.path.join(work, "out"), "cache_dir": os.path.join(work, "cache")}


def train(yaml, out, ranks):
    """The profile's steps after the first, and the matrix rate of a rank."""
    result = h.run(ranks, ["train", yaml, "profile=true"], timeout=1200)
    if result.code != 0:
        sys.exit(result.text)
    profile = h.read_json(os.path.join(out, "profile.json"))
    return profile["steps"][1 : 1 + STEPS], profile["gemm_rate"] / ranks


def of(step, names, what):
    return sum(step[name][what] for name in names if name in step)


def compute_rate(steps, ranks):
    """Operations a second of a rank, of all four steps."""
    return sum(of(s, step_names(s), 1) for s in steps) / sum(of(s, COMPUTING, 0) for s in steps) / ranks


def step_names(step):
    return [name for name in step if isinstance(step[name], list)]


def overhead_ms(steps):
    return 1e3 * statistics.median(of(s, OVERHEAD, 0) for s in steps)


def fastest(runs):
    """Of each step the fastest run of it."""
    return [min(steps, key=lambda step: step["seconds"]) for steps in zip(*runs)]


def forecast(yaml, pairs):
    """ranks -> (seconds, efficiency %, least batch of 80 % or None), as check prints them."""
    result = h.run(0, ["check", yaml, *pairs], timeout=600)
    if result.code != 0:
        sys.exit(result.text)
    rows = {}
    for line in result.out.partition("80 % from")[2].splitlines()[1:]:
        f = line.replace("%", "").split()
        rows[int(f[0])] = (float(f[3]), float(f[6]), None if f[7] == "more" else int(f[7]))
    return rows


def measure(args, yaml, work):
    ranks = [int(n) for n in args.ranks.split(",")]
    runs = {n: [] for n in ranks}
    sums, matrix = {}, 0.0
    for _ in range(args.rounds):
        for n, numbers, ours, theirs in time_sums(ranks):
            old = sums.get((n, numbers), (ours, theirs))
            sums[n, numbers] = min(ours, old[0]), min(theirs, old[1])
        for n in ranks:
            steps, rate = train(yaml, os.path.join(work, "out"), n)
            matrix = max(matrix, rate if n == 1 else 0.0)
            runs[n].append(steps)
            print(f"{n} ranks: {statistics.mean(s['seconds'] for s in steps):.3f} s a step", flush=True)
    sums = [(*key, *value) for key, value in sorted(sums.items())]
    node, latency_s = fit_sums(sums)
    best = {n: fastest(r) for n, r in runs.items()}
    rate = {n: compute_rate(best[n], n) for n in ranks if n <= args.cores}
    overhead = overhead_ms(best[1])
    found = {"node_bandwidth": node, "link_latency_us": 1e6 * latency_s, "step_overhead_ms": overhead,
             "rank_gflops": {n: r * 1e-9 for n, r in rate.items()},
             "share_of_matrix_rate": rate[1] / matrix, "sums": sums, "steps": []}
    for n in ranks:
        mine = rate[n] if n in rate else rate[max(rate)] * max(rate) / n
        pairs = [f"ranks={n}", f"ranks_per_node={n}", f"rank_gflops={mine * 1e-9:.4f}",
                 f"step_overhead_ms={overhead:.4f}", f"node_bandwidth={int(node)}",
                 f"link_latency_us={1e6 * latency_s:.4f}"]
        found["steps"].append({"ranks": n, "model": forecast(yaml, pairs)[n][0],
                               **{name: statistics.mean(of(s, (name,), 0) for s in best[n])
                                  for name in ("waiting", "reduction")},
                               "measured": statistics.mean(s["seconds"] for s in best[n])})
    return found


def report(found):
    print(f"node_bandwidth={found['node_bandwidth'] / 1e9:.2f}GB "
          f"link_latency_us={found['link_latency_us']:.2f} "
          f"step_overhead_ms={found['step_overhead_ms']:.2f} rank_gflops={found['rank_gflops']} "
          f"share of the matrix rate {found['share_of_matrix_rate']:.2f}")
    print("| ranks | numbers | dist/sum, ms | MPI_Allreduce, ms | formula, ms |\n|---:|---:|---:|---:|---:|")
    for ranks, numbers, ours, theirs in found["sums"]:
        model = (16 * numbers * (ranks - 1) / found["node_bandwidth"]
                 + messages(ranks, numbers) * found["link_latency_us"] * 1e-6)
        print(f"| {ranks} | {numbers} | {ours * 1e3:.3f} | {theirs * 1e3:.3f} | {model * 1e3:.3f} |")
    print("| ranks | measured, s a step | formula, s | off | waiting, s | reduction, s |\n"
          "|---:|---:|---:|---:|---:|---:|")
    for s in found["steps"]:
        print(f"| {s['ranks']} | {s['measured']:.3f} | {s['model']:.3f} | "
              f"{100 * (s['model'] / s['measured'] - 1):+.0f} % | {s['waiting']:.3f} | "
              f"{s['reduction']:.3f} |")


# --- 4. the plot ---------------------------------------------------------------

BATCHES = (64, 512, 4096)
LINKS = (("1 Gbit/s", "125MB", "6 4"), ("25 Gbit/s", "3125MB", ""))
COLOURS = ("#b3261e", "#1d6fa5", "#2e7d32")
LEFT, TOP, WIDTH, HEIGHT = 60, 40, 600, 300


def place(ranks, percent):
    x = LEFT + WIDTH * (ranks.bit_length() - 1) / 10
    return x, TOP + HEIGHT * (1 - percent / 100)


def axes(title):
    out = [f'<text x="{LEFT}" y="20" font-size="14">{title}</text>']
    for percent in (0, 20, 40, 60, 80, 100):
        x, y = place(1, percent)
        out.append(f'<path d="M{x} {y:.1f}h{WIDTH}" stroke="#ccc"/>'
                   f'<text x="{x - 8}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    for k in range(11):
        x, y = place(1 << k, 0)
        out.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{1 << k}</text>')
    out.append(f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 38}" text-anchor="middle">ranks</text>')
    return out


def draw(path, yaml, constants):
    out = axes("Efficiency forecast, by rows of a step and link (not measured)")
    y = TOP + HEIGHT + 58
    for (link, bandwidth, dash), x in zip(LINKS, (LEFT, LEFT + 330)):
        for batch, colour in zip(BATCHES, COLOURS):
            rows = forecast(yaml, ["ranks=1024", f"global_batch_size={batch}", "max_samples=null",
                                   f"link_bandwidth={bandwidth}", *constants])
            line = " ".join("%.1f,%.1f" % place(n, rows[n][1]) for n in sorted(rows))
            out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" '
                       f'stroke-dasharray="{dash}"/>')
            at = x + BATCHES.index(batch) * 105
            out.append(f'<path d="M{at} {y}h20" stroke="{colour}" stroke-width="2" '
                       f'stroke-dasharray="{dash}"/><text x="{at + 25}" y="{y + 4}">{batch} rows</text>')
        out.append(f'<text x="{x}" y="{y + 22}">{link}</text>')
    with open(path, "w", encoding="utf-8") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{y + 36}" '
                'font-family="sans-serif" font-size="12">\n'
                '<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(out) + "\n</svg>\n")


def main():
    args = parse()
    h.require_program()
    checks = h.Checks("scaling")
    yaml = os.path.join(checks.work, "run.yaml")
    with open(yaml, "w", encoding="utf-8") as f:
        f.write(h.yaml_text(settings(args, checks.work)))
    constants = args.constants
    if constants is None:
        found = measure(args, yaml, checks.work)
        found["date"] = datetime.date.today().isoformat()
        report(found)
        if args.json:
            with open(args.json, "w", encoding="utf-8") as f:
                json.dump(found, f, indent=1)
        constants = [f"rank_gflops={found['rank_gflops'][max(found['rank_gflops'])]:.1f}",
                     f"step_overhead_ms={found['step_overhead_ms']:.1f}"]
    if args.svg:
        draw(args.svg, yaml, constants)
    shutil.rmtree(checks.work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
