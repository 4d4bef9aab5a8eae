#!/usr/bin/env bash
# tests/run.sh [--no-install] [--only PART[,PART]]: installs (Debian, as root), builds and passes the tests.
#
#   build     gcc, all programs, without a warning       unit      each program of tests/unit
#   mpi       tests/mpi/run.sh                           cli       each driver of tests/cli
#   fuzz      stored inputs of each reader               lint      tests/lint/run.sh
#   clang     clang, all programs, without a warning     sanitize  build, unit, mpi, fuzz and small
#   races     tests/races.py under ThreadSanitizer                 training runs under ASan and UBSan
#
# BUILD is the folder of the build (default build). Output goes to $BUILD/test-logs; of what failed the end is
# shown. The last line is "N passed, N failed"; the status is 0 when none failed.
set -uo pipefail
shopt -s nullglob
cd "$(dirname "$0")/.." || exit 1

parts=build,unit,mpi,cli,fuzz,clang,sanitize,races,lint
[ -z "${SANITIZE-}" ] || parts=build,unit,mpi,cli,fuzz
install=1
while [ $# -gt 0 ]; do
    case $1 in
        --no-install) install=0 ;;
        --only) parts=${2:?--only needs a list of parts}; shift ;;
        *) echo "usage: tests/run.sh [--no-install] [--only PART[,PART]]" >&2; exit 2 ;;
    esac
    shift
done
export BUILD=${BUILD:-build}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export PMIX_MCA_psec=native # a munge that is installed but not running costs each launch two seconds
export OMPI_MCA_pml=ob1 # is taken anyway on one machine; looking for networks costs each launch a quarter second
export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=print_stacktrace=1
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
jobs=$(nproc)
prefix=
logs=$PWD/$BUILD/test-logs
[[ $BUILD != /* ]] || logs=$BUILD/test-logs
mkdir -p "$logs"
passed=0
failed=0

install_packages() {
    local wanted
    read -ra wanted <<< "$(grep -hv '^#' configs/debian-build.txt configs/debian-test.txt | tr '\n' ' ')"
    dpkg -s "${wanted[@]}" >/dev/null 2>&1 && return
    [ "$(id -u)" = 0 ] || { echo "error: installing needs root; without it: tests/run.sh --no-install" >&2; exit 1; }
    echo "installing packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update && apt-get -qq install -y --no-install-recommends "${wanted[@]}" >/dev/null || exit 1
}

# report NAME LOG SECONDS GOOD BAD: counts, one line, and the end of the log when something failed.
report() {
    passed=$((passed + $4))
    failed=$((failed + $5))
    printf '%-4s %s: %s passed, %s failed (%s s)\n' "$([ "$5" = 0 ] && echo ok || echo FAIL)" "$prefix$1" "$4" "$5" "$3"
    [ "$5" = 0 ] || { grep -aE '^(FAIL|not ok|\[  FAILED|error:|ERROR|lint [a-z]+: )' "$2" | head -n 40; tail -n 25 "$2"; } | sed 's/^/     | /'
}

# suite NAME COMMAND ...: a command that counts its checks itself, by cmocka or as "N passed, N failed".
suite() {
    local name=$1 log began good bad skipped rc
    shift
    log=$logs/${name//[\/ ]/-}.log
    began=$SECONDS
    timeout -k 10 "${LIMIT:-1200}" "$@" >"$log" 2>&1 </dev/null
    rc=$?
    read -r good bad skipped <<< "$(awk '
        /^\[  SKIPPED \] [0-9]+ test/ { s += $4 }
        /^\[  PASSED  \] [0-9]+ test/ { g += $4; seen = 1 }
        /^\[  FAILED  \] [0-9]+ test/ { b += $4; seen = 1 }
        /^[0-9]+ passed, [0-9]+ failed/ { own = 1; og = $1; ob = $3 }
        END { if (own) print og, ob, 0; else if (seen) print g + 0, b + 0, s + 0; else print 0, 0, 0 }' "$log")"
    # A crash, a time limit or a suite that checked nothing is a failure too.
    if [ "$bad" = 0 ] && { [ $rc != 0 ] || [ "$good" = 0 ]; }; then
        echo "status $rc after $good checks" >>"$log"
        bad=1
    fi
    report "$name" "$log" $((SECONDS - began)) "$good" "$bad"
    [ "$skipped" = 0 ] || echo "     of $prefix$name skipped: $skipped, since this machine lacks what they need"
}

# step NAME COMMAND ...: one check, its status.
step() {
    local name=$1 log began rc
    shift
    log=$logs/${name//[\/ ]/-}.log
    began=$SECONDS
    timeout -k 10 "${LIMIT:-1200}" "$@" >"$log" 2>&1 </dev/null
    rc=$?
    report "$name" "$log" $((SECONDS - began)) $((rc == 0)) $((rc != 0))
    return $rc
}

# build_all NAME MAKE-ARGUMENT ...: every program, without a warning of the compiler.
build_all() {
    local name=$1
    shift
    mkdir -p "$BUILD"
    # shellcheck disable=SC2016
    step "$name" bash -c 'set -o pipefail
        make -j"$0" "$@" all unit-programs mpi-programs fuzz-programs 2>&1 | tee "$BUILD/make.out" || exit 1
        ! grep -a "warning:" "$BUILD/make.out"' "$jobs" "$@"
}

part_build() { build_all build BUILD="$BUILD" ${SANITIZE:+SANITIZE="$SANITIZE"} ${CC:+CC="$CC"}; }

part_unit() {
    local source name
    for source in tests/unit/*/test_*.c; do
        name=${source#tests/}
        name=${name%.c}
        suite "$name" "$BUILD/tests/$name"
    done
    echo "     kernels of this CPU: $(cat "$logs"/unit-nn-*.log | sed -n 's/^tried: //p' | sort -u | paste -sd ';' | sed 's/;/; /g')"
}

part_mpi() { suite mpi tests/mpi/run.sh; }

part_cli() {
    local driver
    local -x KILLS=${KILLS:-4} # by themselves the drivers kill more often
    for driver in tests/cli/*.py; do
        [[ -x $driver && $(head -c 2 "$driver") = "#!" ]] && suite "${driver#tests/}" "$driver"
    done
}

part_fuzz() {
    local source name
    for source in tests/fuzz/fuzz_*.c; do
        name=${source##*/fuzz_}
        name=${name%.c}
        step "fuzz/$name" "$BUILD/tests/fuzz/replay_$name" "tests/fuzz/corpus/$name"
    done
}

part_lint() { suite lint tests/lint/run.sh; }

part_clang() {
    local -x BUILD=$BUILD/clang
    build_all clang BUILD="$BUILD" CC=clang
}

part_sanitize() {
    local -x BUILD=$BUILD/address-undefined SLOW=6 KILLS=1
    local logs=$logs/sanitize prefix=sanitize/
    mkdir -p "$logs"
    build_all build BUILD="$BUILD" SANITIZE=address,undefined || return
    # Plugins that MPI closes would be nameless in a report of leaks: keep them loaded.
    # shellcheck disable=SC2016
    step keep_loaded bash -c 'echo "int dlclose(void *h); int dlclose(void *h) { (void)h; return 0; }" |
        "${CC:-gcc}" -shared -fPIC -x c -o "$BUILD/keep_loaded.so" -' || return
    local -x ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 LD_PRELOAD
    LD_PRELOAD=$(realpath "$BUILD/keep_loaded.so")
    part_unit
    part_fuzz
    RANKS="1 2" part_mpi
    RANKS=1,2 suite cli/same_bits tests/cli/same_bits.py
    # that second is for the reports of leaks
    OMPI_MCA_odls_base_sigkill_timeout=1 suite cli/bad_inputs tests/cli/bad_inputs.py
}

part_races() {
    local -x BUILD=$BUILD/clang-thread
    mkdir -p "$BUILD"
    step races/build make -j"$jobs" BUILD="$BUILD" CC=clang SANITIZE=thread all &&
        PROGRAM=$BUILD/lowrank suite races tests/races.py
}

[ $install = 0 ] || install_packages
for part in ${parts//,/ }; do
    declare -F "part_$part" >/dev/null || { echo "error: no part '$part'" >&2; exit 2; }
    before=$((passed + failed))
    "part_$part"
    [ $((passed + failed)) -gt $before ] || report "$part: nothing was there to test" /dev/null 0 0 1
done
echo "logs: $logs"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
