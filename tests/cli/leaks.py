#!/usr/bin/env python3
"""Nothing is left behind and nothing is read that was never written.

    tests/cli/leaks.py

Two ranks under Open MPI's own count of handles that were not freed, and one
rank under valgrind: no invalid access, no use of undefined values. Lost
memory is looked for by the leak sanitizer (tests/run.sh, part sanitize): under
valgrind the libraries that MPI loads and unloads cannot be told from us.
"""

import shutil
import sys

import harness as h

SUPPRESSIONS = "/usr/share/openmpi/openmpi-valgrind.supp"
SMALL = dict(max_steps=2, lora_dropout=0.1, val_size=2, eval_strategy="steps", eval_steps=2,
             save_strategy="steps", save_steps=2, cutoff_len=64, max_samples=4, global_batch_size=2)


def main():
    h.require_program()
    checks = h.Checks("leaks")
    yaml = h.write_yaml(checks.path("run.yaml"), output_dir=checks.path("out"), **SMALL)

    done = h.run(2, ["train", yaml], env={"OMPI_MCA_mpi_show_handle_leaks": "1"})
    checks.check("two ranks train", done.code == h.EXIT_OK, done.tail())
    checks.check("no MPI object is left at finalize", "leaked" not in done.text.lower(), done.tail())

    valgrind = shutil.which("valgrind")
    if not checks.check("valgrind is there", valgrind is not None):
        return checks.finish()
    h.os.environ["LAUNCH"] = (f"{valgrind} -q --error-exitcode=9 --leak-check=no "
                              f"--suppressions={SUPPRESSIONS} --suppressions=tests/valgrind.supp")
    done = h.run(0, ["train", yaml], timeout=600)
    reports = [line for line in done.text.splitlines() if line.startswith("==")]
    checks.check("valgrind has nothing to report", done.code == h.EXIT_OK and not reports,
                 "\n".join(reports[:40]) or done.tail())
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
