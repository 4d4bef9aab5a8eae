#!/usr/bin/env python3
"""PEFT loads the adapter that lowrank wrote, and its evaluation loss is lowrank's.

    $ORACLE_PYTHON tests/oracle/peft_eval.py [--model FOLDER --template T --dataset-dir D ...]

Trains with evaluation on 2 ranks (dropout 0.1 while training, new adapter),
then: PeftModel.from_pretrained() takes the output folder as it is, with all
its tensors; LLaMA-Factory encodes the evaluation rows; PEFT's loss on them
equals the last eval_loss within 1e-4, and so for each checkpoint's adapter.
Without options: the tiny models of tests/golden/models.
"""

import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))
os.environ.update(HF_HUB_OFFLINE="1", DISABLE_VERSION_CHECK="1")

import harness as h  # noqa: E402

LIMIT = 1e-4
CASES = {
    "llama": dict(template="llama3", lora_target="all"),
    "mistral": dict(template="mistral", lora_target="q_proj,v_proj", use_rslora=True),
    "qwen2": dict(template="qwen", lora_target="all", lora_alpha=3),
    "qwen3": dict(template="qwen3", lora_target="up_proj,down_proj,o_proj", neat_packing=...),
    "smollm2": dict(template="smollm2", lora_target="all"),
}


def encoded_rows(settings):
    """The evaluation rows as LLaMA-Factory encodes them."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    ours = ("global_batch_size", "threads_per_rank", "cache_dir")
    keys = {k: v for k, v in settings.items() if k not in ours and v is not ...}
    keys.update(use_cpu=True, report_to="none", output_dir="/nonexistent", bf16=False)
    model_args, data_args, training_args, _, _ = get_train_args(keys)
    module = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
    return get_dataset(template, model_args, data_args, training_args, stage="sft",
                       **module)["eval_dataset"]


def eval_loss(model, rows, batch):
    """As the HF trainer has it: means of batches, each row with its batch's."""
    import torch

    total, count = 0.0, 0
    for first in range(0, len(rows), batch):
        loss, tokens, members = 0.0, 0, range(first, min(first + batch, len(rows)))
        for i in members:
            ids = torch.tensor([rows[i]["input_ids"]])
            labels = torch.tensor(rows[i]["labels"])
            with torch.no_grad():
                logits = model(ids).logits[0]
            loss += torch.nn.functional.cross_entropy(logits[:-1].double(), labels[1:],
                                                      ignore_index=-100, reduction="sum").item()
            tokens += int((labels[1:] != -100).sum())
        total += loss / tokens * len(members)
        count += len(members)
    return total / count


def peft_model(base, folder):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return PeftModel.from_pretrained(model, folder).eval()


def check_case(checks, name, settings):
    out = checks.path(f"out-{name}")
    yaml = h.write_yaml(checks.path(f"{name}.yaml"), output_dir=out,
                        cache_dir=checks.path("cache"), **settings)
    result = h.run(2, ["train", yaml], timeout=1800)
    if not checks.check(f"{name}: trains", result.code == 0, result.tail()):
        return
    got = [r for r in h.read_steps(out) if "eval_loss" in r]
    rows = encoded_rows({**h.BASE, **settings})
    batch = settings["per_device_eval_batch_size"]
    for row in got:
        folder = os.path.join(out, f"checkpoint-{row['step']}")
        if row is got[-1]:
            folder = out
        if not os.path.exists(h.adapter(folder)):
            continue
        model = peft_model(settings["model_name_or_path"], folder)
        names = {n.replace(".default", "") for n, _ in model.named_parameters() if "lora_" in n}
        ours = set(h.read_safetensors(h.adapter(folder)))
        checks.check(f"{name}, step {row['step']}: PEFT finds all tensors and no other", names == ours,
                     str(sorted(names ^ ours)[:4]))
        want = eval_loss(model, rows, batch)
        off = abs(want - row["eval_loss"])
        checks.check(f"{name}, step {row['step']}: eval_loss {row['eval_loss']:.7f}, "
                     f"PEFT's {want:.7f}, {off:.1e} apart", off < LIMIT)
    checks.check(f"{name}: evaluations were made", len(got) >= 2, str(len(got)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--template", default="smollm2")
    parser.add_argument("--dataset-dir", default="configs/demo/data")
    parser.add_argument("--dataset", default="cluster_qa,cluster_chat")
    parser.add_argument("--eval-dataset", default="cluster_eval")
    parser.add_argument("--cutoff-len", type=int, default=512)
    parser.add_argument("--max-steps", type=int, default=10)
    args = parser.parse_args()
    h.require_program()
    os.chdir(ROOT)
    checks = h.Checks("peft_eval")
    common = dict(lora_dropout=0.1, eval_strategy="steps", save_strategy="steps",
                  per_device_eval_batch_size=3)
    if args.model:
        check_case(checks, os.path.basename(args.model.rstrip("/")), dict(
            common, model_name_or_path=os.path.abspath(args.model), template=args.template,
            dataset_dir=args.dataset_dir, dataset=args.dataset, eval_dataset=args.eval_dataset,
            cutoff_len=args.cutoff_len, max_steps=args.max_steps, learning_rate=2e-4,
            eval_steps=args.max_steps // 2, save_steps=args.max_steps // 2))
        return checks.finish()
    for name, changes in CASES.items():
        check_case(checks, name, dict(common, model_name_or_path=f"{h.MODELS}/{name}", eval_steps=10,
                                      save_steps=10, val_size=0.25, **changes))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
