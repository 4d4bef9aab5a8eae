#!/usr/bin/env python3
"""profile: true says where all of the time goes and changes nothing else.

    tests/cli/profiled.py
"""

import os
import sys

import harness as h

ALWAYS = ("frozen products", "adapter products", "head and loss", "attention", "norms, elementwise",
          "leaf sums", "input", "reduction", "optimizer", "saving")


def run(checks, ranks, threads=1, **changes):
    out = checks.path("out")
    yaml = h.write_yaml(checks.path("run.yaml"), output_dir=out, lora_dropout=0.1, max_steps=4,
                        threads_per_rank=threads, **changes)
    result = h.run(ranks, ["train", yaml])
    checks.check(f"on {ranks} ranks: trains", result.code == 0, result.tail())
    return out, result


def main():
    h.require_program()
    checks = h.Checks("profile")
    out, _ = run(checks, 2)
    wanted = h.sha256(h.adapter(out))
    first = None
    checks.check("without the key there is no file", not os.path.exists(f"{out}/profile.json"))
    for ranks, threads in ((1, 1), (3, 1), (1, 2), (2, 2)):
        run_of = f"{ranks} ranks of {threads} threads"
        out, result = run(checks, ranks, threads, profile=True)
        checks.check(f"on {run_of}: the adapter has the same bits", h.sha256(h.adapter(out)) == wanted)
        profile = h.read_json(f"{out}/profile.json")
        steps = profile["steps"]
        checks.check(f"on {run_of}: every step is there",
                     (profile["ranks"], profile["threads"]) == (ranks, threads) and [s["step"] for s in steps] == [1, 2, 3, 4])
        checks.check(f"on {run_of}: the rate of products is given, of each step, too",
                     all(r > 0 for r in [profile["gemm_rate"], *(s["gemm_rate"] for s in steps)]))
        missing = [name for name in ALWAYS if any(name not in s for s in steps)]
        checks.check(f"on {run_of}: every class is there", not missing, ", ".join(missing))
        for step in steps:
            parts = [v for v in step.values() if isinstance(v, list)]
            checks.check(f"on {run_of}, step {step['step']}: the classes add up to the step",
                         abs(sum(s for s, _ in parts) - step["seconds"]) < 2e-6 * len(parts))
        counted = [step["frozen products"][1] for step in steps]
        checks.check(f"on {run_of}: operations of the frozen products are counted",
                     all(n > 1e6 for n in counted), str(counted))
        counted = [step["attention"][1] for step in steps] # those do not depend on which rows share a pass
        first = first or counted
        checks.check(f"on {run_of}: operations of attention are counted, on all alike",
                     all(n > 1e5 and abs(n / m - 1) < 1e-5 for n, m in zip(counted, first)),
                     f"{counted} {first}")
        checks.check(f"on {run_of}: what measuring costs is given", 0 < profile["watching"] < 1,
                     str(profile["watching"]))
        checks.check(f"on {run_of}: the table is printed", "frozen products" in result.text)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
