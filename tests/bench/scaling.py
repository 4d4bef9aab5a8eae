#!/usr/bin/env python3
"""Fits the constants of the step time on this machine, and holds the formula against it.

    tests/bench/scaling.py --model FOLDER [--ranks 1,2,3,4,6,8] [--rounds 3] [--batch 8] ...
    tests/bench/scaling.py --write      (anew from docs/scaling.json)

Writes docs/scaling.json, docs/scaling.svg and the tables of docs/scaling.md, each of which
stands between two comments with its name.

1. tests/bench/sum times the sum over 1 to 8 ranks, short and long; node_bandwidth and the
   latency of a message are the least squares, relative, of its best times.
2. Runs with profile: true give the operations a second of what computes, and the time of
   optimizer, state and logs.
3. Runs on 1 to 8 ranks, in turns, are put beside what `lowrank check ranks=N` forecasts with
   these constants. The rate of a rank is measured for each number up to the cores, for cores
   slow each other down; ranks beyond the cores share them.
4. The plot: efficiency over ranks for several global batches, as check forecasts it with the
   constants measured; and the rows that 80 % need.
5. The balance at 8 ranks, as check says it, of the demo's rows and of the skewed set of
   tests/cli/plan.py, over three epochs.

Four steps' worth of the demo's rows, unshuffled and trained over and over, rank 8 on every
linear module, states saved once; the first and the last step do not count. Of each of the four
the fastest of all rounds is taken, and their mean: on a machine that others use too, the rest
says more of them.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))

import harness as h  # noqa: E402
import plan  # noqa: E402

DOCS = os.path.join(ROOT, "docs")
LENGTHS = (8, 16384, 262144, 2442248)
STEPS = 4
CHUNK, WINDOW = 1 << 17, 4  # dist/sum.h
COMPUTING = ("frozen products", "head and loss", "adapter products", "attention",
             "norms, elementwise", "leaf sums", "input")
OVERHEAD = ("optimizer", "saving", "other")


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--write", action="store_true", help="the document; measure nothing")
    parser.add_argument("--dataset-dir", default=os.path.join(ROOT, "configs/demo/data"))
    parser.add_argument("--dataset", default="cluster_qa", help="one; all of its rows for the plot")
    parser.add_argument("--template", default="smollm2")
    parser.add_argument("--ranks", default="1,2,3,4,6,8")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=8, help="global batch of the runs")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if not args.model and not args.write:
        parser.error("--model or --write")
    return args


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


def curves(yaml, constants):
    """(link, rows of a step) -> [[ranks, efficiency %], ...]"""
    return [[link, batch, [[n, row[1]] for n, row in sorted(forecast(
        yaml, ["ranks=1024", f"global_batch_size={batch}", "max_samples=null",
               f"link_bandwidth={bandwidth}", *constants]).items())]]
            for link, bandwidth, _ in LINKS for batch in BATCHES]


def enough_rows(yaml, constants):
    """link -> [[ranks, rows of a step for 80 %], ...]"""
    return {link: [[n, row[2]] for n, row in sorted(forecast(
        yaml, ["ranks=1024", "max_samples=null", f"link_bandwidth={bandwidth}", *constants]).items())
        if n >= 8] for link, bandwidth, _ in LINKS}


def draw(found):
    out = axes("Efficiency forecast, by rows of a step and link (not measured)")
    y = TOP + HEIGHT + 58
    lines = {(link, batch): points for link, batch, points in found["curves"]}
    for (link, _, dash), x in zip(LINKS, (LEFT, LEFT + 330)):
        for batch, colour in zip(BATCHES, COLOURS):
            line = " ".join("%.1f,%.1f" % place(n, percent) for n, percent in lines[link, batch])
            out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" '
                       f'stroke-dasharray="{dash}"/>')
            at = x + BATCHES.index(batch) * 105
            out.append(f'<path d="M{at} {y}h20" stroke="{colour}" stroke-width="2" '
                       f'stroke-dasharray="{dash}"/><text x="{at + 25}" y="{y + 4}">{batch} rows</text>')
        out.append(f'<text x="{x}" y="{y + 22}">{link}</text>')
    with open(os.path.join(DOCS, "scaling.svg"), "w", encoding="utf-8") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{y + 36}" '
                'font-family="sans-serif" font-size="12">\n'
                '<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(out) + "\n</svg>\n")


# --- 5. the balance --------------------------------------------------------------

STEP_ROWS = (16, 32, 64, 128, 512)


def balance(yaml, data):
    """[[rows of a step, slowest %, single rows %, the same of the skewed set], ...]"""
    plan.skewed_data(data, 2048, 40)
    found = []
    for rows in STEP_ROWS:
        line = [rows]
        for pairs in ([], [f"dataset_dir={data}", "dataset=skewed", "cutoff_len=2048"]):
            done = h.run(0, ["check", yaml, "ranks=8", "max_samples=null", "max_steps=-1", "num_train_epochs=3",
                             "disable_shuffling=false", f"global_batch_size={rows}", *pairs], timeout=600)
            mean, _, single, _ = plan.percents(re.search(r"^imbalance.*", done.out, re.MULTILINE).group(0))
            line += [mean, single]
        found.append(line)
    return found


# --- the document ----------------------------------------------------------------

def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---:|" * len(head)]
                     + ["| " + " | ".join(row) + " |" for row in rows])


def constants_table(found):
    rate = found["rank_gflops"]
    return table(("constant", "fitted"), (
        (f"`rank_gflops` on {' and on '.join(rate)} ranks", ", ".join(f"{r:.1f}" for r in rate.values())),
        ("its share of the matrix rate (1 rank)", f"{found['share_of_matrix_rate']:.2f}"),
        ("`step_overhead_ms`, the state not saved", f"{found['step_overhead_ms']:.1f}"),
        ("`node_bandwidth`", f"{found['node_bandwidth'] / 1e9:.1f} GB"),
        ("`link_latency_us`, shared memory", f"{found['link_latency_us']:.2f}")))


def sums_table(found):
    def row(ranks, numbers, ours, theirs):
        model = (16 * numbers * (ranks - 1) / found["node_bandwidth"]
                 + messages(ranks, numbers) * found["link_latency_us"] * 1e-6)
        return str(ranks), f"{numbers:,}", *(f"{s * 1e3:.3f}" for s in (ours, theirs, model))
    return table(("ranks", "numbers", "dist/sum, ms", "MPI_Allreduce, ms", "formula, ms"),
                 [row(*r) for r in found["sums"]])


def steps_table(found):
    return table(("ranks", "measured, s a step", "formula, s", "off"),
                 [(str(s["ranks"]), f"{s['measured']:.3f}", f"{s['model']:.3f}",
                   f"{100 * (s['model'] / s['measured'] - 1):+.0f} %") for s in found["steps"]])


def rows_table(found):
    return table(("ranks", *found["rows"]),
                 [(f"{columns[0][0]:,}", *(f"{rows:,}" if rows else "more" for _, rows in columns))
                  for columns in zip(*found["rows"].values())])


def balance_table(found):
    return table(("rows a step", "demo data: slowest rank", "single rows",
                  "skewed data: slowest rank", "single rows"),
                 [(str(row[0]), *(f"{x:.1f} %" for x in row[1:])) for row in found["balance"]])


def measured_line(found):
    return (f"Measured on {found['date']} on {found['cores']} cores, {found['cpu']}, with {found['backend']}; "
            f"{found['mpi']}\nover shared memory; SmolLM2-135M or the model given, rank 8 on every linear module, "
            f"steps of {found['batch']} rows,\none thread a rank. These are figures of that machine, not defaults "
            "for another.")


def used_line(found):
    rate = list(found["rank_gflops"].values())[-1]
    return (f"From the constants above ({rate:.1f} GFLOP/s a rank, {found['step_overhead_ms']:.1f} ms), "
            "one rank a node, 50 us a message, the demo's rows; none of it\nmeasured.")


def write(found):
    path = os.path.join(DOCS, "scaling.md")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for name, content in (("balance", balance_table(found)), ("measured", measured_line(found)),
                          ("constants", constants_table(found)), ("sums", sums_table(found)),
                          ("steps", steps_table(found)), ("used", used_line(found)),
                          ("rows", rows_table(found))):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found_end:
            sys.exit(f"docs/scaling.md has no '{begin.strip()}' and '{end}'")
        text = before + begin + content + "\n" + end + after
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    draw(found)
    print("written: docs/scaling.md and docs/scaling.svg")


def machine(yaml):
    info = h.run(0, ["info"]).text
    backend = re.search(r"matrix backend (.*)", h.run(0, ["check", yaml]).text).group(1)
    mpi = subprocess.run(["mpirun", "--version"], stdout=subprocess.PIPE, check=True).stdout.decode()
    return {"date": datetime.date.today().isoformat(), "cpu": re.search(r"cpu +(.*)", info).group(1),
            "backend": backend, "mpi": mpi.splitlines()[0].replace("mpirun (", "").replace(")", "")}


def main():
    args = parse()
    path = os.path.join(DOCS, "scaling.json")
    if not args.write:
        h.require_program()
        checks = h.Checks("scaling")
        yaml = os.path.join(checks.work, "run.yaml")
        with open(yaml, "w", encoding="utf-8") as f:
            f.write(h.yaml_text(settings(args, checks.work)))
        found = {**machine(yaml), "cores": args.cores, "batch": args.batch, **measure(args, yaml, checks.work)}
        constants = [f"rank_gflops={list(found['rank_gflops'].values())[-1]:.1f}",
                     f"step_overhead_ms={found['step_overhead_ms']:.1f}"]
        found.update(curves=curves(yaml, constants), rows=enough_rows(yaml, constants),
                     balance=balance(yaml, checks.path("data")))
        with open(path, "w", encoding="utf-8") as f:
            json.dump(found, f, indent=1)
        shutil.rmtree(checks.work, ignore_errors=True)
    write(h.read_json(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
