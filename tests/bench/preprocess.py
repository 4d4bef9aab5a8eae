#!/usr/bin/env python3
"""Rows a second from data files to tokens: lowrank on 2 ranks, LLaMA-Factory with 2 workers.

    $ORACLE_PYTHON tests/bench/preprocess.py --model FOLDER [--rows 20000] [--rounds 3] [--json OUT]

The rows of --dataset (alpaca format) are repeated to --rows, each with its
number in its instruction, so that no two are equal. The programs take turns;
neither finds anything in a cache. Both must come to the same rows and tokens.

LLaMA-Factory: its get_dataset() with preprocessing_num_workers and
overwrite_cache, timed by itself in a process that has imported everything and
loaded the tokenizer: "all"; of it, the calls of Dataset.map(), which convert
and tokenize: "map". lowrank: from the line of the log before the tokenizer is
loaded to the one that says that the sample store is written, so reading,
converting, tokenizing and writing to disk: "prepare"; and from starting mpirun
to that line: "all". The plain ratio is of "all" of LLaMA-Factory over
"prepare"; the strict one takes LLaMA-Factory's "map" alone.
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
    parser.add_argument("--model", help="a folder with a tokenizer")
    parser.add_argument("--dataset-dir", help="LLaMA-Factory's data folder")
    parser.add_argument("--dataset", default="alpaca_en_demo,identity")
    parser.add_argument("--template", default="smollm2")
    parser.add_argument("--cutoff-len", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--workers", type=int, default=2, help="processes of either program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="OUT", help="write every figure")
    parser.add_argument("--lf", nargs=2, metavar=("SETTINGS", "OUT"), help=argparse.SUPPRESS)
    return parser.parse_args()


def make_rows(args, folder):
    """One file of that many different rows, and its dataset_info.json."""
    info, rows = h.read_json(os.path.join(args.dataset_dir, "dataset_info.json")), []
    for name in args.dataset.split(","):
        rows += h.read_json(os.path.join(args.dataset_dir, info[name]["file_name"]))
    many = [{**row, "instruction": f"{row['instruction']} ({i})"}
            for i, row in ((i, rows[i % len(rows)]) for i in range(args.rows))]
    os.makedirs(folder)
    with open(os.path.join(folder, "many.json"), "w", encoding="utf-8") as f:
        json.dump(many, f, ensure_ascii=False, indent=1)
    with open(os.path.join(folder, "dataset_info.json"), "w", encoding="utf-8") as f:
        json.dump({"many": {"file_name": "many.json"}}, f)
    return os.path.getsize(os.path.join(folder, "many.json"))


def common(args, folder, out):
    return {"model_name_or_path": os.path.abspath(args.model), "stage": "sft", "do_train": True,
            "finetuning_type": "lora", "lora_rank": 8, "lora_target": "all",
            "template": args.template, "dataset_dir": folder, "dataset": "many",
            "cutoff_len": args.cutoff_len, "overwrite_cache": True, "max_steps": 1,
            "preprocessing_num_workers": args.workers, "report_to": "none", "output_dir": out,
            "overwrite_output_dir": True}


# --- LLaMA-Factory, in a process of its own -----------------------------------

def time_maps():
    """The seconds that Dataset.map() takes from here on, in a list of one."""
    from datasets import Dataset
    own, spent = Dataset.map, [0.0]

    def timed(*args, **kwargs):
        start = time.monotonic()
        try:
            return own(*args, **kwargs)
        finally:
            spent[0] += time.monotonic() - start

    Dataset.map = timed
    return spent


def lf_worker(settings, out):
    os.environ["DISABLE_VERSION_CHECK"] = "1"
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    model_args, data_args, training_args, _, _ = get_train_args(h.read_json(settings))
    module = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
    spent = time_maps()
    start = time.monotonic()
    data = get_dataset(template, model_args, data_args, training_args, stage="sft",
                       **module)["train_dataset"]
    seconds = time.monotonic() - start
    with open(out, "w", encoding="utf-8") as f:
        json.dump({"all": seconds, "map": spent[0], "rows": len(data),
                   "tokens": sum(len(ids) for ids in data["input_ids"])}, f)


def run_lf(args, work, folder):
    for name in ("hf", "lf-out"):
        shutil.rmtree(os.path.join(work, name), ignore_errors=True)
    settings, out = os.path.join(work, "lf.json"), os.path.join(work, "lf-result.json")
    with open(settings, "w", encoding="utf-8") as f:
        json.dump({**common(args, folder, os.path.join(work, "lf-out")), "use_cpu": True}, f)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "OMPI_", "PMIX_"))}
    env.update(HF_DATASETS_CACHE=os.path.join(work, "hf"), HF_HUB_OFFLINE="1",
               TOKENIZERS_PARALLELISM="false")
    with open(os.path.join(work, "lf.log"), "wb") as log:
        code = subprocess.run([sys.executable, os.path.abspath(__file__), "--lf", settings, out],
                              env=env, stdout=log, stderr=log).returncode
    if code != 0:
        with open(os.path.join(work, "lf.log"), encoding="utf-8", errors="replace") as f:
            sys.exit(f.read()[-2000:])
    return h.read_json(out)


# --- lowrank --------------------------------------------------------------------

def run_lowrank(args, work, folder):
    out, yaml = os.path.join(work, "out"), os.path.join(work, "lowrank.yaml")
    shutil.rmtree(out, ignore_errors=True)
    with open(yaml, "w", encoding="utf-8") as f:
        f.write(h.yaml_text({**common(args, folder, out), "threads_per_rank": 1}))
    start = time.monotonic()
    process, moments, text = h.start(args.workers, ["train", yaml]), {}, []
    for raw in process.stderr:
        now, line = time.monotonic(), raw.decode("utf-8", "replace")
        text.append(line)
        for begin in ("model:", "samples: train has", "samples: written"):
            if line.startswith(begin):
                moments[begin] = now, line
        if "samples: written" in moments:
            break
    else:
        sys.exit("".join(text))
    h.end(process)
    process.wait()
    words = moments["samples: train has"][1].split()
    end = moments["samples: written"][0]
    return {"all": end - start, "prepare": end - moments["model:"][0], "rows": int(words[3]),
            "tokens": int(words[5])}


def spread(values, form):
    return " | ".join(format(f(values), form) for f in (min, statistics.median, max))


def table(args, lf, ours):
    seconds = {"LLaMA-Factory, all": [r["all"] for r in lf],
               "LLaMA-Factory, map": [r["map"] for r in lf],
               "lowrank, prepare": [r["prepare"] for r in ours],
               "lowrank, all": [r["all"] for r in ours]}
    lines = [f"| {args.rows} rows, {args.workers} processes | s: min | median | max "
             "| rows/s: min | median | max |", "|---|---:|---:|---:|---:|---:|---:|"]
    lines += [f"| {name} | {spread(s, '.2f')} | {spread([args.rows / x for x in s], '.0f')} |"
              for name, s in seconds.items()]
    return "\n".join(lines)


def ratios(lf, ours):
    pairs = list(zip(lf, ours))
    return {"plain": [a["all"] / b["prepare"] for a, b in pairs],
            "strict": [a["map"] / b["prepare"] for a, b in pairs],
            "whole program": [a["all"] / b["all"] for a, b in pairs]}


def main():
    args = parse()
    if args.lf:
        lf_worker(*args.lf)
        return 0
    h.require_program()
    checks = h.Checks("preprocess")
    folder, lf, ours = checks.path("data"), [], []
    size = make_rows(args, folder)
    checks.note(f"{args.rows} rows, {size * 1e-6:.1f} MB")
    for number in range(args.rounds):
        lf.append(run_lf(args, checks.work, folder))
        ours.append(run_lowrank(args, checks.work, folder))
        same = all(lf[-1][k] == ours[-1][k] for k in ("rows", "tokens"))
        checks.check(f"round {number + 1}: {ours[-1]['rows']} rows and {ours[-1]['tokens']} tokens "
                     "on both sides", same, f"{lf[-1]}, {ours[-1]}")
    found = ratios(lf, ours)
    print(table(args, lf, ours))
    print("\n| times faster | min | median | max |\n|---|---:|---:|---:|")
    for name, values in found.items():
        print(f"| {name} | {spread(values, '.1f')} |")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"rows": args.rows, "bytes": size, "workers": args.workers, "llamafactory": lf,
                       "lowrank": ours, "ratios": found}, f, indent=1)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
