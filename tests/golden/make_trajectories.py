#!/usr/bin/env python3
"""Run LLaMA-Factory 0.9.5 on the tiny models: what 20 steps of training give there.

    $ORACLE_PYTHON tests/golden/make_trajectories.py [NAME ...]

Writes trajectories/data (rows made here, from a fixed seed) and, for each
run, trajectories/NAME: run.yaml (to be run from the top folder of the
repository; lowrank takes the same file), steps.jsonl (unrounded loss,
grad_norm and learning_rate of every step, eval_loss) and the final adapter.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OUT = os.path.join(HERE, "trajectories")

COMMON = """\
stage: sft
do_train: true
finetuning_type: lora
dataset_dir: tests/golden/trajectories/data
overwrite_cache: true
overwrite_output_dir: true
gradient_accumulation_steps: 4
per_device_train_batch_size: 1
max_steps: 20
logging_steps: 1
save_strategy: "no"
lora_dropout: 0.0
bf16: false
use_cpu: true
disable_gradient_checkpointing: true
report_to: none
ddp_timeout: 180000000
"""

COSINE = "lr_scheduler_type: cosine\nwarmup_ratio: 0.1\nlearning_rate: 2.0e-3\n"

RUNS = {
    "llama": "model_name_or_path: tests/golden/models/llama\n"
             "adapter_name_or_path: tests/golden/models/llama/adapter_all\n"
             "template: llama3\ndataset: short_alpaca,chats\ncutoff_len: 256\n"
             "max_grad_norm: 3.0\n" + COSINE,
    "mistral": "model_name_or_path: tests/golden/models/mistral\n"
               "adapter_name_or_path: tests/golden/models/mistral/adapter_qv\n"
               "template: mistral\ndataset: short_alpaca,chats\ncutoff_len: 192\n"
               "weight_decay: 0.01\nmax_grad_norm: 0.5\n" + COSINE,
    "qwen2": "model_name_or_path: tests/golden/models/qwen2\n"
             "adapter_name_or_path: tests/golden/models/qwen2/adapter_all\n"
             "template: qwen\ndataset: chats,short_alpaca\ncutoff_len: 256\nseed: 7\n"
             "lr_scheduler_type: linear\nwarmup_steps: 3\nlearning_rate: 3.0e-3\n",
    "qwen3": "model_name_or_path: tests/golden/models/qwen3\n"
             "adapter_name_or_path: tests/golden/models/qwen3/adapter_all\n"
             "template: qwen3\ndataset: short_alpaca,chats\ncutoff_len: 256\n" + COSINE,
    "neat_packing": "model_name_or_path: tests/golden/models/llama\n"
                    "adapter_name_or_path: tests/golden/models/llama/adapter_all\n"
                    "template: llama3\ndataset: short_alpaca,chats\ncutoff_len: 328\n"
                    "neat_packing: true\ngradient_accumulation_steps: 2\n" + COSINE,
    "evaluation": "model_name_or_path: tests/golden/models/qwen2\n"
                  "adapter_name_or_path: tests/golden/models/qwen2/adapter_qv\n"
                  "template: qwen\ndataset: short_alpaca,chats\ncutoff_len: 256\n"
                  "val_size: 0.2\neval_strategy: steps\neval_steps: 5\n"
                  "per_device_eval_batch_size: 2\nper_device_train_batch_size: 2\n" + COSINE,
}

FRUITS = "apple pear plum cherry grape lemon fig quince mango peach".split()
PLACES = "Bergen Lyon Kyoto Quito Turin Ghent Porto Malmö Kraków Brno".split()


def alpaca_row(rng, i):
    a, b = rng.randint(2, 60), rng.randint(2, 60)
    words = rng.sample(FRUITS, rng.randint(3, 6))
    kind = i % 4
    if kind == 0:
        return {"instruction": "Add the two numbers.", "input": f"{a} and {b}",
                "output": f"{a} + {b} = {a + b}."}
    if kind == 1:
        return {"instruction": f"Sort these words: {', '.join(words)}.", "input": "",
                "output": ", ".join(sorted(words))}
    if kind == 2:
        return {"instruction": f"How many letters has '{words[0]}'?", "input": "",
                "output": f"It has {len(words[0])} letters.",
                "system": "Answer in one short sentence.",
                "history": [[f"And '{words[1]}'?", f"It has {len(words[1])} letters."]]}
    return {"instruction": "Write the list as Python.", "input": " ".join(words),
            "output": f"```python\nfruits = {words!r}\n```\n"}


def chat_row(rng, i):
    turns = []
    if i % 3 == 0:
        turns.append({"from": "system", "value": "You know where people have been."})
    for _ in range(1 + i % 3):
        place, year = rng.choice(PLACES), rng.randint(1950, 2020)
        turns.append({"from": "human", "value": f"When were you in {place}?"})
        turns.append({"from": "gpt", "value": f"In {year}, for {rng.randint(2, 9)} days. ☀"})
    return {"conversations": turns}


def write_data():
    folder = os.path.join(OUT, "data")
    os.makedirs(folder, exist_ok=True)
    rng = random.Random(4711)
    with open(os.path.join(folder, "short_alpaca.json"), "w", encoding="utf-8") as f:
        json.dump([alpaca_row(rng, i) for i in range(26)], f, indent=1, ensure_ascii=False)
        f.write("\n")
    with open(os.path.join(folder, "chats.jsonl"), "w", encoding="utf-8") as f:
        for i in range(21):
            f.write(json.dumps(chat_row(rng, i), ensure_ascii=False) + "\n")
    info = {
        "short_alpaca": {"file_name": "short_alpaca.json",
                         "columns": {"prompt": "instruction", "query": "input",
                                     "response": "output", "system": "system",
                                     "history": "history"}},
        "chats": {"file_name": "chats.jsonl", "formatting": "sharegpt"},
    }
    with open(os.path.join(folder, "dataset_info.json"), "w", encoding="utf-8") as f:
        json.dump(info, f, indent=2)
        f.write("\n")


def run(name):
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    own = RUNS[name]
    keys = {line.split(":")[0] for line in own.splitlines()}
    common = "".join(line + "\n" for line in COMMON.splitlines() if line.split(":")[0] not in keys)
    yaml = os.path.join(folder, "run.yaml")
    with open(yaml, "w", encoding="utf-8") as f:
        f.write(own + common + f"output_dir: runs/trajectory/{name}\n")
    with tempfile.TemporaryDirectory() as work:
        out = os.path.join(work, "out")
        env = dict(os.environ, HF_DATASETS_CACHE=os.path.join(work, "cache"))
        log = os.path.join(work, "log")
        with open(log, "w", encoding="utf-8") as f:
            code = subprocess.call(
                [sys.executable, os.path.join(ROOT, "tests", "oracle", "lf_run.py"), yaml,
                 "--steps", os.path.join(work, "steps.jsonl"), "--threads", "1",
                 f"output_dir={out}"], cwd=ROOT, env=env, stdout=f, stderr=subprocess.STDOUT)
        if code != 0:
            with open(log, encoding="utf-8") as f:
                sys.exit(f.read()[-4000:])
        with open(os.path.join(work, "steps.jsonl"), encoding="utf-8") as f, \
                open(os.path.join(folder, "steps.jsonl"), "w", encoding="utf-8") as g:
            for line in f:
                row = json.loads(line)
                for key in ("seconds", "train_runtime") + (("tokens",) if "step" in row else ()):
                    row.pop(key)
                g.write(json.dumps(row) + "\n")
        shutil.copy(os.path.join(out, "adapter_model.safetensors"), folder)
    print(name, "done")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(RUNS), metavar="NAME")
    args = parser.parse_args()
    write_data()
    for name in args.names:
        run(name)
    with open(os.path.join(OUT, "versions.json"), "w", encoding="utf-8") as f:
        json.dump({p: version(p) for p in ("llamafactory", "transformers", "peft", "torch")}, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
