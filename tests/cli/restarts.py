#!/usr/bin/env python3
"""Which state a start goes on from, what it says about it, and what it never loses.

    tests/cli/restarts.py
"""

import os
import re
import shutil
import sys

import harness as h

REQUEUED = {"SLURM_RESTART_COUNT": "1"}
STEPS = 6


class Runs:
    def __init__(self, checks):
        self.checks = checks
        self.yaml = h.write_yaml(checks.path("run.yaml"), max_steps=STEPS, save_strategy="steps", save_steps=2,
                                 overwrite_output_dir=False, cache_dir=checks.path("cache"))

    def start(self, out, *pairs, ranks=2, env=None):
        return h.run(ranks, ["train", self.yaml, f"output_dir={out}", *pairs], env=env)

    def copy(self, name):
        out = self.checks.path(name)
        shutil.copytree(self.checks.path("done"), out, symlinks=True)
        return out

    def goes_on(self, what, result, step):
        found = re.search(r"going on after step (\d+)", result.text)
        self.checks.check(f"{what}: it ends, having gone on after step {step}",
                          result.code == 0 and found is not None and int(found.group(1)) == step, result.tail())

    def refuses(self, what, result, *words):
        self.checks.check(f"{what}: refused, and why", result.code == 1 and all(w in result.text for w in words),
                          result.tail())


def states(out):
    return sorted(os.listdir(os.path.join(out, "state")))


def named_checkpoints(runs, wanted):
    """resume_from_checkpoint: a folder."""
    from_2 = f"resume_from_checkpoint={runs.checks.path('done')}/checkpoint-2"
    out = runs.checks.path("named")
    runs.goes_on("a named checkpoint", runs.start(out, from_2), 2)
    runs.checks.check("its adapter is that of the run", h.sha256(h.adapter(out)) == wanted)
    runs.goes_on("the same again", runs.start(out, from_2), 2)
    runs.goes_on("the same requeued, from the newest of its own", runs.start(out, from_2, env=REQUEUED), STEPS)
    before = states(out)
    for pairs in ((), ("overwrite_output_dir=true",)):
        runs.refuses(f"a checkpoint of another run {' '.join(pairs)}",
                     runs.start(out, from_2, "learning_rate=1e-3", *pairs), "resume_from_checkpoint", "another run")
    runs.refuses("going on with another learning rate", runs.start(
        out, "resume_from_checkpoint=true", "overwrite_output_dir=true", "learning_rate=1e-3", "seed=7"),
                 "another run", "learning_rate: 0.002 (here 0.001)", "seed: 42 (here 7)")
    epochs = runs.start(out, "max_steps=-1", "num_train_epochs=1", "seed=7")  # a line more than the state has
    runs.refuses("going on in epochs", epochs, "another run", f"max_steps: {STEPS} (here -1)", "seed: 42 (here 7)")
    runs.checks.check("and what is equal is not named", "lora_rank" not in epochs.errors()[0], epochs.tail())
    runs.checks.check("and no state of the folder is lost", states(out) == before, str(states(out)))
    none = runs.start(runs.checks.path("none"), "resume_from_checkpoint=true", "max_steps=1")
    runs.checks.check("going on where nothing is says so",
                      none.code == 0 and "start: from step 0, since there is no state in" in none.text, none.tail())


def unwritable_folders(runs):
    """check finds what train would: the folder cannot be made."""
    for command in ("check", "train"):
        for out in (runs.yaml, f"{runs.yaml}/below/more"):
            result = h.run(0, [command, runs.yaml, f"output_dir={out}"])
            runs.checks.check(f"{command}: output_dir {out} is refused", result.code == 1 and
                              len(result.errors()) == 1 and f"'output_dir' is '{out}'" in result.text, result.tail())


def unreadable_states(runs):
    """Not damaged: they may be read later, so nothing is started over."""
    out = runs.copy("unreadable")
    os.rename(f"{out}/state/step-{STEPS}.h5", f"{out}/away.h5")
    os.symlink("nowhere", f"{out}/state/step-{STEPS}.h5")
    before = states(out)
    runs.refuses("a state that cannot be read", runs.start(out), "cannot read", f"step-{STEPS}.h5")
    runs.checks.check("and nothing is lost", states(out) == before, str(states(out)))
    os.rename(f"{out}/away.h5", f"{out}/state/step-{STEPS}.h5")
    runs.goes_on("the same when it can be read again", runs.start(out), STEPS)


def damaged_states(runs):
    """Several states and none whole: something is wrong with the disk, and somebody may still mend it."""
    out = runs.copy("damaged")
    found = [os.path.join(where, name) for where, _, files in os.walk(out) for name in files
             if re.fullmatch(r"state\.h5|step-\d+\.h5", name)]
    for path in found:
        os.truncate(path, os.path.getsize(path) // 2)
    before = states(out)
    os.remove(h.adapter(out))  # as of a run that was interrupted
    runs.refuses("damaged states alone", runs.start(out), f"none of the {len(found)} states")
    runs.checks.check("and nothing is lost", states(out) == before, str(states(out)))
    shutil.rmtree(f"{out}/state")
    for folder in os.listdir(out):
        if folder.startswith("checkpoint-"):
            shutil.rmtree(f"{out}/{folder}")
    result = runs.start(out)
    runs.checks.check("without them it starts over", result.code == 0 and "going on" not in result.text, result.tail())


def batches(runs):
    """Without global_batch_size the batch of a rank belongs to the run; the number of ranks does not."""
    def accumulated(batch, steps, ranks):
        return runs.start(runs.checks.path("batches"), "global_batch_size=null", f"per_device_train_batch_size={batch}",
                          f"gradient_accumulation_steps={steps}", ranks=ranks)

    first = accumulated(1, 4, 2)
    runs.refuses("a global batch that is named", runs.start(runs.checks.path("batches"), "global_batch_size=4"),
                 "another run")
    runs.checks.check("a run of 2 x 1 x 4 rows a step", first.code == 0, first.tail())
    runs.refuses("another batch", accumulated(1, 2, 2), "another run")
    again = accumulated(2, 2, 3)
    runs.goes_on("the same batch otherwise, on 3 ranks", again, STEPS)
    runs.checks.check("which keeps the step's rows and says so",
                      "the global batch stays 8 rows; a new run on 3 ranks would have 12" in again.text, again.tail())


def evaluations(runs):
    """One line for each set and step, under the set's name, whenever the run was killed."""
    out = runs.checks.path("evaluations")
    sets = ("eval_dataset=short_alpaca,chats", "eval_on_each_dataset=true")
    runs.checks.check("a run that evaluates nothing", runs.start(out, *sets).code == 0)
    os.remove(f"{out}/state/step-{STEPS}.h5")
    shutil.rmtree(f"{out}/checkpoint-{STEPS}")
    log = f"{out}/trainer_log.jsonl"
    lines = [f'{{"current_steps": {r["current_steps"]}, "total_steps": {STEPS}, "loss": {r["loss"]}}}\n'
             for r in h.read_jsonl(log) if r["current_steps"] < STEPS]
    with open(log, "w", encoding="utf-8") as f:  # killed after the evaluation, before the next state
        f.writelines(lines + [f'{{"current_steps": 5, "total_steps": {STEPS}, "eval_chats_loss": 1.0}}\n'])
    result = runs.start(out, *sets, "eval_strategy=steps", "eval_steps=5")
    runs.goes_on("a run killed behind an evaluation", result, STEPS - 1)
    found = [(r["current_steps"], k) for r in h.read_jsonl(log) for k in r if k.startswith("eval")]
    wanted = [(step, f"eval_{name}_loss") for step in (5, STEPS) for name in ("short_alpaca", "chats")]
    runs.checks.check("each set has one line a step, under its name", found == wanted, str(found))
    history = h.read_json(f"{out}/trainer_state.json")["log_history"]
    entries = [(r["step"], k) for r in history for k in r if re.match("eval.*_loss", k)]
    runs.checks.check("and so in the history, which ends with training", entries == wanted[:2], str(entries))


def finished_again(runs):
    """A finished run that is started again evaluates for its results and logs nothing twice."""
    out = runs.checks.path("again")
    pairs = ("eval_dataset=chats", "eval_strategy=steps", "eval_steps=3")
    for time in ("a run", "the same again"):
        result = runs.start(out, *pairs)
        found = [r["current_steps"] for r in h.read_jsonl(f"{out}/trainer_log.jsonl") if "eval_loss" in r]
        runs.checks.check(f"{time} has a line for each evaluation", result.code == 0 and found == [3, 6],
                          str(found) + result.tail())


def evaluation_at_the_end(runs):
    out = runs.checks.path("each")
    result = runs.start(out, "do_eval=true", "eval_dataset=short_alpaca,chats", "eval_on_each_dataset=true")
    results = h.read_json(f"{out}/eval_results.json") if result.code == 0 else {}
    runs.checks.check("the results have every set",
                      {"eval_short_alpaca_loss", "eval_chats_loss", "epoch"} <= results.keys(), str(results) + result.tail())


def plans_made_twice(runs):
    """With threads and few rows the plan is made for threads apart and for threads together."""
    result = runs.start(runs.checks.path("twice"), "threads_per_rank=4", "global_batch_size=1",
                        "lr_scheduler_type=cosine_with_min_lr", "lr_scheduler_kwargs={min_lr: 1e-6}", ranks=1)
    runs.checks.check("cosine_with_min_lr on threads that share a pass", result.code == 0, result.tail())


def main():
    h.require_program()
    runs = Runs(h.Checks("restarts"))
    done = runs.checks.path("done")
    result = runs.start(done)
    if not runs.checks.check("the run ends", result.code == 0, result.tail()):
        return runs.checks.finish()
    named_checkpoints(runs, h.sha256(h.adapter(done)))
    unwritable_folders(runs)
    unreadable_states(runs)
    damaged_states(runs)
    batches(runs)
    evaluations(runs)
    evaluation_at_the_end(runs)
    finished_again(runs)
    plans_made_twice(runs)
    return runs.checks.finish()


if __name__ == "__main__":
    sys.exit(main())
