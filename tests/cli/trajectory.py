#!/usr/bin/env python3
"""Hold training against LLaMA-Factory's runs of tests/golden/trajectories.

    tests/cli/trajectory.py [NAME ...]      RANKS=1,2,3

Every run of its YAML, on each number of ranks at the same global batch: loss
of every step within 5e-6 relative, grad_norm within 5e-5, learning rates
equal, evaluation loss within 5e-6, final adapter within 2e-3 of the distance
it moved; and one result for all numbers of ranks.
"""

import math
import os
import re
import sys

import harness as h

LIMITS = {"loss": 5e-6, "grad_norm": 5e-5, "learning_rate": 1e-15, "eval_loss": 5e-6}
ADAPTER_LIMIT = 2e-3


def yaml_value(text, key, default):
    found = re.search(rf"^{key}: *(.*)$", text, re.MULTILINE)
    return found.group(1).strip().strip('"') if found else default


def worst(want, got, key):
    """Largest relative difference of a quantity over the steps; None when steps differ."""
    a = [(r["step"], r[key]) for r in want if key in r]
    b = [(r["step"], r[key]) for r in got if key in r]
    if [s for s, _ in a] != [s for s, _ in b]:
        return None
    return max((abs(x - y) / max(abs(x), 1e-30) if x != y else 0.0
                for (_, x), (_, y) in zip(a, b)), default=0.0)


def exact_losses(checks, name, ranks, want, got):
    """Rows with loss_f64 for the loss, where the reference has it; says what that changes."""
    if "loss_f64" not in want[0]:
        return want
    exact = [{**r, "loss": r["loss_f64"]} if "loss" in r else r for r in want]
    checks.note(f"{name} on {ranks}: loss as logged there is {worst(want, got, 'loss'):.1e} from ours "
                f"and {worst(want, exact, 'loss'):.1e} from the cross-entropy of the same logits "
                "in float64, which counts")
    return exact


def compare(checks, name, ranks, golden, out, start):
    want, got = h.read_jsonl(os.path.join(golden, "steps.jsonl")), h.read_steps(out)
    want = exact_losses(checks, name, ranks, want, got)
    for key, limit in LIMITS.items():
        if not any(key in r for r in want):
            continue
        off = worst(want, got, key)
        good = off is not None and off <= limit
        checks.check(f"{name} on {ranks}: {key} {'of other steps' if off is None else f'{off:.1e}'}"
                     f" (limit {limit:.0e})", good)
    first, theirs = h.read_safetensors(start), h.read_safetensors(h.adapter(golden))
    ours = h.read_safetensors(h.adapter(out))
    if not checks.check(f"{name} on {ranks}: adapter has the tensors", ours.keys() == theirs.keys()):
        return
    off = h.distance(ours, theirs) / h.distance(first, theirs)
    checks.check(f"{name} on {ranks}: adapter {off:.1e} of its way (limit {ADAPTER_LIMIT:.0e})",
                 math.isfinite(off) and off <= ADAPTER_LIMIT)


def main():
    h.require_program()
    checks = h.Checks("trajectory")
    rank_counts = [int(r) for r in os.environ.get("RANKS", "1,2,3").split(",")]
    base = os.path.join(h.ROOT, h.TRAJECTORIES)
    names = sys.argv[1:] or sorted(
        d for d in os.listdir(base) if os.path.exists(os.path.join(base, d, "run.yaml")))
    for name in names:
        golden = os.path.join(base, name)
        yaml = os.path.join(golden, "run.yaml")
        with open(yaml, encoding="utf-8") as f:
            text = f.read()
        batch = int(yaml_value(text, "per_device_train_batch_size", "1")) * int(
            yaml_value(text, "gradient_accumulation_steps", "1"))
        start = h.adapter(os.path.join(h.ROOT, yaml_value(text, "adapter_name_or_path", "")))
        bits = set()
        for ranks in rank_counts:
            out = checks.path(f"{name}-{ranks}")
            result = h.run(ranks, ["train", yaml, f"output_dir={out}", f"global_batch_size={batch}",
                                   "threads_per_rank=1", f"cache_dir={checks.path('cache')}"])
            if not checks.check(f"{name} on {ranks}: trains", result.code == 0, result.tail()):
                continue
            compare(checks, name, ranks, golden, out, start)
            bits.add(h.sha256(h.adapter(out)))
        checks.check(f"{name}: one adapter on {rank_counts} ranks", len(bits) == 1)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
