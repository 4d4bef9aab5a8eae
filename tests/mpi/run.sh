#!/usr/bin/env bash
# Runs every MPI test at several numbers of ranks, test_sum at 6, too, then breaks and kills savers.
#
#   BUILD=build  where the tests were built     RANKS="1 2 3 4"  how many ranks
#   LIMIT=300    seconds that a test may take   KILLS=6          savers to kill
#   ONLY=name    only the tests of this name (test_ and the parts left out)
#
# Ends with "N passed, N failed"; exit status 1 when one failed.
set -u

build=${BUILD:-build}
ranks=${RANKS:-1 2 3 4}
limit=${LIMIT:-300}
kills=${KILLS:-6}
only=${ONLY:-}
passed=0
failed=0
work=$(mktemp -d /tmp/lowrank-mpi-XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT

# launch RANKS PROGRAM [ARGS...]
launch() {
    local n=$1
    shift
    # An idle rank gives its core away: there are fewer cores than ranks. When a rank fails,
    # mpirun would wait a second before it ends those that are at their end themselves.
    timeout "$limit" mpirun -q --allow-run-as-root --oversubscribe \
        --mca mpi_yield_when_idle 1 --mca odls_base_sigkill_timeout 0 -n "$n" "$@"
}

# report NAME STATUS: counts, and shows the output of a failure
report() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok     $1"
    else
        failed=$((failed + 1))
        echo "FAILED $1 (status $2)"
        sed 's/^/    /' "$work/out" "$work/err" 2>/dev/null
    fi
}

run_tests() {
    local test name n more
    for test in "$build"/tests/mpi/test_*; do
        name=${test##*/}
        case $name in
        *.d) continue ;;
        "test_${only:-${name#test_}}") ;;
        *) continue ;;
        esac
        more=
        [ "$name" != test_sum ] || more=6 # digits of two kinds
        for n in $ranks $more; do
            launch "$n" "$test" >"$work/out" 2>"$work/err"
            report "$name at $n" $?
        done
    done
}

# A rank that fails beyond mending ends the job with one line of ours.
abort_ranks() {
    local test=$build/tests/mpi/test_agree part rank status lines
    for part in bug mpi; do
        for rank in 0 2; do
            launch 3 "$test" "$part" "$rank" >"$work/out" 2>"$work/err"
            status=$?
            lines=$(grep -c '^lowrank: ' "$work/err")
            [ "$status" -ne 0 ] && [ "$status" -ne 124 ] && [ "$lines" -eq 1 ] &&
                grep -q "^lowrank: .*test_agree.c:[0-9]" "$work/err"
            report "a failure of $part on rank $rank ends all" $?
        done
    done
}

# break_savers PART WHAT REASON STRIDE: every WHAT fails once, on the first or the
# last of 3 ranks: one message, nothing lost. The last rank's mostly repeat the
# first one's, so of them every STRIDE-th is tried. Some allocations can be done
# without; five successes in a row mean that there are no more.
break_savers() {
    local test=$build/tests/mpi/test_checkpoint dir=$work/broken rank n fine hit status lines
    launch 2 "$test" save "$work/good" >"$work/out" 2>"$work/err"
    for rank in 0 2; do
        fine=0
        hit=0
        for ((n = 1; fine < 5; n += rank == 2 ? $4 : 1)); do
            rm -rf "$dir"
            cp -r "$work/good" "$dir"
            launch 3 "$test" "$1" "$dir" "$rank" "$n" >"$work/out" 2>"$work/err"
            status=$?
            if [ "$status" -eq 0 ]; then
                fine=$((fine + 1))
                continue
            fi
            fine=0
            hit=$((hit + 1))
            # Its event library may warn that mpirun forgot a rank before it stopped listening to it.
            lines=$(grep -vc '^\[warn\] Epoll ' "$work/err")
            if [ "$status" -ne 1 ] || [ "$lines" -ne 1 ] ||
                ! grep -q "^error: rank $rank of 3: .*$3" "$work/err"; then
                report "$2 $n of rank $rank fails" 1
                return
            fi
        done
        report "every $2 of rank $rank fails once ($hit tried)" $((hit < 5))
    done
}

# A saver dies at a random moment; other numbers of ranks go on from what it left.
kill_savers() {
    local test=$build/tests/mpi/test_checkpoint dir=$work/killed i n pid least status waited
    rm -rf "$dir"
    least=-1
    for ((i = 0; i < kills; i++)); do
        n=$((i % 3 + 1))
        launch "$n" "$test" loop "$dir" >"$work/steps" 2>"$work/err" &
        pid=$!
        # from the first save on: a launcher may take seconds before it
        for ((waited = 0; waited < 300; waited++)); do
            [ ! -s "$work/steps" ] || break
            sleep 0.1
        done
        sleep "$((RANDOM % 2)).$((RANDOM % 10))"
        # timeout's child is mpirun, its children are the ranks
        # shellcheck disable=SC2046
        kill -9 $(pgrep -P "$(pgrep -P "$pid" | head -n 1)") 2>/dev/null
        wait "$pid" 2>/dev/null
        # a rank that mpirun lost sight of would go on saving beside those that resume
        while pkill -9 -f "test_checkpoint loop $dir"; do sleep 0.1; done
        # whole lines only; a step that was printed may not be lost any more
        status=$(grep -E '^[0-9]+$' "$work/steps" | tail -n 2 | head -n 1)
        least=${status:-$least}
        launch "$(((i + 1) % 4 + 1))" "$test" verify "$dir" "$least" >"$work/out" 2>"$work/err"
        status=$?
        [ "$status" -eq 0 ] && least=$(head -n 1 "$work/out")
        [ "$least" -ge 0 ] || status=1 # nothing was saved: nothing was tried
        report "killed at $n ranks, resumed at $(((i + 1) % 4 + 1)) from step $least" "$status"
    done
}

run_tests
if [ -x "$build/tests/mpi/test_agree" ] && [ -z "${only#agree}" ]; then
    abort_ranks
fi
if [ -x "$build/tests/mpi/test_checkpoint" ] && [ -z "${only#checkpoint}" ]; then
    break_savers break write "No space left" 1
    break_savers starve allocation "out of memory" 10
    kill_savers
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
