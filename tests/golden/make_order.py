#!/usr/bin/env python3
"""Permutations by PyTorch, NumPy and datasets, for tests/unit/data/test_order.c.

usage: $ORACLE_PYTHON tests/golden/make_order.py   writes tests/golden/data/order.json

A long permutation is kept as its hash: h = h * 1099511628211 + element, from 0, mod 2^64.
--large also prints the hash of PyTorch's permutation above its algorithm's threshold (4 GB of memory).
"""
import json
import os
import sys

import datasets
import numpy as np
import torch


def entry(n, seed, values):
    values = [int(v) for v in values]
    out = {"n": n, "seed": seed, "count": len(values)}
    if len(values) <= 64:
        out["values"] = values
    h = 0
    for v in values:
        h = (h * 1099511628211 + v) % 2**64
    out["hash"] = f"{h:016x}"
    return out


def torch_permutation(n, seed):
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def legacy(seed, sets):
    """numpy.random.seed(seed), then num_samples of each (rows, wanted) as LLaMA-Factory draws them."""
    np.random.seed(seed)
    out = []
    for n, want in sets:
        rows = np.random.permutation(n)[:want]
        if want > len(rows):
            rows = np.concatenate((rows, np.random.choice(n, want - len(rows))), axis=0)
        out.append(entry(n, seed, rows))
    return out


def split(n, seed, val_size):
    size = int(val_size) if val_size > 1 else val_size
    table = datasets.Dataset.from_dict({"row": list(range(n))})
    parts = table.train_test_split(test_size=size, seed=seed)
    return {"val_size": val_size, "eval": entry(n, seed, parts["test"]["row"]),
            "train": entry(n, seed, parts["train"]["row"])}


def main():
    if "--large" in sys.argv:
        n = (2**32 - 1) // 20
        values = torch_permutation(n, 42).numpy().astype(np.uint64)
        h = np.uint64(0)
        for v in values[:1000]:
            h = np.uint64((int(h) * 1099511628211 + int(v)) % 2**64)
        print(n, f"{int(h):016x}", values[:4])
        return
    sizes = [1, 2, 3, 7, 10, 64, 623, 624, 625, 1000, 1090, 65537]
    seeds = [0, 1, 42, 43, 2**32 - 1, 2**32 + 5]
    golden = {
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "datasets": datasets.__version__},
        "torch": [entry(n, s, torch_permutation(n, s)) for n in sizes for s in seeds],
        "numpy": [entry(n, s, np.random.default_rng(s).permutation(n)) for n in sizes for s in seeds],
        "legacy": legacy(42, [(10, 4), (91, 91), (5, 60), (1, 3), (1000, 1500)]),
        "split": [split(n, s, v) for n, s, v in
                  [(10, 42, 0.1), (10, 42, 3), (1090, 42, 0.1), (1090, 7, 0.015), (1000, 42, 100), (3, 0, 0.5)]],
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "order.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(golden, f, indent=None, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
