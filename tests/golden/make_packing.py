#!/usr/bin/env python3
"""Packed rows by LLaMA-Factory over datasets' map, for tests/unit/data/test_packing.c.

usage: $ORACLE_PYTHON tests/golden/make_packing.py   writes tests/golden/data/packing.json

Each sample is made of copies of its own index, so a packed row tells which samples it holds.
"""
import json
import os
import random
import tempfile

import datasets
import llamafactory
from llamafactory.data.processor.supervised import PackedSupervisedDatasetProcessor


class Args:
    pass


class Tokenizer:
    pad_token_id = -1


class Processor(PackedSupervisedDatasetProcessor):
    def _encode_data_example(self, prompt, response, system, tools, images, videos, audios):
        index, length = (int(x) for x in response[0]["content"].split())
        return [index] * length, [index] * length


def pack(lengths, cutoff_len, workers, window):
    args = Args()
    args.cutoff_len = cutoff_len - 1
    args.neat_packing = False
    rows = {k: [] for k in ("_prompt", "_response", "_system", "_tools", "_images", "_videos", "_audios")}
    for i, length in enumerate(lengths):
        valid = length >= 0
        rows["_prompt"].append([{"role": "user", "content": "x"}] if valid else [])
        rows["_response"].append([{"role": "assistant", "content": f"{i} {length}"}])
        rows["_system"].append("")
        rows["_tools"].append("")
        for k in ("_images", "_videos", "_audios"):
            rows[k].append(None)
    table = datasets.Dataset.from_dict(rows)
    processor = Processor(template=None, tokenizer=Tokenizer(), processor=None, data_args=args)
    out = table.map(processor.preprocess_dataset, batched=True, batch_size=window, num_proc=workers,
                    remove_columns=table.column_names, load_from_cache_file=False)
    packed = []
    for ids in out["input_ids"]:
        assert len(ids) == cutoff_len
        members = []
        for i in ids:
            if i >= 0 and (not members or members[-1] != i):
                members.append(i)
        packed.append(members)
    return {"lengths": lengths, "cutoff_len": cutoff_len, "workers": workers or 0, "window": window, "rows": packed}


def main():
    rng = random.Random(7)
    cases = []
    for n, cutoff, workers, window in [(1, 8, None, 1000), (7, 33, None, 3), (40, 65, 4, 7), (100, 50, 3, 1000),
                                       (257, 129, None, 1000), (300, 100, 7, 13), (5, 20, 9, 2)]:
        lengths = [-1 if rng.random() < 0.05 else rng.randint(1, cutoff - 1 if rng.random() < 0.3 else cutoff // 3)
                   for _ in range(n)]
        lengths[0] = max(lengths[0], 1)
        cases.append(pack(lengths, cutoff, workers, window))
    cases.append(pack([8, 8, 9, 4, 20, 4, 4], 10, None, 1000))
    golden = {"versions": {"llamafactory": llamafactory.extras.env.VERSION, "datasets": datasets.__version__},
              "cases": cases}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "packing.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(golden, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HF_HOME", folder)
        main()
