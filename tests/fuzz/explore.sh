#!/usr/bin/env bash
# tests/fuzz/explore.sh [READER ...]: libFuzzer on each reader of outside bytes, FUZZ_SECONDS (60) each.
# Needs clang. New inputs are kept in build/fuzz/corpus/READER, crashes in build/fuzz/crashes: a crash that is
# mended belongs into tests/fuzz/corpus/READER. Ends with "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
seconds=${FUZZ_SECONDS:-60}
build=build/fuzz
passed=0
failed=0
readers=("$@")
if [ ${#readers[@]} = 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        source=${source##*/fuzz_}
        readers+=("${source%.c}")
    done
fi
mkdir -p $build/crashes
export ASAN_OPTIONS=detect_leaks=1 LSAN_OPTIONS=suppressions=tests/lsan.supp:print_suppressions=0
for reader in "${readers[@]}"; do
    program=$build/tests/fuzz/explore_$reader
    mkdir -p "$build/corpus/$reader"
    echo "== $reader"
    if make -j"$(nproc)" CC=clang SANITIZE=fuzzer-no-link,address,undefined BUILD=$build "$program" >"$build/make.log" 2>&1 &&
        "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 \
            -artifact_prefix="$build/crashes/$reader-" "$build/corpus/$reader" "tests/fuzz/corpus/$reader"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        [ -x "$program" ] || tail -n 20 "$build/make.log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
