#!/usr/bin/env python3
"""Expected texts for report, from Python's json, transformers' trainer and LLaMA-Factory's callback.

usage: make_report.py [FOLDER]     (default: report beside this file)

numbers.txt     a hexadecimal float, its JSON, and it rounded to 2 and to 4 digits
durations.txt   seconds and str(timedelta)
trainer_log.jsonl, trainer_state.json, *_results.json   of the records that test_trainer_log.c has too
"""
import json
import os
import struct
import sys
import types
from datetime import timedelta

import numpy
from transformers import trainer_pt_utils
from transformers.trainer_callback import TrainerControl, TrainerState
from llamafactory.train import callbacks

FOLDER = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "report")


def numbers(out):
    generator = numpy.random.default_rng(5)
    values = [0.0, -0.0, 1.0, -1.5, 0.1, 1e-4, 9.999e-5, 1e-5, 1e15, 1e16, 123456789012345678.0, 5e-324, 1.7976931348623157e308,
              2.5, 0.125, 0.375, 2.675, 1e22, 1e23, 100.0, 33.333333333333336, 0.30000000000000004, 4.35, 0.00005, 0.00015]
    values += [struct.unpack("<d", generator.bytes(8))[0] for _ in range(200)]
    values += list(generator.random(100)) + list(generator.random(50) * 1e4) + list(numpy.float32(generator.random(50)))
    for x in map(float, values):
        if x == x and abs(x) != float("inf"):
            print(x.hex(), json.dumps(x), json.dumps(round(x, 2)), json.dumps(round(x, 4)), file=out)


def durations(out):
    for s in [0, 0.99, 1, 59.9, 60, 3599, 3600, 86399, 86400, 86401.5, 172800, 400000, 86400 * 365]:
        print(repr(float(s)), str(timedelta(seconds=int(s))), file=out)


TRAIN = [
    dict(step=2, epoch=0.5, loss=2.3456789, grad_norm=1.25, learning_rate=0.0),
    dict(step=4, epoch=1.0, loss=float("nan"), grad_norm=float("nan"), learning_rate=9.5e-05),
]
EVAL = dict(step=4, epoch=1.0, loss=1.75, runtime=2.00006, samples=7, steps=4)
END = dict(step=6, epoch=1.5, total_flos=123456789012345678.0, train_loss=1.9, runtime=10.5, samples=12, steps=6)


def speed(split, runtime, samples, steps):
    """transformers.trainer_utils.speed_metrics for a runtime that is known"""
    return {f"{split}_runtime": round(runtime, 4), f"{split}_samples_per_second": round(samples / runtime, 3),
            f"{split}_steps_per_second": round(steps / runtime, 3)}


def records():
    state = TrainerState(max_steps=6, num_train_epochs=2, logging_steps=2, save_steps=500, eval_steps=500, train_batch_size=2)
    args = types.SimpleNamespace(should_save=True, output_dir=FOLDER)
    log = callbacks.LogCallback()
    log.on_train_begin(args, state, TrainerControl())
    clock = 1000.0

    def add(step, entry):
        nonlocal clock
        clock += 10
        state.global_step = step
        state.epoch = entry["epoch"]
        state.log_history.append({**entry, "step": step})
        log.on_log(args, state, TrainerControl())

    callbacks.time = types.SimpleNamespace(time=lambda: clock)
    log.start_time = 1000.0
    for r in TRAIN:
        add(r["step"], {"loss": r["loss"], "grad_norm": r["grad_norm"], "learning_rate": r["learning_rate"], "epoch": r["epoch"]})
    evaluation = {"eval_loss": EVAL["loss"], **speed("eval", EVAL["runtime"], EVAL["samples"], EVAL["steps"]), "epoch": EVAL["epoch"]}
    add(EVAL["step"], evaluation)
    summary = {**speed("train", END["runtime"], END["samples"], END["steps"]), "total_flos": END["total_flos"],
               "train_loss": END["train_loss"], "epoch": END["epoch"]}
    add(END["step"], summary)
    log.on_train_end(args, state, TrainerControl())
    state.total_flos = END["total_flos"]
    control = TrainerControl(should_training_stop=True, should_save=True)
    state.stateful_callbacks["TrainerControl"] = control.state()
    state.save_to_json(os.path.join(FOLDER, "trainer_state.json"))
    trainer = types.SimpleNamespace(args=args, is_world_process_zero=lambda: True)
    trainer_pt_utils.save_metrics(trainer, "train", summary)
    trainer_pt_utils.save_metrics(trainer, "eval", evaluation)


def main():
    os.makedirs(FOLDER, exist_ok=True)
    for name in os.listdir(FOLDER):
        os.remove(os.path.join(FOLDER, name))
    for name, write in [("numbers.txt", numbers), ("durations.txt", durations)]:
        with open(os.path.join(FOLDER, name), "w", encoding="ascii") as out:
            write(out)
    records()


main()
