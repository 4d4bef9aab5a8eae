#!/usr/bin/env python3
"""Threads under ThreadSanitizer: those that compute passes of their own, and those that share one.

    PROGRAM=build/clang-thread/lowrank tests/races.py      a build with CC=clang SANITIZE=thread

libarcher tells the sanitizer where threads of OpenMP meet. Without it every meeting is a race: that is the
test of the test. MPI's libraries are not looked at, and there is one rank.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli"))
import harness as h

REPORT = "WARNING: ThreadSanitizer"
CASES = (("passes of their own, 2 threads", dict(threads_per_rank=2)),
         ("passes of their own, 3 threads", dict(threads_per_rank=3)),
         ("a pass that they share", dict(threads_per_rank=3, global_batch_size=1)),
         ("steps computed again", dict(threads_per_rank=3, lora_alpha=1000000000, learning_rate=1e-12)))


def run(checks, archer, **changes):
    yaml = h.write_yaml(checks.path("run.yaml"), output_dir=checks.path("out"), cache_dir=checks.path("cache"),
                        max_steps=3, lora_dropout=0.1, profile=True, eval_dataset="chats", eval_strategy="steps",
                        eval_steps=2, **changes)
    tool = {"OMP_TOOL_LIBRARIES": "libarcher.so"} if archer else {"OMP_TOOL": "disabled"}
    return h.run(0, ["train", yaml], env={**os.environ, **tool, "TSAN_OPTIONS": "ignore_noninstrumented_modules=1"})


def main():
    h.require_program()
    checks = h.Checks("races")
    for what, changes in CASES:
        result = run(checks, True, **changes)
        own = ", one on each thread" in result.text
        checks.check(f"{what}: no race", result.code == 0 and REPORT not in result.text,
                     result.text[result.text.find(REPORT):][:2000])
        checks.check(f"{what}: it is what ran", own == ("share" not in what), result.tail())
    result = run(checks, False, threads_per_rank=3)
    checks.check("the sanitizer sees what threads read and write", REPORT in result.text, result.tail())
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
