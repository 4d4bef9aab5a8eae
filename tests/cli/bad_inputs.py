#!/usr/bin/env python3
"""Bad data rows and bad model folders: named by file, row and reason; no crash, no hang.

    tests/cli/bad_inputs.py
"""

import json
import os
import re
import shutil
import struct
import sys

import harness as h

GOOD = {"instruction": "Say one.", "input": "", "output": "One."}


def rows(bad, at=6, count=12):
    """JSONL text with one bad line; at is its line number."""
    lines = [json.dumps({**GOOD, "instruction": f"Say {i}."}) for i in range(count)]
    lines[at - 1] = bad
    return "\n".join(lines) + "\n"


# A bad row as text. None: a valid row would do (LLaMA-Factory drops it).
ROWS = {
    "no JSON": "{oops",
    "cut JSON": '{"instruction": "a", "output": ',
    "a list": "[1, 2]",
    "a number for text": '{"instruction": 5, "input": "", "output": "x"}',
    "no column": '{"input": "", "output": "x"}',
    "null for text": '{"instruction": null, "input": null, "output": null}',
    "broken UTF-8": '{"instruction": "a\udcff", "input": "", "output": "x"}',
    "half a surrogate pair": '{"instruction": "\\ud83d", "input": "", "output": "x"}',
    "deep nesting": "[" * 100000 + "]" * 100000,
    "a key twice": '{"instruction": "a", "instruction": "b", "input": "", "output": "x"}',
    "a huge number": '{"instruction": 1' + "0" * 5000 + ', "input": "", "output": "x"}',
    "history that is text": '{"instruction": "a", "input": "", "output": "x", "history": "no"}',
}

CHATS = {
    "roles out of order": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}],
    "an unknown role": [{"from": "alien", "value": "a"}, {"from": "gpt", "value": "b"}],
    "no text": [{"from": "human"}, {"from": "gpt", "value": "b"}],
    "an odd number of turns": [{"from": "human", "value": "a"}],
    "messages that are text": "hello",
}


def data_folder(checks, text, formatting="alpaca", suffix="jsonl"):
    folder = checks.path("data")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(os.path.join(folder, f"rows.{suffix}"), "w", encoding="utf-8",
              errors="surrogateescape") as f:
        f.write(text)
    entry = {"file_name": f"rows.{suffix}", "formatting": formatting}
    with open(os.path.join(folder, "dataset_info.json"), "w", encoding="utf-8") as f:
        json.dump({"rows": entry}, f)
    return folder


def train(checks, ranks, command="train", **changes):
    out = checks.path("out")
    shutil.rmtree(out, ignore_errors=True)
    yaml = h.write_yaml(checks.path("run.yaml"), output_dir=out, max_steps=2,
                        cache_dir=checks.path("cache"), **changes)
    return h.run(ranks, [command, yaml])


def one_error(checks, what, result, pattern=""):
    errors = result.errors()
    checks.check(f"{what}: exit 1 and exactly one error line",
                 result.code == 1 and len(errors) == 1, result.tail())
    if pattern:
        checks.check(f"{what}: says which", any(re.search(pattern, e) for e in errors),
                     f"{errors} has no {pattern}")


def bad_rows(checks):
    ranks = 1
    for what, bad in ROWS.items():
        ranks = ranks % 3 + 1
        folder = data_folder(checks, rows(bad))
        result = train(checks, ranks, dataset_dir=folder, dataset="rows")
        if result.code == 0:  # a choice that LLaMA-Factory's readers make, too
            checks.check(f"{what} on {ranks}: taken, nothing called an error", not result.errors())
            continue
        one_error(checks, f"{what} on {ranks}", result, r"rows\.jsonl.*\b6\b")
        result = train(checks, ranks, dataset_dir=folder, dataset="rows", on_bad_sample="skip")
        checks.check(f"{what} on {ranks}: skipped when told so",
                     result.code == 0 and re.search(r"\b1\b.*(?i:skip)|(?i:skip).*\b1\b", result.text),
                     result.tail())
    shutil.rmtree(checks.path("cache"), ignore_errors=True)
    folder = data_folder(checks, rows(ROWS["no JSON"]))
    one_error(checks, "a bad row, check", train(checks, 0, "check", dataset_dir=folder, dataset="rows"),
              r"rows\.jsonl.*\b6\b")
    plan = train(checks, 0, "check", dataset_dir=folder, dataset="rows", on_bad_sample="skip")
    checks.check("a bad row, check: skipped when told so, and nothing is written",
                 plan.code == 0 and re.search(r"^tokens +[1-9]", plan.text, re.M)
                 and not os.path.exists(checks.path("cache")), plan.tail())
    for what, messages in CHATS.items():
        good = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
        lines = [json.dumps(good)] * 8
        lines[4] = json.dumps({"conversations": messages})
        folder = data_folder(checks, "\n".join(lines) + "\n", "sharegpt")
        result = train(checks, 2, dataset_dir=folder, dataset="rows")
        checks.check(f"{what}: named or dropped with a line, no crash",
                     result.code in (0, 1) and len(result.errors()) == result.code
                     and re.search(r"\b5\b|(?i:drop|skip)", result.text), result.tail())


def bad_files(checks):
    cases = {
        "an empty file": ("", "jsonl"), "no rows": ("[]", "json"), "an object": ("{}", "json"),
        "a list cut short": ('[{"instruction": "a", "input": "", "output": "x"},', "json"),
        "only blank lines": ("\n\n\n", "jsonl"),
        "text after the list": (json.dumps([GOOD]) + "x", "json"),
    }
    for what, (text, suffix) in cases.items():
        folder = data_folder(checks, text, suffix=suffix)
        one_error(checks, what, train(checks, 2, dataset_dir=folder, dataset="rows"), r"rows")
    folder = data_folder(checks, rows(json.dumps(GOOD)))
    for text, what in (("", "empty"), ("[1]", "a list"), ('{"rows": {}}', "no file named"),
                       ('{"rows": {"file_name": "none.json"}}', "a file that is not there"),
                       ('{"rows": {"file_name": "../../../etc/passwd"}}', "no data at all"),
                       ('{"rows": {"file_name": "rows.jsonl", "ranking": true}}', "ranking")):
        with open(os.path.join(folder, "dataset_info.json"), "w", encoding="utf-8") as f:
            f.write(text)
        one_error(checks, f"dataset_info.json: {what}",
                  train(checks, 2, dataset_dir=folder, dataset="rows"))


def model_copy(checks, name="smollm2"):
    folder = checks.path("model")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    source = os.path.join(h.ROOT, h.MODELS, name)
    for file in os.listdir(source):
        if os.path.isfile(os.path.join(source, file)) and not file.startswith(("grads", "logits")):
            shutil.copy(os.path.join(source, file), folder)  # follows links
    return folder


def edit_json(folder, name, **changes):
    path = os.path.join(folder, name)
    content = {**h.read_json(path), **changes}
    with open(path, "w", encoding="utf-8") as f:
        json.dump({k: v for k, v in content.items() if v is not ...}, f)


def weights_with(folder, edit):
    """Rewrites the safetensors header by edit(header)."""
    path = os.path.join(folder, "model.safetensors")
    with open(path, "rb") as f:
        length = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(length))
        data = f.read()
    edit(header)
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def rename_tensor(header):
    header["nobody"] = header.pop("model.layers.1.mlp.up_proj.weight")


def reshape_tensor(header):
    header["model.layers.0.self_attn.q_proj.weight"]["shape"].reverse()
    header["model.layers.0.mlp.up_proj.weight"]["shape"].reverse()


def push_out(header):
    header["model.norm.weight"]["data_offsets"] = [0, 1 << 60]


def backwards(header):
    header["model.norm.weight"]["data_offsets"].reverse()


def other_type(header):
    header["model.norm.weight"]["dtype"] = "F8_E4M3"


MODEL_EDITS = {
    "config.json that is no JSON": lambda d: open(os.path.join(d, "config.json"), "w").write("{"),
    "no config.json": lambda d: os.remove(os.path.join(d, "config.json")),
    "an unknown architecture": lambda d: edit_json(d, "config.json", model_type="mamba",
                                                   architectures=["MambaForCausalLM"]),
    "heads that do not divide": lambda d: edit_json(d, "config.json", num_key_value_heads=4),
    "a width of zero": lambda d: edit_json(d, "config.json", hidden_size=0),
    "a huge number of layers": lambda d: edit_json(d, "config.json", num_hidden_layers=10**12),
    "a negative vocabulary": lambda d: edit_json(d, "config.json", vocab_size=-5),
    "another activation": lambda d: edit_json(d, "config.json", hidden_act="gelu"),
    "another rope scaling": lambda d: edit_json(d, "config.json",
                                                rope_scaling={"rope_type": "martian", "factor": 2.0}),
    "a vocabulary below the tokenizer's": lambda d: edit_json(d, "config.json", vocab_size=100),
    "no weights": lambda d: os.remove(os.path.join(d, "model.safetensors")),
    "empty weights": lambda d: os.truncate(os.path.join(d, "model.safetensors"), 0),
    "weights cut short": lambda d: os.truncate(os.path.join(d, "model.safetensors"), 60000),
    "weights cut in the header": lambda d: os.truncate(os.path.join(d, "model.safetensors"), 500),
    "a tensor missing": lambda d: weights_with(d, rename_tensor),
    "a tensor of another shape": lambda d: weights_with(d, reshape_tensor),
    "a tensor beyond the file": lambda d: weights_with(d, push_out),
    "offsets backwards": lambda d: weights_with(d, backwards),
    "a type nobody reads": lambda d: weights_with(d, other_type),
    "no tokenizer": lambda d: os.remove(os.path.join(d, "tokenizer.json")),
    "a tokenizer that is no JSON": lambda d: os.truncate(os.path.join(d, "tokenizer.json"), 5000),
    "a tokenizer of another kind": lambda d: edit_json(d, "tokenizer.json",
                                                       model={"type": "Unigram", "vocab": []}),
}


def bad_models(checks):
    for number, (what, edit) in enumerate(MODEL_EDITS.items()):
        folder = model_copy(checks)
        edit(folder)
        one_error(checks, f"model: {what}",
                  train(checks, (1, 3)[number % 2], model_name_or_path=folder),
                  re.escape(folder))
    folder = model_copy(checks, "mistral")
    os.remove(os.path.join(folder, "model-00002-of-00004.safetensors"))
    one_error(checks, "model: a shard missing",
              train(checks, 2, model_name_or_path=folder, template="mistral"), r"00002")
    folder = model_copy(checks)
    checks.check("a good copy of the model still trains",
                 train(checks, 2, model_name_or_path=folder).code == 0)


def main():
    h.require_program()
    # Every run fails, and mpirun would wait a second for the other ranks.
    os.environ.setdefault("OMPI_MCA_odls_base_sigkill_timeout", "0")
    checks = h.Checks("bad_inputs")
    bad_rows(checks)
    bad_files(checks)
    bad_models(checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
