#!/usr/bin/env python3
"""Expected values for optim: AdamW and clipping from torch, rates from transformers.

usage: make_optim.py [FOLDER]     (default: optim beside this file)

adamw.txt      ten steps of torch.optim.AdamW(fused=True) on 37 numbers, clipping before each
schedules.txt  rates of every step for each kind and many settings
Numbers are hexadecimal floats, so that reading them loses nothing.
"""
import os
import sys

import torch
import transformers
from transformers import get_scheduler

FOLDER = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "optim")


def hexes(numbers):
    return " ".join(float(x).hex() for x in numbers)


def adamw(out):
    settings = [
        # beta1, beta2, epsilon, decay, max_norm
        (0.9, 0.999, 1e-8, 0.0, 1.0),
        (0.9, 0.95, 1e-8, 0.1, 0.25),
        (0.3, 0.5, 1e-3, 0.01, 0.0),
    ]
    count, steps = 37, 10
    for beta1, beta2, epsilon, decay, max_norm in settings:
        generator = torch.Generator().manual_seed(7)
        p = torch.nn.Parameter(torch.randn(count, generator=generator) * 0.1)
        optimizer = torch.optim.AdamW([p], lr=1.0, betas=(beta1, beta2), eps=epsilon, weight_decay=decay, fused=True)
        print("case", count, steps, hexes([beta1, beta2, epsilon, decay, max_norm]), file=out)
        print(hexes(p.detach()), file=out)
        for step in range(steps):
            rate = 1e-3 * step
            p.grad = torch.randn(count, generator=generator) * 10.0 ** (step % 4 - 2)
            optimizer.param_groups[0]["lr"] = rate
            print(hexes([rate]), hexes(p.grad), file=out)
            norm = torch.nn.utils.clip_grad_norm_([p], max_norm if max_norm > 0 else float("inf"))
            optimizer.step()
            state = optimizer.state[p]
            print(hexes([norm]), hexes(p.grad), file=out)
            print(hexes(p.detach()), hexes(state["exp_avg"]), hexes(state["exp_avg_sq"]), file=out)


CASES = [
    ("linear", {}),
    ("cosine", {}),
    ("cosine", {"num_cycles": 1.5}),
    ("cosine_with_restarts", {}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("cosine_with_min_lr", {"min_lr": 1e-5}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1, "num_cycles": 0.75}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1}),
    ("cosine_warmup_with_min_lr", {"min_lr": 2e-6, "warmup_lr_rate": 0.01}),
    ("polynomial", {}),
    ("polynomial", {"lr_end": 1e-6, "power": 2.5}),
    ("constant", {}),
    ("constant_with_warmup", {}),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 40}),
    ("warmup_stable_decay", {}),
    ("warmup_stable_decay", {"num_decay_steps": 4, "min_lr_ratio": 0.05}),
    ("warmup_stable_decay", {"num_stable_steps": 2, "warmup_type": "cosine", "decay_type": "linear"}),
    ("warmup_stable_decay", {"warmup_type": "1-sqrt", "decay_type": "1-sqrt", "min_lr_ratio": 0.2}),
    ("warmup_stable_decay", {"num_cycles": 1.25, "num_stable_steps": 0, "num_decay_steps": 100}),
]


def schedules(out):
    for kind, given in CASES:
        for warmup, total in [(0, 10), (3, 31), (1, 7), (10, 97), (12, 12), (20, 9)]:
            rate = 1.3e-4
            options = dict(given)
            if kind == "warmup_stable_decay":  # as LLaMA-Factory 0.9.5 fills in
                rest = total - warmup
                options.setdefault("num_stable_steps", rest // 3)
                options.setdefault("num_decay_steps", rest - rest // 3)
                if rest < 0:
                    continue
            p = torch.nn.Parameter(torch.zeros(1))
            optimizer = torch.optim.SGD([p], lr=rate)
            scheduler = get_scheduler(kind, optimizer, warmup, total, options or None)
            rates = []
            for step in range(total):
                rates.append(scheduler.get_last_lr()[0])
                optimizer.step()
                if step + 1 < total:
                    scheduler.step()
            print("case", kind, rate.hex(), warmup, total, len(given), *[f"{k} {v}" for k, v in given.items()], file=out)
            print(hexes(rates), file=out)


def main():
    os.makedirs(FOLDER, exist_ok=True)
    note = f"# torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}"
    for name, write in [("adamw.txt", adamw), ("schedules.txt", schedules)]:
        with open(os.path.join(FOLDER, name), "w", encoding="ascii") as out:
            print(note, file=out)
            write(out)


main()
