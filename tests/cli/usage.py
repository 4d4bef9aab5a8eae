#!/usr/bin/env python3
"""The command line: exit statuses, help, and mistakes in the configuration.

    tests/cli/usage.py

A mistake gives exactly one line that begins with 'error: ', names its
subject and, in a file, the line; exit status 2 for the command line, 1 for
the rest; on one rank and on several.
"""

import os
import re
import sys

import harness as h

# arguments, exit status, a pattern the message must have
COMMAND_LINES = (
    (["--help"], 0, r"lowrank train"),
    (["--version"], 0, r"\d+\.\d+"),
    (["keys"], 0, r"lora_rank"),
    (["info"], 0, r"(?i)blas"),
    ([], 2, r"train"),
    (["trian"], 2, r"'trian'"),
    (["train"], 2, r"(?i)file"),
    (["check"], 2, r"(?i)file"),
    (["--no-such-option"], 2, r"no-such-option"),
    (["train", "a.yaml", "notapair"], 2, r"notapair"),
    (["train", "/no/such/file.yaml"], 1, r"'/no/such/file\.yaml'"),
    (["check", "/no/such/file.yaml"], 1, r"'/no/such/file\.yaml'"),
)

# changed settings, a pattern of the message
SETTINGS = {
    "an unknown key": (dict(lora_rnak=8), r"'lora_rnak'.*lora_rank"),
    "rank 0": (dict(lora_rank=0), r"lora_rank"),
    "a word for a number": (dict(lora_rank="many"), r"lora_rank"),
    "a negative rate": (dict(learning_rate=-1.0), r"learning_rate"),
    "another stage": (dict(stage="dpo"), r"stage|dpo"),
    "quantisation": (dict(quantization_bit=4), r"quantization_bit"),
    "dora": (dict(use_dora=True), r"use_dora"),
    "an unknown scheduler": (dict(lr_scheduler_type="cosin"), r"cosin"),
    "an unknown template": (dict(template="lama3"), r"lama3"),
    "no model": (dict(model_name_or_path=...), r"model_name_or_path"),
    "a model folder that is not there": (dict(model_name_or_path="/no/such/model"),
                                         r"/no/such/model"),
    "a hub name that is not in the cache": (dict(model_name_or_path="Nobody/Nothing-1B"),
                                            r"Nobody/Nothing-1B"),
    "a data set that is not listed": (dict(dataset="chat"), r"'chat'"),
    "no data set": (dict(dataset=...), r"dataset"),
    "a data folder that is not there": (dict(dataset_dir="/no/such/data"), r"/no/such/data"),
    "a target that matches nothing": (dict(lora_target="q_porj"), r"q_porj"),
    "cutoff 0": (dict(cutoff_len=0), r"cutoff_len"),
    "val_size and eval_dataset": (dict(val_size=0.1, eval_dataset="chats"), r"val_size|eval_dataset"),
    "mask_history and train_on_prompt": (dict(mask_history=True, train_on_prompt=True),
                                         r"mask_history|train_on_prompt"),
    "an adapter that is not there": (dict(adapter_name_or_path="/no/such/adapter"),
                                     r"/no/such/adapter"),
    "an adapter of another model": (dict(adapter_name_or_path=f"{h.MODELS}/qwen3/adapter_all"),
                                    r"adapter"),
    "an output folder that is a file": (dict(output_dir="/dev/null"), r"/dev/null"),
    "a checkpoint that is not there": (dict(resume_from_checkpoint="/no/such/checkpoint-5"),
                                       r"/no/such/checkpoint-5"),
}

# text after the base, a pattern of the message; line numbers count
TEXTS = {
    "a key twice": ("lora_rank: 4\n", r":\d+: .*'lora_rank'"),
    "an open bracket": ("lora_target: [q_proj\n", r":\d+"),
    "a tab": ("a:\n\tb: 1\n", r":\d+"),
    "an alias bomb": ("a: &a [x,x]\nb: [*a,*a]\n", r":\d+"),
    "a reference to nothing": ("run_name: ${nothing}\n", r"nothing"),
    "bytes that are no UTF-8": ("run_name: \udcff\n", r"(?i)utf-8|invalid|:\d+"),
}


def one_error(checks, what, result, code, pattern):
    errors = result.errors()
    checks.check(f"{what}: exit status {code}", result.code == code, result.tail())
    checks.check(f"{what}: exactly one error line", len(errors) == 1, result.text[-400:])
    checks.check(f"{what}: says what and where", any(re.search(pattern, e) for e in errors),
                 f"{errors} has no {pattern}")


def command_lines(checks):
    for args, code, pattern in COMMAND_LINES:
        what = "lowrank " + " ".join(args)
        result = h.run(0, args)
        if code == 0:
            checks.check(f"{what}: exit status 0", result.code == 0, result.tail())
            checks.check(f"{what}: says it on standard output",
                         re.search(pattern, result.out) and not result.errors(), result.tail())
        else:
            one_error(checks, what, result, code, pattern)
    one_error(checks, "an unknown command on 3 ranks", h.run(3, ["trian"]), 2, r"'trian'")
    one_error(checks, "a file that is not there on 3 ranks", h.run(3, ["train", "/no/such.yaml"]), 1,
              r"'/no/such\.yaml'")


def mistakes(checks):
    out = {"output_dir": checks.path("out"), "cache_dir": checks.path("cache")}
    for number, (what, (changes, pattern)) in enumerate(SETTINGS.items()):
        yaml = h.write_yaml(checks.path("bad.yaml"), **{**out, **changes})
        ranks = (1, 3)[number % 2]
        one_error(checks, f"{what}, train on {ranks}", h.run(ranks, ["train", yaml]), 1, pattern)
        if number % 4 == 0 and "output_dir" not in changes:
            one_error(checks, f"{what}, check", h.run(0, ["check", yaml]), 1, pattern)
    for number, (what, (text, pattern)) in enumerate(TEXTS.items()):
        yaml = h.write_yaml(checks.path("bad.yaml"), **out)
        with open(yaml, "a", encoding="utf-8", errors="surrogateescape") as f:
            f.write(text)
        ranks = (2, 1)[number % 2]
        one_error(checks, f"{what}, train on {ranks}", h.run(ranks, ["train", yaml]), 1, pattern)
    checks.check("nothing was left behind", not os.path.exists(out["output_dir"]))


def overrides(checks):
    out = checks.path("out-pairs")
    yaml = h.write_yaml(checks.path("good.yaml"), output_dir=out, cache_dir=checks.path("cache"))
    result = h.run(2, ["train", yaml, "max_steps=2", "learning_rate=1e-4"])
    checks.check("key=value wins over the file", result.code == 0 and len(h.losses(out)) == 2,
                 result.tail())
    for name in ("adapter_model.safetensors", "adapter_config.json", "trainer_state.json",
                 "trainer_log.jsonl", "train_results.json", "all_results.json",
                 "tokenizer.json", "tokenizer_config.json"):
        checks.check(f"a run leaves {name}", os.path.exists(os.path.join(out, name)))
    one_error(checks, "a pair with an unknown key", h.run(2, ["train", yaml, "max_stesp=2"]), 1,
              r"max_stesp")
    before = sorted(os.listdir(checks.work))
    result = h.run(0, ["check", yaml, f"output_dir={checks.path('never')}",
                       f"cache_dir={checks.path('never-cache')}"])
    checks.check("check: exit status 0", result.code == 0, result.tail())
    checks.check("check: prints steps and memory",
                 re.search(r"(?i)step", result.out) and re.search(r"(?i)memory", result.out),
                 result.tail())
    checks.check("check: writes nothing", sorted(os.listdir(checks.work)) == before,
                 str(os.listdir(checks.work)))


def main():
    h.require_program()
    # Most runs fail, and mpirun would wait a second for the other ranks.
    os.environ.setdefault("OMPI_MCA_odls_base_sigkill_timeout", "0")
    checks = h.Checks("usage")
    command_lines(checks)
    mistakes(checks)
    overrides(checks)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
