#!/usr/bin/env python3
"""Stop a run by signals: exit status 75, and the resumed run ends with the same bits.

    tests/cli/signals.py
"""

import os
import shutil
import signal
import sys
import time

import harness as h


def to_launcher(number):
    def act(process, pids):
        process.send_signal(number)
    return act


def to_one(number, which):
    def act(process, pids):
        os.kill(sorted(pids)[which], number)
    return act


def twice(number):
    def act(process, pids):
        for _ in range(2):
            for pid in pids:
                os.kill(pid, number)
            time.sleep(0.001)
    return act


# name: ranks, the signal, the exit statuses that are right for it
STOPS = {
    "USR1 to mpirun": (3, to_launcher(signal.SIGUSR1), (75,)),
    "USR1 to the first rank alone": (3, to_one(signal.SIGUSR1, 0), (75,)),
    "USR1 to the last rank alone": (4, to_one(signal.SIGUSR1, -1), (75,)),
    "TERM to one rank alone": (2, to_one(signal.SIGTERM, -1), (75,)),
    "INT to one rank alone": (2, to_one(signal.SIGINT, 0), (75,)),
    "USR1 twice to all": (2, twice(signal.SIGUSR1), (75,)),
    "USR1 on one rank": (1, to_launcher(signal.SIGUSR1), (75,)),
    # mpirun ends its ranks about a second after TERM whatever they say.
    "TERM to mpirun": (2, to_launcher(signal.SIGTERM), None),
}


def resume(checks, what, ranks, args, out, wanted):
    result = h.run(ranks, args)
    checks.check(f"{what}: resumed on {ranks} it ends with 0", result.code == 0, result.tail())
    checks.check(f"{what}: with the bits of the run that nobody touched",
                 result.code == 0 and h.sha256(h.adapter(out)) == wanted[0]
                 and h.losses(out) == wanted[1])


def stop_in_steps(checks, what, args, out, wanted):
    ranks, act, right = STOPS[what]
    process = h.start(ranks, args)
    reached = h.wait_for_step(process, out, 20)
    pids = h.rank_pids(process)
    if not checks.check(f"{what}: step 20 is reached", reached and len(pids) == ranks):
        h.end(process)
        h.finish(process)
        return
    act(process, pids)
    result = h.finish(process, 60)
    code = result.code
    if right:
        checks.check(f"{what}: exit status 75", code in right, result.tail())
        checks.check(f"{what}: nothing is called an error", not result.errors(), result.tail())
    else:
        checks.check(f"{what}: exit status is not 0", code not in (0, None), result.tail())
    checks.check(f"{what}: no torn file", not h.torn_files(out), "; ".join(h.torn_files(out)))
    resume(checks, what, 1 + ranks % 3, args, out, wanted)


def stop_early(checks, delay, args, out, wanted):
    """While libraries load, data is prepared or the first step runs: any status, but no harm."""
    what = f"USR1 {delay * 1000:.0f} ms after the start"
    process = h.start(2, args)
    h.wait_for_ranks(process, 2)
    time.sleep(delay)
    process.send_signal(signal.SIGUSR1)
    result = h.finish(process, 60)
    checks.check(f"{what}: ends, and not with 0 or a timeout", result.code not in (0, None),
                 result.tail())
    resume(checks, what, 3, args, out, wanted)


def pause(checks, args, out, wanted):
    process = h.start(2, args)
    h.wait_for_step(process, out, 20)
    pids = h.rank_pids(process)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    result = h.finish(process)
    checks.check("stopped for two seconds and continued: ends with 0 and the same bits",
                 result.code == 0 and h.sha256(h.adapter(out)) == wanted[0], result.tail())


def main():
    h.require_program()
    checks = h.Checks("signals")
    yaml = h.write_yaml(checks.path("run.yaml"), **h.LONG)
    calm, out, cache = checks.path("calm"), checks.path("out"), checks.path("cache")
    result = h.run(2, ["train", yaml, f"output_dir={calm}", f"cache_dir={cache}"])
    if not checks.check("the undisturbed run ends with 0", result.code == 0, result.tail()):
        return checks.finish()
    wanted = (h.sha256(h.adapter(calm)), h.losses(calm))
    args = ["train", yaml, f"output_dir={out}", f"cache_dir={cache}"]

    def fresh(act, *rest):
        shutil.rmtree(out, ignore_errors=True)
        act(checks, *rest, args, out, wanted)

    for what in STOPS:
        fresh(stop_in_steps, what)
    for delay in (0.01, 0.15, 0.4):
        shutil.rmtree(cache, ignore_errors=True)
        fresh(stop_early, delay)
    fresh(pause)
    resume(checks, "a run that has ended, started again", 2, args, out, wanted)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
