#!/usr/bin/env python3
"""slurm/sft.sbatch: which ends of a run go back into the queue.

    tests/cli/slurm_script.py

srun and scontrol are stand-ins here: srun ends with a chosen status,
scontrol tells a chosen state of the job and writes down what it was asked.
"""

import os
import subprocess
import sys

import harness as h

SRUN = """#!/bin/bash
echo "$@" > "$STANDIN/srun"
[ -z "${STANDIN_TERM:-}" ] || { kill -TERM $PPID; kill -USR1 $PPID; sleep 0.2; }
exit "$STANDIN_STATUS"
"""
SCONTROL = """#!/bin/bash
echo "$@" >> "$STANDIN/scontrol"
case $1 in
show) [ "$STANDIN_STATE" = gone ] && exit 1; echo "   JobState=$STANDIN_STATE Reason=None Dependency=(null)" ;;
requeue) exit "${STANDIN_REFUSE:-0}" ;;
esac
"""

# name: status of srun, state of the job, more environment, whether it is requeued, a text of the log
ENDS = {
    "a run that is done": (0, "RUNNING", {}, False, "start 0"),
    "a wrong command line": (2, "RUNNING", {}, False, "start 0"),
    "an error": (1, "RUNNING", {}, False, "resume_from_checkpoint=true"),
    "a killed process": (137, "RUNNING", {}, False, "resume_from_checkpoint=true"),
    "an interrupted run": (75, "RUNNING", {}, True, "back into the queue"),
    "a script that got the signals too": (75, "RUNNING", {"STANDIN_TERM": "1"}, True, "back into"),
    "a cancelled job": (75, "COMPLETING", {}, False, "COMPLETING"),
    "a job that Slurm requeues": (75, "PENDING", {}, False, "PENDING"),
    "a controller that does not answer": (75, "gone", {}, True, "back into the queue"),
    "a job without --requeue": (75, "RUNNING", {"STANDIN_REFUSE": "1"}, True, "not requeue it"),
    "TERM before the program listens": (143, "RUNNING", {}, True, "very start"),
    "USR1 before the program listens": (138, "RUNNING", {}, True, "very start"),
    "TERM at the start, once too often": (
        143, "RUNNING", {"SLURM_RESTART_COUNT": "10"}, False, "failed with status 143"),
}


def install(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, 0o755)


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as f:
        return f.read()


def submit(folder, args, more):
    """The script as Slurm starts it; what its stand-ins were asked."""
    for name in ("srun", "scontrol"):
        if os.path.exists(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))
    env = {**os.environ, "PATH": os.path.join(folder, "bin") + ":" + os.environ["PATH"], "STANDIN": folder,
           "SLURM_JOB_ID": "17", "SLURM_JOB_NODELIST": "n[1-2]", "LOWRANK": "true", **more}
    done = subprocess.run(["bash", os.path.join(h.ROOT, "slurm", "sft.sbatch"), *args], env=env, cwd=folder,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * h.SLOW)
    return done.returncode, done.stdout, read(os.path.join(folder, "srun")), read(os.path.join(folder, "scontrol"))


def main():
    checks = h.Checks("slurm_script")
    folder = checks.work
    os.mkdir(checks.path("bin"))
    install(checks.path("bin"), "srun", SRUN)
    install(checks.path("bin"), "scontrol", SCONTROL)
    for what, (status, state, more, requeued, text) in ENDS.items():
        more = {"STANDIN_STATUS": str(status), "STANDIN_STATE": state, **more}
        code, log, srun, asked = submit(folder, ["a.yaml", "seed=2"], more)
        checks.check(f"{what}: the status is passed on", code == status, f"{code}: {log}")
        checks.check(f"{what}: {'requeued' if requeued else 'not requeued'}",
                     ("requeue 17" in asked) == requeued, asked)
        checks.check(f"{what}: the log says so", text in log, log)
        checks.check(f"{what}: the arguments reach the program", srun.endswith(" train a.yaml seed=2\n"), srun)
    code, log, srun, _ = submit(folder, [], {})
    checks.check("without a file it says how it is used", code == 2 and "usage" in log and not srun, log)
    code, log, srun, _ = submit(folder, ["a.yaml"], {"LOWRANK": "no-such-program"})
    checks.check("a missing program is named", code == 2 and "no-such-program" in log and not srun, log)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
