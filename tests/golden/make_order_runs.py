#!/usr/bin/env python3
"""The order in which LLaMA-Factory's own trainer uses rows, for tests/unit/data/test_order.c.

usage: $ORACLE_PYTHON tests/golden/make_order_runs.py   writes tests/golden/data/order_runs.json

Trains the tiny llama of tests/golden/models for two epochs of 21 rows, batch 1, accumulation 8, and notes which
row each micro-batch holds: its label is in its text. Also with data_seed, and with disable_shuffling.
"""
import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "models", "llama")
ROWS = 21


def run(folder, name, extra):
    import llamafactory.train.sft.trainer as trainer
    from llamafactory.train.tuner import run_exp

    seen = []
    original = trainer.CustomSeq2SeqTrainer.compute_loss

    def noted(self, model, inputs, *args, **kwargs):
        if model.training:
            for ids in inputs["labels"].tolist():
                seen.append(tuple(x for x in ids if x != -100))
        return original(self, model, inputs, *args, **kwargs)

    trainer.CustomSeq2SeqTrainer.compute_loss = noted
    try:
        run_exp({"model_name_or_path": MODEL, "stage": "sft", "do_train": True, "finetuning_type": "lora",
                 "lora_rank": 2, "dataset": "rows", "dataset_dir": folder, "template": "default", "cutoff_len": 64,
                 "output_dir": os.path.join(folder, name), "per_device_train_batch_size": 1,
                 "gradient_accumulation_steps": 8, "num_train_epochs": 2, "use_cpu": True, "report_to": "none",
                 "overwrite_output_dir": True, "save_strategy": "no", "disable_gradient_checkpointing": True, **extra})
    finally:
        trainer.CustomSeq2SeqTrainer.compute_loss = original
    return seen


def labels_of(folder):
    """The label tokens of each row, to know rows by."""
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    template = get_template_and_fix_tokenizer(tokenizer, DataArguments(template="default"))
    out = {}
    for i in range(ROWS):
        messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": f"row {i}"}]
        pairs = template.encode_multiturn(tokenizer, messages, None, None)
        out[tuple(pairs[0][1])] = i
    assert len(out) == ROWS
    return out


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HF_HOME", folder)
        import accelerate
        import llamafactory
        import transformers

        with open(os.path.join(folder, "rows.json"), "w", encoding="utf-8") as f:
            json.dump([{"instruction": "x", "input": "", "output": f"row {i}"} for i in range(ROWS)], f)
        with open(os.path.join(folder, "dataset_info.json"), "w", encoding="utf-8") as f:
            json.dump({"rows": {"file_name": "rows.json"}}, f)
        names = labels_of(folder)
        runs = []
        for name, extra in [("seed", {"seed": 42}), ("data_seed", {"seed": 42, "data_seed": 7}),
                            ("in_order", {"seed": 42, "disable_shuffling": True})]:
            order = [names[x] for x in run(folder, name, extra)]
            runs.append({"name": name, **extra, "order": order})
            print(name, order, file=sys.stderr)
        golden = {"versions": {"llamafactory": llamafactory.extras.env.VERSION, "transformers": transformers.__version__,
                               "accelerate": accelerate.__version__}, "rows": ROWS, "runs": runs}
    with open(os.path.join(HERE, "data", "order_runs.json"), "w", encoding="utf-8") as f:
        json.dump(golden, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
