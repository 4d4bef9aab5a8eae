#!/usr/bin/env python3
"""GFLOP/s of torch's own products of 2048 x 2048 x 2048 on one thread, the best of five: float32, then bfloat16.

    $ORACLE_PYTHON tests/bench/torch_rate.py
"""

import time

import torch

SIDE = 2048


def rate(dtype):
    a, best = torch.rand(SIDE, SIDE).to(dtype), float("inf")
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, a)
        best = min(best, time.perf_counter() - start)
    return 2 * SIDE**3 / best * 1e-9


torch.set_num_threads(1)
print(f"float32 {rate(torch.float32):.1f} GFLOP/s, bfloat16 {rate(torch.bfloat16):.1f} GFLOP/s")
