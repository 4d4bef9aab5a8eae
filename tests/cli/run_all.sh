#!/usr/bin/env bash
# tests/cli/run_all.sh [DRIVER ...]
# Runs the drivers of this folder one after another (default: all), prints their failures and one line a driver,
# and ends with 'N passed, N failed' over all. BUILD, PROGRAM and the drivers' own variables as in harness.py.
# VERBOSE=1 prints every check. Fewer rank counts and kills by default than the drivers have by themselves.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
export KILLS="${KILLS:-4}"
drivers=("$@")
[ $# -gt 0 ] || drivers=(usage plan slurm_script bad_inputs trajectory same_bits signals damage resume memory)
passed=0 failed=0
for driver in "${drivers[@]}"; do
    driver=${driver%.py}
    began=$SECONDS
    out=$(timeout "${DRIVER_LIMIT:-1500}" python3 "$driver.py" 2>&1)
    code=$?
    if [ "${VERBOSE:-0}" = 1 ]; then printf '%s\n' "$out"; else grep -Ev '^(ok  |[0-9]+ passed)' <<< "$out"; fi
    last=$(tail -n 1 <<< "$out")
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
    else
        failed=$((failed + 1))
        last="did not end (exit $code)"
    fi
    echo "== $driver: $last, $((SECONDS - began)) s"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
