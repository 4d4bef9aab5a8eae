#!/usr/bin/env python3
"""Damage the newest checkpoint in many ways: the one before is taken, and said so.

    tests/cli/damage.py

A run is stopped in the middle by SIGUSR1. For each kind of damage a copy of
its folder is damaged and resumed: exit 0, exactly one line that names the
damaged file, final adapter bit-equal to that of a run nobody touched.
"""

import os
import re
import shutil
import signal
import sys

import harness as h


def state_files(folder):
    """(step, path) of all states, newest first."""
    found = []
    for where, _, files in os.walk(folder):
        for name in files:
            path = os.path.relpath(os.path.join(where, name), folder)
            step = re.search(r"(?:step|checkpoint)-(\d+)", path)
            if name.endswith(".h5") and step and not h.is_temporary(path):
                found.append((int(step.group(1)), path))
    return sorted(found, reverse=True)


def truncate_to(share):
    def damage(path):
        os.truncate(path, int(os.path.getsize(path) * share))
    return damage


def cut_bytes(count):
    def damage(path):
        os.truncate(path, os.path.getsize(path) - count)
    return damage


def flip_bit(share):
    def damage(path):
        place = min(int(os.path.getsize(path) * share), os.path.getsize(path) - 1)
        with open(path, "r+b") as f:
            f.seek(place)
            byte = f.read(1)[0]
            f.seek(place)
            f.write(bytes([byte ^ 0x10]))
    return damage


def fill(byte):
    def damage(path):
        size = os.path.getsize(path)
        with open(path, "r+b") as f:
            f.seek(size // 2)
            f.write(bytes([byte]) * (size // 4))
    return damage


def replace_by(text):
    def damage(path):
        with open(path, "wb") as f:
            f.write(text)
    return damage


KINDS = {
    "cut in the middle": truncate_to(0.5), "one byte short": cut_bytes(1), "empty": truncate_to(0),
    "a bit flipped at the front": flip_bit(0.001), "a bit flipped at a third": flip_bit(0.33),
    "a bit flipped at two thirds": flip_bit(0.67), "a bit flipped in the last byte": flip_bit(1.0),
    "a stretch of zeros": fill(0), "a stretch of ones": fill(255),
    "another kind of file": replace_by(b"not a checkpoint\n" * 100),
}


def stopped_run(checks, yaml, cache):
    out = checks.path("stopped")
    process = h.start(2, ["train", yaml, f"output_dir={out}", f"cache_dir={cache}"])
    reached = h.wait_for_step(process, out, 30)
    process.send_signal(signal.SIGUSR1)
    result = h.finish(process)
    checks.check("SIGUSR1 at step 30 or later ends it with 75", reached and result.code == 75,
                 result.tail())
    return out


def resume_damaged(checks, kind, damage, stopped, yaml, cache, wanted, deep):
    """Damages the newest state (deep: every state but the oldest) and resumes."""
    out = checks.path("damaged")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(stopped, out)
    states = state_files(out)
    if not checks.check(f"{kind}: there are states of two steps",
                        len({s for s, _ in states}) >= 2, str(states)):
        return
    limit = states[-1][0] + 1 if deep else states[0][0]
    hurt = [path for step, path in states if step >= limit]
    for path in hurt:
        damage(os.path.join(out, path))
    result = h.run(3, ["train", yaml, f"output_dir={out}", f"cache_dir={cache}"])
    if not checks.check(f"{kind}: resumes and ends with 0", result.code == 0, result.tail()):
        return
    for path in hurt:
        named = [line for line in result.text.splitlines() if path in line]
        checks.check(f"{kind}: one line names {path}", len(named) == 1, str(named))
    checks.check(f"{kind}: adapter is that of the run that nobody touched",
                 h.sha256(h.adapter(out)) == wanted)


def main():
    h.require_program()
    checks = h.Checks("damage")
    yaml = h.write_yaml(checks.path("run.yaml"), **h.LONG)
    calm, cache = checks.path("calm"), checks.path("cache")
    result = h.run(2, ["train", yaml, f"output_dir={calm}", f"cache_dir={cache}"])
    if checks.check("the undisturbed run ends with 0", result.code == 0, result.tail()):
        wanted = h.sha256(h.adapter(calm))
        stopped = stopped_run(checks, yaml, cache)
        for kind, damage in KINDS.items():
            resume_damaged(checks, kind, damage, stopped, yaml, cache, wanted, False)
        resume_damaged(checks, "all but the oldest cut", truncate_to(0.7), stopped, yaml, cache,
                       wanted, True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
