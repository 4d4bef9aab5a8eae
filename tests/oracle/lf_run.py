#!/usr/bin/env python3
"""Run LLaMA-Factory on a YAML file and keep every step's numbers unrounded.

    $ORACLE_PYTHON tests/oracle/lf_run.py FILE.yaml --steps OUT.jsonl [--threads N] [key=value ...]

OUT.jsonl gets one object a logged step: step, loss, grad_norm, learning_rate
(or eval_loss, for an evaluation); with --exact loss_f64, the loss of that step's own
float32 logits with the cross-entropy taken in float64, since PyTorch's
float32 sum over a vocabulary of 49,152 is off by some 1e-5; tokens (real ones, without padding, that
training has seen) and seconds since it began; a last one of tokens and
seconds, and train_runtime as the trainer measures it. The adapter is where LLaMA-Factory leaves it: in output_dir.
"""

import argparse
import json
import os
import sys
import time


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--steps", required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--exact", action="store_true", help="take loss_f64 (costs time)")
    return parser.parse_intermixed_args()


def prepare_environment(threads):
    """Before torch is imported: offline, no foreign BLAS settings, fixed threads."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["DISABLE_VERSION_CHECK"] = "1"
    for name in [n for n in os.environ if n.startswith(("OPENBLAS_", "OMPI_", "PMIX_"))]:
        del os.environ[name]
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)


def make_recorder(path):
    from transformers import TrainerCallback

    class Recorder(TrainerCallback):
        def __init__(self):
            self.rows = []
            self.began = 0.0
            self.tokens = 0
            self.runtime = None
            self.exact = 0.0

        def on_train_begin(self, args, state, control, **kwargs):
            self.began = time.monotonic()

        def on_log(self, args, state, control, logs=None, **kwargs):
            keys = ("loss", "grad_norm", "learning_rate", "eval_loss")
            row = {k: logs[k] for k in keys if k in logs}
            if row:
                seconds = time.monotonic() - self.began
                if "loss" in row and self.exact:
                    row["loss_f64"], self.exact = self.exact, 0.0
                self.rows.append({"step": state.global_step, **row, "tokens": self.tokens,
                                  "seconds": seconds})

            if "train_runtime" in (logs or {}):
                self.runtime = logs["train_runtime"]

        def on_train_end(self, args, state, control, **kwargs):
            seconds = time.monotonic() - self.began
            self.rows.append({"tokens": self.tokens, "seconds": seconds,
                              "train_runtime": self.runtime})
            with open(path, "w", encoding="utf-8") as f:
                for row in self.rows:
                    f.write(json.dumps(row) + "\n")

    return Recorder()


def count_tokens(recorder):
    """Real tokens are those the attention mask lets through."""
    from llamafactory.train.sft.trainer import CustomSeq2SeqTrainer

    step = CustomSeq2SeqTrainer.training_step

    def counted(self, model, inputs, *args, **kwargs):
        mask = inputs["attention_mask"]
        if mask.dim() == 2:
            recorder.tokens += int((mask != 0).sum())
        else:  # [B,1,T,T]: a position that sees itself; padding sees nothing
            recorder.tokens += int((mask.diagonal(dim1=-2, dim2=-1) == 0).sum())
        return step(self, model, inputs, *args, **kwargs)

    CustomSeq2SeqTrainer.training_step = counted


def take_exact_loss(recorder):
    """Beside each training loss the same in float64; gradients stay as they are."""
    import torch
    from transformers.loss import loss_utils

    own = loss_utils.fixed_cross_entropy

    def both(source, target, num_items_in_batch=None, ignore_index=-100, **kwargs):
        if num_items_in_batch is not None and torch.is_grad_enabled():
            keep = target != ignore_index
            with torch.no_grad():
                total = torch.nn.functional.cross_entropy(
                    source[keep].double(), target[keep].to(source.device), reduction="sum")
            recorder.exact += total.item() / float(num_items_in_batch)
        return own(source, target, num_items_in_batch, ignore_index, **kwargs)

    loss_utils.fixed_cross_entropy = both


def main():
    args = parse()
    prepare_environment(args.threads)
    import torch
    from llamafactory.train.tuner import run_exp
    from omegaconf import OmegaConf

    if args.threads:
        torch.set_num_threads(args.threads)
    config = OmegaConf.merge(OmegaConf.load(args.yaml), OmegaConf.from_cli(args.overrides))
    recorder = make_recorder(args.steps)
    count_tokens(recorder)
    if args.exact:
        take_exact_loss(recorder)
    run_exp(OmegaConf.to_container(config, resolve=True), callbacks=[recorder])
    return 0


if __name__ == "__main__":
    sys.exit(main())
