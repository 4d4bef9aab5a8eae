#!/usr/bin/env python3
"""PEFT loads adapter folders that lowrank writes, and lowrank those that PEFT writes.

    make BUILD=build/oracle LAYERS="base tensor format lora" build/oracle/liblowrank.a
    mpicc -std=c11 -D_GNU_SOURCE -fopenmp -Iinclude -o build/oracle/adapter_driver tests/oracle/adapter_driver.c \
        build/oracle/liblowrank.a $(pkg-config --libs jansson libxxhash) -lm
    $ORACLE_PYTHON tests/oracle/adapter_roundtrip.py --driver build/oracle/adapter_driver MODEL_FOLDER...

or, for a folder that a run has left:

    $ORACLE_PYTHON tests/oracle/adapter_roundtrip.py --adapter FOLDER MODEL_FOLDER

For every model and setting: PEFT finds every tensor it wants and no other, has the numbers of the file, computes
other logits with the adapter than without, and writes both files back byte by byte (but for the order of
target_modules, which in PEFT comes from a set). Then lowrank reads PEFT's folder and writes the same bytes again.
Exit status 1 at the first difference.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

SETTINGS = [  # targets, rank, alpha (0: twice the rank), dropout, rslora
    ("all", 8, 0, 0.0, 0),
    ("q_proj,v_proj", 3, 5, 0.05, 0),
    ("o_proj,model.layers.0.mlp.down_proj", 16, 12, 0.1, 1),
]


def load(model):
    return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)


def linears(model):
    modules = load(model).named_modules()
    return "".join(f"{name} {m.in_features} {m.out_features}\n" for name, m in modules if isinstance(m, torch.nn.Linear))


def read_config(folder):
    with open(os.path.join(folder, "adapter_config.json"), encoding="utf-8") as file:
        text = file.read()
    config = json.loads(text)
    config["target_modules"].sort()
    return json.dumps(config, indent=2, sort_keys=True)


def read_bytes(folder):
    with open(os.path.join(folder, "adapter_model.safetensors"), "rb") as file:
        return file.read()


def must(condition, *what):
    if not condition:
        print("DIFFERS:", *what)
        sys.exit(1)


def same_folders(a, b):
    must(read_config(a) == read_config(b), "adapter_config.json", a, b)
    must(read_bytes(a) == read_bytes(b), "adapter_model.safetensors", a, b)


def peft_loads(model, folder, again):
    """PEFT on our folder; what it writes goes into again."""
    base = load(model)
    ids = torch.arange(1, 24).unsqueeze(0) % base.config.vocab_size
    with torch.no_grad():
        before = base(ids).logits
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # missing and unexpected keys are warnings there
        warnings.filterwarnings("ignore", message="Could not find a config file")
        tuned = PeftModel.from_pretrained(base, folder)
    file = load_file(os.path.join(folder, "adapter_model.safetensors"))
    found = {k.replace(".default.", "."): v for k, v in tuned.named_parameters() if "lora_" in k}
    must(found.keys() == file.keys(), "names", sorted(found.keys() ^ file.keys())[:4])
    for name, tensor in file.items():
        must(torch.equal(found[name], tensor), name)
    with torch.no_grad():
        after = tuned(ids).logits
    must(bool(torch.isfinite(after).all()) and (after - before).abs().max() > 1e-4, "logits do not change")
    tuned.save_pretrained(again)
    same_folders(folder, again)
    return len(file)


def peft_makes(model, setting, folder, base_name):
    targets, rank, alpha, dropout, rslora = setting
    names = sorted({n.rsplit(".", 1)[-1] for n in linear_names(model) if "lm_head" not in n}) if targets == "all" else targets.split(",")
    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=alpha or 2 * rank, lora_dropout=dropout,
                        use_rslora=bool(rslora), target_modules=names, base_model_name_or_path=base_name)
    tuned = get_peft_model(load(model), config)
    for name, p in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p)
    tuned.save_pretrained(folder)


def linear_names(model):
    return [line.split()[0] for line in linears(model).splitlines()]


def run(driver, *args, text):
    done = subprocess.run([driver, *map(str, args)], input=text, text=True, capture_output=True)
    must(done.returncode == 0, "driver:", done.stderr.strip())


def main():
    logging.disable_progress_bar()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--driver")
    parser.add_argument("--adapter")
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        if args.adapter:
            print(args.adapter, peft_loads(args.models[0], args.adapter, os.path.join(work, "again")), "tensors: same")
            return
        for k, model in enumerate(args.models):
            text = linears(model)
            for i, setting in enumerate(SETTINGS):
                ours, again, theirs, copy = (os.path.join(work, f"{k}-{i}-{name}") for name in ("ours", "again", "theirs", "copy"))
                run(args.driver, "new", *setting, ours, model, text=text)
                count = peft_loads(model, ours, again)
                peft_makes(model, setting, theirs, model)
                run(args.driver, "copy", theirs, copy, model, text=text)
                same_folders(theirs, copy)
                print(f"{model}: {setting}: {count} tensors: same")


main()
