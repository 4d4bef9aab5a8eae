#!/usr/bin/env python3
"""One result on any number of ranks and threads: 20 steps with dropout 0.1 at one global batch.

    tests/cli/same_bits.py      RANKS=1,2,3,4,5,8

One SHA-256 of adapter_model.safetensors, one of the losses in
trainer_log.jsonl and one of the unrounded numbers of every step.
"""

import hashlib
import json
import os
import sys

import harness as h

CASES = {
    "smollm2": dict(lora_dropout=0.1),
    "qwen3, packed": dict(lora_dropout=0.1, model_name_or_path=f"{h.MODELS}/qwen3",
                          template="qwen3", cutoff_len=203, neat_packing=True,
                          global_batch_size=5),
    "llama, one sample a step": dict(lora_dropout=0.1, model_name_or_path=f"{h.MODELS}/llama",
                                     template="llama3", global_batch_size=1),
    "llama, bf16": dict(lora_dropout=0.1, model_name_or_path=f"{h.MODELS}/llama",
                        template="llama3", bf16=True),
    "gradients beyond the exact sum": dict(lora_alpha=1000000000, learning_rate=1e-12),
}
AGAIN = "gradients beyond the exact sum"  # each step is computed twice, the sums of the first dropped


def digest(value):
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def fingerprints(out):
    numbers = [[r.get(k) for k in ("step", "loss", "grad_norm", "learning_rate", "eval_loss")]
               for r in h.read_steps(out) if "loss" in r or "eval_loss" in r]
    return h.sha256(h.adapter(out)), digest(h.losses(out)), digest(numbers)


def main():
    h.require_program()
    checks = h.Checks("same_bits")
    rank_counts = [int(r) for r in os.environ.get("RANKS", "1,2,3,4,5,8").split(",")]
    apart = []
    for number, (name, changes) in enumerate(CASES.items()):
        yaml = h.write_yaml(checks.path(f"{number}.yaml"), **changes)
        counts = rank_counts if number == 0 else [r for r in rank_counts if r in (1, 3, 4)]
        runs = [(ranks, 1) for ranks in counts] + [(1, 3), (2, 2)]
        seen = {}
        for ranks, threads in runs:
            run = f"{ranks}x{threads}"
            out = checks.path(f"{number}-{run}")
            # A cache of its own: the sample store is written by as many ranks, too.
            result = h.run(ranks, ["train", yaml, f"output_dir={out}", f"threads_per_rank={threads}",
                                   f"cache_dir={checks.path(f'cache{number}-{run}')}"])
            if checks.check(f"{name}: {ranks} ranks of {threads} threads train", result.code == 0,
                            result.tail()):
                apart += [(name, run)] * (", one on each thread" in result.text)
                seen[run] = fingerprints(out)
                checks.check(f"{name}: {ranks} ranks take a coarser sum where they must, and only there",
                             result.text.count("with a coarser one") == (20 if name == AGAIN else 0),
                             result.tail())
        for i, what in enumerate(("adapter", "logged losses", "numbers of every step")):
            values = {f[i] for f in seen.values()}
            checks.check(f"{name}: one SHA-256 of the {what} on {list(seen)} ranks x threads: "
                         f"{next(iter(values), 'none')[:16]}",
                         len(values) == 1 and len(seen) == len(runs), str(seen))
        if seen:
            steps = [s for s, _ in h.losses(checks.path(f"{number}-{next(iter(seen))}"))]
            checks.check(f"{name}: 20 steps are logged", steps == list(range(1, 21)), str(steps))
    checks.check("threads have passes of their own where rows are many, and share them where they are few",
                 {("smollm2", "1x3"), ("smollm2", "2x2")} <= set(apart) and
                 ("llama, one sample a step", "1x3") not in apart, str(apart))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
