#!/usr/bin/env python3
"""Tables that LLaMA-Factory's get_dataset() makes of small data sets, for tests/mpi/test_prepare.c.

usage: $ORACLE_PYTHON tests/golden/make_prepare.py   writes tests/golden/data/sets and tests/golden/data/prepare.json

The rows are made here from a fixed seed. Of each part only the number of rows and a hash is kept: h = h * 1099511628211 +
v mod 2^64 over length, (id, label) pairs, sample bounds and the number of labels that the loss counts. Padding at the
end of packed rows is left out.
"""
import contextlib
import json
import os
import random
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SETS = os.path.join(HERE, "data", "sets")
TOKENIZER = os.path.join(HERE, "tokenizers", "smollm2")

WORDS = "the cluster runs many jobs on its nodes and waits für 日本 😀 if x < y; print(1, 2)\n\n  {a}".split(" ")

CASES = [
    {"dataset": ["alpaca", "chats"], "cutoff_len": 256},
    {"dataset": ["chats", "folder"], "cutoff_len": 101, "neat_packing": True, "preprocessing_num_workers": 3,
     "preprocessing_batch_size": 7},
    {"dataset": ["alpaca"], "cutoff_len": 90, "packing": True, "max_samples": 31, "val_size": 0.2},
    {"dataset": ["more", "less", "alpaca"], "cutoff_len": 64, "max_samples": 50, "val_size": 17},
    {"dataset": ["folder"], "eval_dataset": ["chats", "less"], "eval_on_each_dataset": True, "cutoff_len": 128},
    {"dataset": ["folder"], "eval_dataset": ["chats", "more"], "cutoff_len": 33, "max_samples": 20},
]


def write_sets():
    rng = random.Random(11)

    def words(n):
        return " ".join(rng.choice(WORDS) for _ in range(n))

    def said(who, n):
        return {"from": who, "value": words(n)}

    os.makedirs(os.path.join(SETS, "folder"), exist_ok=True)
    alpaca = [{"instruction": words(rng.randint(1, 12)), "input": words(rng.randint(0, 5)),
               "output": words(rng.randint(1, 40))} for _ in range(90)]
    chats = []
    for i in range(40):
        turns = [said("system", 3)] if i % 4 == 0 else []
        for _ in range(rng.randint(1, 3)):
            turns += [said("human", rng.randint(1, 12)), said("gpt", rng.randint(1, 25))]
        if i % 9 == 4:
            turns.pop()
        if i % 13 == 7:
            turns.reverse()
        chats.append({"conversations": turns})

    def dump(name, rows, lines, indent=None, ascii_only=False):
        with open(os.path.join(SETS, name), "w", encoding="utf-8") as f:
            if lines:
                f.writelines(json.dumps(r, ensure_ascii=ascii_only) + "\n" for r in rows)
            else:
                json.dump(rows, f, ensure_ascii=ascii_only, indent=indent)

    dump("alpaca.json", alpaca, False, indent=1)
    dump("chats.jsonl", chats, True, ascii_only=True)
    dump("folder/a.json", alpaca[:25], False)
    dump("folder/b.json", alpaca[40:70], True)
    with open(os.path.join(SETS, "dataset_info.json"), "w", encoding="utf-8") as f:
        json.dump({"alpaca": {"file_name": "alpaca.json"},
                   "chats": {"file_name": "chats.jsonl", "formatting": "sharegpt"},
                   "folder": {"file_name": "folder"},
                   "more": {"file_name": "folder/a.json", "num_samples": 60},
                   "less": {"file_name": "chats.jsonl", "formatting": "sharegpt", "num_samples": 9}}, f, indent=1)
        f.write("\n")


def hash_rows(table, pad):
    h = 0

    def fold(v):
        nonlocal h
        h = (h * 1099511628211 + v) % 2**64

    for row in table:
        ids, labels, n = row["input_ids"], row["labels"], len(row["input_ids"])
        bounds = [0]
        if "position_ids" in row:
            positions = row["position_ids"]
            while positions[n - 1] == 0 and ids[n - 1] == pad and labels[n - 1] == -100:
                n -= 1
            bounds = [i for i in range(n) if positions[i] == 0]
        bounds.append(n)
        fold(n)
        for i in range(n):
            fold(ids[i])
            fold(labels[i])
        for b in bounds:
            fold(b)
        fold(sum(x != -100 for x in labels[1:n]))
    return f"{h:016x}"


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HF_HOME", folder)
        import datasets
        import llamafactory
        import transformers
        from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
        from llamafactory.hparams import DataArguments, ModelArguments

        write_sets()
        # folders are read there in the order the file system gives; here, and in the program, by name
        listdir = os.listdir
        os.listdir = lambda path: sorted(listdir(path))
        out = []
        for case in CASES:
            transformers.set_seed(42)
            args = {k: ",".join(v) if isinstance(v, list) else v for k, v in case.items()}
            data_args = DataArguments(template="smollm2", dataset_dir=SETS, **args)
            data_args.packing = bool(data_args.packing)
            train_args = transformers.Seq2SeqTrainingArguments(output_dir=os.path.join(folder, "o"), do_train=True,
                                                               seed=42, use_cpu=True, report_to="none")
            tokenizer = transformers.AutoTokenizer.from_pretrained(TOKENIZER, padding_side="right")
            template = get_template_and_fix_tokenizer(tokenizer, data_args)
            with contextlib.redirect_stdout(sys.stderr):
                module = get_dataset(template, ModelArguments(model_name_or_path=TOKENIZER), data_args, train_args,
                                     "sft", tokenizer)
            parts = {"train": module["train_dataset"]}
            evals = module.get("eval_dataset")
            if isinstance(evals, dict):
                parts.update({f"eval_{k}": v for k, v in evals.items()})
            elif evals is not None:
                parts["eval"] = evals
            out.append({**case, "sets": [{"name": k, "rows": len(v), "hash": hash_rows(v, tokenizer.pad_token_id)}
                                         for k, v in parts.items()]})
        golden = {"versions": {"llamafactory": llamafactory.extras.env.VERSION, "datasets": datasets.__version__,
                               "transformers": transformers.__version__}, "cases": out}
    with open(os.path.join(HERE, "data", "prepare.json"), "w", encoding="utf-8") as f:
        json.dump(golden, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
