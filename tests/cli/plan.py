#!/usr/bin/env python3
"""lowrank check ranks=N: what a run on N ranks would be, without them.

    tests/cli/plan.py

A plan for N ranks made by one is the plan that N ranks make. On a skewed data
set, a few rows of 2,000 tokens among many short ones, the slowest of 8 ranks
does at most 5 % more than the mean, or than the one row that is more. The
forecast of step times follows the constants that it is given.
"""

import json
import os
import random
import re
import sys

import harness as h


def skewed_data(folder, rows, long_rows):
    """An alpaca set; the golden tokenizer makes about a token of a letter."""
    rng = random.Random(3)
    lengths = [1900] * long_rows + [rng.randint(20, 200) for _ in range(rows - long_rows)]
    rng.shuffle(lengths)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "skewed.json"), "w", encoding="utf-8") as f:
        json.dump([{"instruction": "say", "output": "".join(rng.choices("qxzjkv ", k=n))}
                   for n in lengths], f)
    with open(os.path.join(folder, "dataset_info.json"), "w", encoding="utf-8") as f:
        json.dump({"skewed": {"file_name": "skewed.json"}}, f)


def check(checks, ranks, yaml, *pairs):
    result = h.run(ranks, ["check", yaml, *pairs])
    checks.check(f"check {' '.join(pairs)} on {ranks}: exit status 0", result.code == 0, result.tail())
    return {line[:17].strip(): line[17:] for line in result.out.splitlines() if line[16:17] == " "}


def percents(line):
    return [float(x) for x in re.findall(r"(-?[\d.]+) %", line)]


def same_plan(checks, yaml):
    """Memory of the program itself differs between the processes that run."""
    for pairs in ((), ("global_batch_size=null",)):
        there = check(checks, 4, yaml, *pairs)
        here = check(checks, 0, yaml, "ranks=4", "ranks_per_node=4", *pairs)
        for line in ("ranks", "steps", "tokens", "operations", "imbalance", "largest pass",
                     "traffic per step"):
            checks.check(f"{' '.join(pairs)} '{line}' is the same for 4 ranks and on them",
                         line in here and here[line] == there.get(line),
                         f"{here.get(line)} | {there.get(line)}")
    alone = check(checks, 0, yaml, "ranks=8", "global_batch_size=null")
    checks.check("without global_batch_size the batch grows with the ranks",
                 "global batch 8" in alone.get("steps", ""), str(alone.get("steps")))
    nodes = check(checks, 0, yaml, "ranks=8", "ranks_per_node=3")
    checks.check("8 ranks by 3 are 3 nodes", nodes.get("ranks") == "8 on 3 nodes", str(nodes.get("ranks")))


def balance(checks, yaml, data):
    pairs = (f"dataset_dir={data}", "dataset=skewed", "cutoff_len=2048", "max_steps=-1", "ranks=8")
    wide = percents(check(checks, 0, yaml, *pairs, "global_batch_size=512").get("imbalance", ""))
    checks.check("steps of 512 skewed rows: within 5 % of the mean, every step",
                 len(wide) == 4 and max(wide) <= 5.0, str(wide))
    narrow = percents(check(checks, 0, yaml, *pairs, "global_batch_size=64").get("imbalance", ""))
    checks.check("steps of 64: one row is more than an eighth, and nothing beside it is lost",
                 len(narrow) == 4 and narrow[2] > 5.0 and
                 100 + narrow[0] <= 1.05 * (100 + narrow[2]) and
                 100 + narrow[1] <= 1.05 * (100 + narrow[3]), str(narrow))


def mib(text):
    return float(re.search(r"activations (\d+)", text).group(1))


def passes(checks, yaml, data):
    """Where activations of full passes do not fit, passes get smaller before layers forget theirs."""
    pairs = (f"dataset_dir={data}", "dataset=skewed", "cutoff_len=200", "global_batch_size=64")
    full = check(checks, 0, yaml, *pairs)
    small = check(checks, 0, yaml, *pairs, "token_budget=512")
    tokens = [int(p["largest pass"].split()[0]) for p in (full, small)]
    checks.check("passes fill up to 2,048 tokens where there is room", 1536 < tokens[0] <= 2048, str(tokens))
    room = int(1.1 * mib(small["memory per rank"])) + 1
    tight = check(checks, 0, yaml, *pairs, f"memory_budget={room}MB")
    checks.check(f"in {room} MB they have 512, and all layers keep their activations",
                 tight["largest pass"] == small["largest pass"] and
                 tight["activations"] == full["activations"], str(tight))
    none = check(checks, 0, yaml, *pairs, "memory_budget=1MB")
    checks.check("in 1 MB nothing helps: full passes, no layer keeps its own",
                 none["largest pass"] == full["largest pass"] and
                 none["activations"].startswith("kept for 0 "), str(none))


def threads(checks, yaml, data):
    """Each thread has passes of its own where rows are many and memory is there."""
    pairs = (f"dataset_dir={data}", "dataset=skewed", "cutoff_len=200", "token_budget=512", "threads_per_rank=4")
    own, shared = "; each thread has its own", "; the threads of a rank share it"

    def plan(*more):
        return check(checks, 0, yaml, *pairs, *more)

    many = plan("global_batch_size=256")
    checks.check("256 rows: a pass for each of 4 threads", many["largest pass"].endswith(own), str(many))
    checks.check("and the imbalance is that of threads", "slowest thread" in many["imbalance"], str(many))
    ranks = plan("global_batch_size=256", "threads_per_rank=1", "ranks=4")
    checks.check("it is that of as many ranks", percents(many["imbalance"]) == percents(ranks["imbalance"]),
                 f"{many['imbalance']} | {ranks['imbalance']}")
    few = plan("global_batch_size=1")
    checks.check("1 row: the threads share passes", few["largest pass"].endswith(shared) and
                 "slowest rank" in few["imbalance"], str(few))
    alone = plan("global_batch_size=256", "gemm_backend=openblas")
    checks.check("a library's products depend on threads: they share passes",
                 alone["largest pass"].endswith(shared), str(alone))
    room = int(0.6 * mib(many["memory per rank"]))
    tight = plan("global_batch_size=256", f"memory_budget={room}MB")
    checks.check(f"in {room} MB they share passes, and all layers keep their activations",
                 tight["largest pass"].endswith(shared) and tight["activations"] == many["activations"] and
                 mib(tight["memory per rank"]) <= room, str(tight))


def bound_cores(checks, yaml):
    """Without threads_per_rank a rank has a thread for each core it is bound to, ranks on the same cores a part each."""
    cores = os.sched_getaffinity(0)
    for mine in ({min(cores)}, set(sorted(cores)[:len(cores) // 2]), cores):
        os.sched_setaffinity(0, mine)
        for ranks in (1, 2):
            text = h.run(ranks, ["check", yaml, "threads_per_rank=null"]).text
            wanted = max(1, len(mine) // ranks)
            found = re.search(r"(\d+) threads? each", text)
            checks.check(f"{ranks} ranks bound to {len(mine)} cores together have {wanted} threads each",
                         found is not None and int(found.group(1)) == wanted, text)
    os.sched_setaffinity(0, cores)


COLUMNS = ("ranks", "nodes", "rows", "seconds", "reduction", "rate", "efficiency", "good")


def forecast(checks, yaml, *pairs):
    """ranks -> the row of the forecast."""
    result = h.run(0, ["check", yaml, *pairs])
    checks.check(f"forecast {' '.join(pairs)}: exit status 0", result.code == 0, result.tail())
    rows = {}
    for line in result.out.partition("80 % from")[2].splitlines()[1:]:
        values = [float("inf") if v == "more" else float(v) for v in line.replace("%", "").split()]
        rows[int(values[0])] = dict(zip(COLUMNS, values))
    return rows


def forecasts(checks, yaml, data):
    pairs = (f"dataset_dir={data}", "dataset=skewed", "cutoff_len=2048", "ranks=12",
             "global_batch_size=1024", "rank_gflops=0.01", "step_overhead_ms=0.001")
    rows = forecast(checks, yaml, *pairs, "link_bandwidth=1000000GB", "link_latency_us=0.001")
    checks.check("it goes to 1,024 ranks and has those that are planned",
                 sorted(rows) == sorted([2**k for k in range(11)] + [12]), str(sorted(rows)))
    if not rows:
        return
    checks.check("one rank alone is the measure", rows[1]["efficiency"] == 100.0 and rows[1]["good"] == 1)
    checks.check("twice the ranks, half the time, where nothing else costs",
                 abs(rows[1]["seconds"] / rows[2]["seconds"] - 2) < 0.01 and rows[2]["efficiency"] > 99)
    checks.check("1,024 ranks on 1,024 uneven rows wait for the longest", rows[1024]["efficiency"] < 50)
    checks.check("more ranks need larger batches",
                 all(rows[r]["good"] < rows[2 * r]["good"] for r in (4, 16, 64, 256)))
    slow = forecast(checks, yaml, *pairs, "link_bandwidth=1000", "link_latency_us=0.001")
    P = slow[2]["reduction"] * 1000 * 2 / 16  # 16 P (2 - 1) / 2 bytes at 1,000 a second
    checks.check("the reduction is 16 P (N - 1) / N bytes over the link",
                 abs(slow[1024]["reduction"] * 1000 / (16 * P * 1023 / 1024) - 1) < 0.002,
                 str(slow[1024]))
    checks.check("a slow link costs efficiency", slow[8]["efficiency"] < rows[8]["efficiency"])
    for ranks, further in ((12, 0), (12, 1), (12, 3), (64, 0)):
        batch = int(rows[ranks]["good"]) + further * ranks
        there = forecast(checks, yaml, *pairs[:3], f"ranks={ranks}", f"global_batch_size={batch}", *pairs[5:],
                         "link_bandwidth=1000000GB", "link_latency_us=0.001")[ranks]
        checks.check(f"'80 % from' is where {ranks} ranks reach 80 %; {further} rows a rank more",
                     batch % ranks == 0 and 80.0 <= there["efficiency"] < 85.0 + 5.0 * further, str(there))


def forecasts_of_equal_rows(checks, yaml, data):
    os.makedirs(data)
    with open(os.path.join(data, "equal.json"), "w", encoding="utf-8") as f:
        json.dump([{"instruction": "say", "output": "qxzjkv " * 20}] * 64, f)
    with open(os.path.join(data, "dataset_info.json"), "w", encoding="utf-8") as f:
        json.dump({"equal": {"file_name": "equal.json"}}, f)
    pairs = (f"dataset_dir={data}", "dataset=equal", "ranks=8", "rank_gflops=0.01", "step_overhead_ms=0.001",
             "link_bandwidth=1000000GB", "link_latency_us=0.001")
    for batch, efficiency in ((7, 87.5), (8, 100.0), (9, 56.2), (17, 70.8), (24, 100.0)):
        row = forecast(checks, yaml, *pairs, f"global_batch_size={batch}")[8]
        checks.check(f"{batch} equal rows on 8 ranks: {efficiency} %, and 8, 16, ... are good",
                     abs(row["efficiency"] - efficiency) < 0.2 and row["good"] == 8, str(row))
    result = h.run(0, ["check", yaml, *pairs, "global_batch_size=262145"])
    checks.check("a batch beyond 262,144 rows is not forecast as if it were smaller",
                 re.search(r"^ +8 +8 +262145 too large to forecast$", result.out, re.M), result.tail())


def refused(checks, yaml):
    for pair, pattern in (("ranks=8", r"'ranks'.*mpirun -n 8"), ("ranks=0", r"'ranks' is 0")):
        result = h.run(2, ["train", yaml, pair])
        errors = result.errors()
        checks.check(f"train {pair} is refused in one line",
                     result.code == 1 and len(errors) == 1 and re.search(pattern, errors[0]),
                     result.tail())
    checks.check("nothing was left behind", not os.path.exists(checks.path("out")))


def main():
    h.require_program()
    checks = h.Checks("plan")
    data = checks.path("data")
    skewed_data(data, 2048, 40)
    yaml = h.write_yaml(checks.path("run.yaml"), output_dir=checks.path("out"),
                        cache_dir=checks.path("cache"))
    same_plan(checks, yaml)
    balance(checks, yaml, data)
    passes(checks, yaml, data)
    threads(checks, yaml, data)
    bound_cores(checks, yaml)
    forecasts(checks, yaml, data)
    forecasts_of_equal_rows(checks, yaml, checks.path("equal"))
    refused(checks, yaml)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
