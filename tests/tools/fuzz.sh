#!/bin/bash
# ./dev fuzz [NAME] [SECONDS]: one fuzzer or all. What was found is kept in build/fuzz-found/NAME:
# the corpus, and inputs that crashed. One worth keeping for good goes to tests/fuzz/corpus/NAME.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
. tests/tools/lib.sh

name=
seconds=60
for argument in "$@"; do
    if [[ $argument =~ ^[0-9]+$ ]]; then seconds=$argument; else name=$argument; fi
done

run_fuzzer() {
    local found=build/fuzz-found/$1 seeds=tests/fuzz/corpus/$1 log
    log=$found/log
    mkdir -p "$found/corpus" "$found/crashes"
    local folders=("$found/corpus")
    [[ -d $seeds ]] && folders+=("$seeds")
    if "build/fuzz/tests/fuzz/fuzz_$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$found/crashes/" -print_final_stats=1 "${folders[@]}" > "$log" 2>&1; then
        say "fuzz $1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs, no crash"
    else
        tail -n 60 "$log"
        say "fuzz $1: FAILED; the input is in $found/crashes, the whole log in $log"
        return 1
    fi
}

tests/tools/deps.sh test
configure fuzz
mapfile -t fuzzers < <(targets fuzz "fuzz_${name:-[A-Za-z0-9_]*}")
if ((${#fuzzers[@]} == 0)); then
    [[ -z $name ]] || die "no fuzzer is called $name"
    say "there are no fuzzers"
    exit 0
fi
build fuzz "${fuzzers[@]}"
failed=0
running=0
for fuzzer in "${fuzzers[@]}"; do
    if ((running == jobs)); then
        wait -n || failed=1
        running=$((running - 1))
    fi
    run_fuzzer "${fuzzer#fuzz_}" &
    running=$((running + 1))
done
while ((running > 0)); do
    wait -n || failed=1
    running=$((running - 1))
done
exit "$failed"
