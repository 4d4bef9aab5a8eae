#!/usr/bin/env python3
"""Compares our ids and labels with LLaMA-Factory's on a folder of its demo data, for every template.

    make BUILD=build/oracle LAYERS="base tensor format text" build/oracle/liblowrank.a
    mpicc -std=c11 -D_GNU_SOURCE -Iinclude -o build/oracle/template_driver tests/oracle/template_driver.c \
        build/oracle/liblowrank.a $(pkg-config --libs jansson libpcre2-8 libutf8proc libxxhash) -lm
    $ORACLE_PYTHON tests/oracle/template_compare.py --driver build/oracle/template_driver \
        --data FOLDER --tokenizer MODEL_FOLDER [--rows N] [--templates a,b] [--variants all]

The rows are those of identity.json, alpaca_en_demo.json, kto_en_demo.json, dpo_en_demo.json (chosen replies) and
mllm_demo.json without its images, turned into conversations by LLaMA-Factory's own converters. A template whose end
token the tokenizer lacks is said to be skipped. Exit status 1 when any row differs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import make_templates as golden  # noqa: E402

VARIANTS = {
    "plain": {},
    "cut": {"cutoff_len": 64},
    "mask": {"mask_history": True, "cutoff_len": 300},
    "prompt": {"train_on_prompt": True},
    "nothink": {"enable_thinking": False},
    "nullthink": {"enable_thinking": None, "mask_history": True},
}
SETS = {  # file: attributes of dataset_info.json
    "identity.json": ("alpaca", {}),
    "alpaca_en_demo.json": ("alpaca", {}),
    "kto_en_demo.json": ("sharegpt", {"messages": "messages", "role_tag": "role", "content_tag": "content",
                                      "user_tag": "user", "assistant_tag": "assistant"}),
    "mllm_demo.json": ("sharegpt", {"messages": "messages", "role_tag": "role", "content_tag": "content",
                                    "user_tag": "user", "assistant_tag": "assistant"}),
    "dpo_en_demo.json": ("sharegpt", {"messages": "conversations"}),
}


def conversations(folder, limit):
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import DatasetAttr
    from llamafactory.hparams import DataArguments

    out = []
    for name, (form, fields) in SETS.items():
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            print(f"{name}: not there")
            continue
        with open(path, encoding="utf-8") as f:
            rows = json.load(f)[:limit]
        attr = DatasetAttr(load_from="file", dataset_name=name, formatting=form)
        attr.prompt, attr.query, attr.response = "instruction", "input", "output"
        for key, value in fields.items():
            setattr(attr, key, value)
        convert = get_dataset_converter(form, attr, DataArguments())
        count = 0
        for row in rows:
            if name == "dpo_en_demo.json":
                row = {"conversations": row["conversations"] + [row["chosen"]]}
            text = json.dumps(row)
            for mark in ("<image>", "<video>", "<audio>"):
                text = text.replace(mark, "")
            got = convert(json.loads(text))
            if len(got["_response"]) == 1 and len(got["_prompt"]) % 2 == 1:
                out.append({"messages": got["_prompt"] + got["_response"], "system": got["_system"], "tools": got["_tools"]})
                count += 1
        print(f"{name}: {count} of {len(rows)} rows")
    return out


def ours(driver, folder, template, params, chats):
    """A list of results, or the message that the driver ended with."""
    with tempfile.TemporaryFile("w+") as f:
        f.write(json.dumps({"template": template, "params": params}) + "\n")
        f.writelines(json.dumps(c) + "\n" for c in chats)
        f.flush()
        f.seek(0)
        done = subprocess.run([driver, folder], stdin=f, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else [json.loads(line) for line in done.stdout.splitlines()]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--driver", required=True)
    ap.add_argument("--data", required=True)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--rows", type=int, default=None)
    ap.add_argument("--templates", default=",".join(golden.TEMPLATES))
    ap.add_argument("--variants", default="plain")
    args = ap.parse_args()
    oracle = golden.Oracle()
    chats = conversations(args.data, args.rows)
    names = list(VARIANTS) if args.variants == "all" else args.variants.split(",")
    bad = tokens = compared = 0
    for template in args.templates.split(","):
        for variant in names:
            params = VARIANTS[variant]
            if (variant == "prompt" and template == "gemma2") or ("think" in variant and template not in golden.THINKS):
                continue
            t0 = time.time()
            got = ours(args.driver, args.tokenizer, template, params, chats)
            t1 = time.time()
            if isinstance(got, str):
                print(f"{template} {variant}: skipped: {got}")
                continue
            want = oracle.encode_all(args.tokenizer, template, params, chats)
            wrong = [i for i, (a, b) in enumerate(zip(got, want)) if b is None or a.get("ids") != b[0] or a["labels"] != b[1]]
            wrong += [-1] if len(got) != len(want) else []
            tokens += sum(len(b[0]) for b in want if b)
            compared += len(want)
            bad += len(wrong)
            print(f"{template} {variant}: {len(want)} rows, {len(wrong)} differ; {t1 - t0:.1f} s, there {time.time() - t1:.1f} s")
            if wrong:
                print("  first:", wrong[0], json.dumps(chats[wrong[0]])[:300])
    print(f"{compared} rows, {tokens} tokens, {bad} rows differ")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
