#!/usr/bin/env bash
# tests/lint/run.sh [PART ...]: form and static analysis. Parts, all by default:
#   layers      what each layer includes, banned calls, file length (layers.py, layers.txt)
#   format      clang-format changes nothing
#   tidy        clang-tidy with .clang-tidy; functions of 80 lines at most
#   cppcheck    cppcheck
#   shell       shellcheck on every shell script
#   python      every Python script compiles
#   text        text files end with a newline and hold no tabs or trailing blanks where they should not
# Says what failed and ends with "N passed, N failed", one check a file (cppcheck: one). A tool that is missing
# is a failure. JOBS: how many at once.
set -uo pipefail
shopt -s lastpipe # each() counts in this shell
cd "$(dirname "$0")/../.." || exit 1
jobs=${JOBS:-$(nproc)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

list() { git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r f; do [ -f "$f" ] && echo "$f"; done; }
shell_scripts() { list | while IFS= read -r f; do head -c 40 "$f" | grep -qaE '^#!.*\b(ba)?sh\b' && echo "$f"; done; }
count() { # count PART GOOD BAD
    passed=$((passed + $2))
    failed=$((failed + $3))
    printf 'lint %-9s %s passed, %s failed\n' "$1:" "$2" "$3"
}
need() { # need PART COMMAND ...: all are installed
    local part=$1 c
    shift
    for c in "$@"; do
        command -v "$c" >/dev/null || { echo "lint: '$c' is not installed (configs/debian-test.txt)"; count "$part" 0 1; return 1; }
    done
}
# each PART COMMAND ... < list: runs the command on each file, prints what the bad ones say.
each() {
    local part=$1 total bad
    shift
    # shellcheck disable=SC2016
    tee "$work/list" | xargs -r -P "$jobs" -I{} bash -c '
        out=$("${@:2}" "$1" 2>&1) && exit 0
        printf "%s\n" "$out"; printf "%s\n" "$1" >> "$0"' "$work/bad-$part" {} "$@"
    total=$(wc -l < "$work/list")
    bad=$( (cat "$work/bad-$part" 2>/dev/null || true) | wc -l)
    [ "$bad" = 0 ] || sed "s/^/lint $part: /" "$work/bad-$part"
    [ "$total" != 0 ] || bad=1
    count "$part" $((total - bad > 0 ? total - bad : 0)) "$bad"
}

lint_layers() {
    local out
    out=$(python3 tests/lint/layers.py)
    printf '%s\n' "$out" | sed '$d'
    read -r good _ bad _ <<< "$(printf '%s\n' "$out" | tail -n 1)"
    count layers "$good" "$bad"
}

lint_format() {
    need format clang-format && list '*.c' '*.h' | each format clang-format --dry-run -Werror
}

lint_tidy() {
    need tidy clang-tidy mpicc make || return
    read -ra flags <<< "$(make -s print-flags) $(mpicc --showme:compile) -Isrc -DNN_ISA=generic"
    flags+=(-DLOWRANK_VERSION="\"\"" -DLOWRANK_LIBRARIES="\"\"")
    export TIDY_FLAGS="${flags[*]}"
    # what bf16.h describes is empty without its instructions
    export BF16_FLAGS="-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mamx-tile -mamx-bf16"
    # shellcheck disable=SC2016
    list 'src/*.c' | each tidy bash -c 'case $0 in */bf16*) more=$BF16_FLAGS ;; esac
        clang-tidy --quiet "$0" -- $TIDY_FLAGS ${more-} 2> >(grep -E "error:" >&2)'
}

lint_cppcheck() {
    need cppcheck cppcheck || return
    # invalidFunctionArg: it takes log(0) and memchr(s, '\xe2', n) for mistakes. ctuuninitvar: as one process alone
    # it looks across files, and takes an error that a function fills in for one that it reads.
    cppcheck -q -j "$jobs" --std=c11 --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
        --suppress=missingIncludeSystem --suppress=invalidFunctionArg --suppress=ctuuninitvar --suppress=unmatchedSuppression --suppress=normalCheckLevelMaxBranches \
        -Iinclude -Isrc -DNN_ISA=generic -DHAVE_OPENBLAS src >"$work/cpp" 2>&1
    local rc=$?
    cat "$work/cpp"
    count cppcheck $((rc == 0)) $((rc != 0))
}

lint_shell() {
    need shell shellcheck && shell_scripts | each shell shellcheck -x
}

lint_python() {
    list '*.py' | each python python3 -c 'import sys; compile(open(sys.argv[1], "rb").read(), sys.argv[1], "exec")'
}

lint_text() {
    # shellcheck disable=SC2016
    list '*.c' '*.h' '*.py' '*.sh' '*.yaml' '*.txt' '*.sbatch' '.ci/run' Makefile | grep -v '^tests/golden/.*txt$' | each text bash -c '
        [ ! -s "$0" ] && exit 0
        [ -z "$(tail -c 1 "$0")" ] || { echo "$0: no newline at the end"; exit 1; }
        ! grep -nHE "[[:blank:]]+$" "$0" || exit 1
        case $0 in *.c | *.h | *.py | *.yaml) ! grep -nHP "\t" "$0" ;; esac'
}

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(layers format shell python text cppcheck tidy)
for part in "${parts[@]}"; do
    declare -F "lint_$part" >/dev/null || { echo "lint: no part '$part'" >&2; exit 2; }
    "lint_$part"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
