#!/usr/bin/env python3
"""Hold training of a real model against LLaMA-Factory: 20 steps of global batch 8.

    $ORACLE_PYTHON tests/oracle/smollm2_trajectory.py --model FOLDER [options]

FOLDER holds the model in float32 (a downloaded one, or what
configs/demo/gguf_to_hf.py makes). LLaMA-Factory's run is made once and kept in
--cache, in the layout of tests/golden/trajectories; tests/cli/trajectory.py's
comparison and limits are used, but the loss is held against that of
LLaMA-Factory's own float32 logits with the cross-entropy taken in float64
(see lf_run.py); how far its logged loss is from both is printed. RANKS=1,2,3 and PROGRAM or BUILD as there.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))

import harness as h  # noqa: E402
import trajectory  # noqa: E402


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of the model in float32")
    parser.add_argument("--cache", default=os.path.join(ROOT, "build", "oracle-cache"))
    parser.add_argument("--dataset-dir", default="configs/demo/data")
    parser.add_argument("--dataset", default="cluster_qa,cluster_chat")
    parser.add_argument("--template", default="smollm2")
    parser.add_argument("--cutoff-len", type=int, default=512)
    parser.add_argument("--lora-rank", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only-reference", action="store_true", help="make LLaMA-Factory's run only")
    return parser.parse_args()


def settings(args, start):
    return {
        "model_name_or_path": os.path.abspath(args.model), "adapter_name_or_path": start,
        "stage": "sft", "do_train": True, "finetuning_type": "lora", "lora_dropout": 0.0,
        "template": args.template, "dataset_dir": os.path.abspath(args.dataset_dir),
        "dataset": args.dataset, "cutoff_len": args.cutoff_len, "overwrite_cache": True,
        "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8,
        "max_steps": args.steps, "learning_rate": 2e-4, "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.1, "logging_steps": 1, "save_strategy": "no", "bf16": False,
        "use_cpu": True, "disable_gradient_checkpointing": True, "report_to": "none",
        "overwrite_output_dir": True,
    }


def make_start(args, folder):
    """An adapter on every linear module, B as large as some hundred steps make it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32),
        LoraConfig(task_type="CAUSAL_LM", r=args.lora_rank, lora_alpha=2 * args.lora_rank,
                   target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj",
                                   "down_proj"]))
    gen = torch.Generator().manual_seed(99)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if p.requires_grad:
                scale = 0.01 if "lora_B" in name else p.shape[1] ** -0.5
                p.copy_(torch.randn(p.shape, generator=gen) * scale)
    model.save_pretrained(folder)


def reference(args):
    """Folder with run.yaml, steps.jsonl, the final and the first adapter."""
    key = hashlib.sha256(json.dumps([settings(args, ""), "exact", args.lora_rank]).encode()).hexdigest()[:12]
    folder = os.path.join(os.path.abspath(args.cache), f"smollm2-{key}")
    if os.path.exists(os.path.join(folder, "adapter_model.safetensors")):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    start = os.path.join(folder, "start")
    make_start(args, start)
    with open(os.path.join(folder, "run.yaml"), "w", encoding="utf-8") as f:
        f.write(h.yaml_text(settings(args, start)))
    out = os.path.join(folder, "out")
    env = dict(os.environ, HF_DATASETS_CACHE=os.path.join(folder, "datasets"))
    subprocess.run(
        [sys.executable, os.path.join(HERE, "lf_run.py"), os.path.join(folder, "run.yaml"),
         "--steps", os.path.join(folder, "steps.jsonl"), "--threads", str(args.threads), "--exact",
         f"output_dir={out}"], check=True, env=env, stdout=sys.stderr)
    shutil.move(os.path.join(out, "adapter_model.safetensors"), folder)
    shutil.rmtree(out)
    return folder


def main():
    args = parse()
    golden = reference(args)
    print(f"reference: {golden}")
    if args.only_reference:
        return 0
    h.require_program()
    checks = h.Checks("smollm2")
    bits = set()
    ranks_list = [int(r) for r in os.environ.get("RANKS", "1,2,3").split(",")]
    for ranks in ranks_list:
        out = checks.path(f"out-{ranks}")
        result = h.run(ranks, ["train", os.path.join(golden, "run.yaml"), f"output_dir={out}",
                               "global_batch_size=8", "threads_per_rank=1",
                               f"cache_dir={checks.path('cache')}"], timeout=1800)
        if checks.check(f"trains on {ranks}", result.code == 0, result.tail()):
            trajectory.compare(checks, "smollm2", ranks, golden, out,
                               h.adapter(os.path.join(golden, "start")))
            bits.add(h.sha256(h.adapter(out)))
    checks.check(f"one adapter on {ranks_list} ranks", len(bits) == 1)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
