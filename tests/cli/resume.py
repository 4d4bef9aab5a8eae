#!/usr/bin/env python3
"""Kill a run with -9 at random moments, resume it on other ranks, compare the bits.

    tests/cli/resume.py         KILLS=6 SEED=1

A run is killed at a random moment of its length, or at the moment a file
under a temporary name is seen, and started again on another number of ranks
until it ends; then the next one begins with an empty folder, until KILLS
kills have been made. Every adapter must be bit-equal to that of a run that
nobody touched; no file with a final name may ever be torn.
"""

import os
import random
import shutil
import sys
import time

import harness as h

RANKS = (1, 2, 3, 4)


def temporary_seen(*folders):
    for folder in folders:
        for _, dirs, files in os.walk(folder):
            if any(h.is_temporary(n) for n in dirs + files):
                return True
    return False


def kill_run(process, rng, pids):
    """-9 to the ranks alone, or to mpirun with them."""
    if rng.random() < 0.5:
        for pid in pids or h.rank_pids(process):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
    else:
        h.end(process)


def interrupt(process, rng, mode, length, out, cache):
    """Waits for the moment and kills; a description, or None when the run had ended."""
    began = time.monotonic()
    moment = rng.uniform(0.0, length)
    while process.poll() is None:
        now = time.monotonic() - began
        if mode == "saving" and now > moment * 0.5 and temporary_seen(out, cache):
            break
        if mode == "time" and now >= moment:
            break
        time.sleep(0.0005)
    if process.poll() is not None:
        return None
    step = h.logged_step(out)
    kill_run(process, rng, h.rank_pids(process))
    return f"{mode}, after {time.monotonic() - began:.2f} s, step {step}"


def one_run(checks, rng, yaml, length, kills_left, wanted):
    """From an empty folder to the end of a run; the number of kills made on the way."""
    out, cache = checks.path("out"), checks.path("cache")
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(cache, ignore_errors=True)
    args = ["train", yaml, f"output_dir={out}", f"cache_dir={cache}"]
    kills, ranks, path, idle = 0, rng.choice(RANKS), [], 0
    while kills < kills_left and idle < 50:
        ranks = rng.choice([r for r in RANKS if r != ranks])
        process = h.start(ranks, args)
        how = interrupt(process, rng, rng.choice(("time", "saving")), length, out, cache)
        result = h.finish(process)
        if how is None or result.code == 0:  # nobody was hit, or only ranks whose work was done
            checks.check(f"a run on {ranks} ranks that ended by itself is whole",
                         result.code == 0 and h.sha256(h.adapter(out)) == wanted[0], result.tail())
            break
        kills += 1
        path.append(f"{ranks} ranks: {how}")
        checks.check(f"killed ({path[-1]}): exit status is not 0 or 75",
                     result.code not in (0, 75, None), result.tail())
        torn = h.torn_files(out) + h.torn_files(cache)
        checks.check(f"killed ({path[-1]}): no torn file", not torn, "; ".join(torn))
    ranks = rng.choice([r for r in RANKS if r != ranks])
    result = h.run(ranks, args)
    if checks.check(f"ends on {ranks} ranks after {kills} kills", result.code == 0, result.tail()):
        same = h.sha256(h.adapter(out)) == wanted[0] and h.losses(out) == wanted[1]
        checks.check("adapter and logged losses are those of the run that nobody touched", same,
                     "; ".join(path))
    return kills


def main():
    h.require_program()
    checks = h.Checks("resume")
    seed = int(os.environ.get("SEED", "1"))
    rng = random.Random(seed)
    kills = int(os.environ.get("KILLS", "6"))
    yaml = h.write_yaml(checks.path("run.yaml"), **h.LONG)
    calm = checks.path("calm")
    result = h.run(2, ["train", yaml, f"output_dir={calm}", f"cache_dir={checks.path('cache')}"])
    if not checks.check("the undisturbed run ends with 0", result.code == 0, result.tail()):
        return checks.finish()
    wanted = (h.sha256(h.adapter(calm)), h.losses(calm))
    checks.note(f"seed {seed}, {result.seconds:.1f} s undisturbed, {kills} kills")
    rounds = 0
    while kills > 0 and rounds < 100:
        # Three kills a run at most, so that runs of one kill and of several occur.
        kills -= one_run(checks, rng, yaml, result.seconds, min(kills, rng.randint(1, 4)), wanted)
        rounds += 1
    checks.check("all kills were made", kills == 0, f"{kills} left")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
