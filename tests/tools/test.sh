#!/bin/bash
# ./dev test: builds what a part of the tests needs, runs it beside its servers, adds up.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
. tests/tools/lib.sh

results=$root/build/results
part=all
name=

export ASAN_OPTIONS=strict_string_checks=1:detect_stack_use_after_return=1:abort_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=$root/tests/tools/tsan.supp

# step NAME COMMAND…: runs it and remembers how it ended; what it counted itself lies in NAME.xml.
step() {
    local title=$1 start=$SECONDS code=0
    printf '\n== %s\n' "$title"
    ("${@:2}") || code=$?
    echo "$code" > "$results/$title.exit"
    printf '== %s: %s, %d s\n' "$title" "$( ((code == 0)) && echo passed || echo FAILED)" \
        $((SECONDS - start))
    return "$code"
}

# check NAME COMMAND…: a step after which the others go on.
check() {
    step "$@" || true
}

# run_ctest PRESET LABEL-PATTERN SEEDS: the longest of these tests wait most of their time.
run_ctest() {
    local selection=(-L "^($2)\$") seeds=${SLUICE_SIM_SEEDS:-$3}
    if [[ $name ]]; then
        selection+=(-R "$name" --no-tests=error)
    else
        selection+=(--no-tests=ignore)
    fi
    # What ctest leaves where no test is selected.
    echo '<testsuite/>' > "$results/$1 $2.xml"
    SLUICE_SIM_SEEDS=$seeds SLUICE_STORM_SECONDS=${SLUICE_STORM_SECONDS:-$storm_seconds} \
        with_servers postgres s3 -- \
        ctest --test-dir "build/$1/tests" "${selection[@]}" -j $((2 * jobs)) --output-on-failure \
        --output-junit "$results/$1 $2.xml"
}

# build_label PRESET LABEL: the test programs of one label, of these what has $name in its name, and
# for fault also what its scripts start.
build_label() {
    local wanted any='[A-Za-z0-9_]*'
    configure "$1"
    mapfile -t wanted < <(targets "$1" "$2_$any${name//\//_}$any")
    [[ $2 != fault ]] || wanted+=(sluice sluice-emulator)
    ((${#wanted[@]} == 0)) || build "$1" "${wanted[@]}"
}

# one_label PRESET LABEL SEEDS
one_label() {
    step "build $1" build_label "$1" "$2" && check "$1 $2" run_ctest "$@"
}

run_e2e() {
    SLUICE_STORM_SECONDS=${SLUICE_STORM_SECONDS:-$e2e_storm_seconds} \
        SLUICE_BIN=$root/build/release/sluice \
        SLUICE_EMULATOR=$root/build/release/tests/emulator/sluice-emulator \
        python -m pytest tests/e2e tests/emulator -q -ra --durations=10 -p no:cacheprovider \
        --ignore=tests/e2e/test_image.py --ignore=tests/e2e/test_apiserver.py \
        --junitxml="$results/e2e.xml" ${name:+-k "$name"}
}

# before_release PART: what takes minutes to install or build: image or kubernetes.
before_release() {
    local -A files=([image]=test_image.py [kubernetes]=test_apiserver.py)
    step "install for $1" tests/tools/deps.sh "$1" && check "$1" python -m pytest \
        "tests/e2e/${files[$1]}" -q -ra --durations=5 -p no:cacheprovider \
        --junitxml="$results/$1.xml" || true
}

e2e() {
    step "build release" build release sluice sluice-emulator && check e2e run_e2e || true
}

# sanitizer PRESET SEEDS: all that runs without the servers of e2e.
sanitizer() {
    step "build $1" build "$1" && check "$1 unit|sim|fault" run_ctest "$1" "unit|sim|fault" "$2"
}

# clang-tidy takes minutes, and is left to ./dev lint.
lint() {
    check lint tests/tools/lint.sh layers format size shell docker docs deploy
}

# The tests of e2e wait most of their time: they run beside the sanitizers, and are shown behind them.
everything() {
    local e2e_log=$results/e2e.log
    lint
    e2e > "$e2e_log" 2>&1 &
    sanitizer asan "$sanitized_seeds" || true
    sanitizer tsan "$sanitized_seeds" || true
    wait
    cat "$e2e_log"
    one_label release sim "$seeds" || true
    check fuzz tests/tools/fuzz.sh "${SLUICE_FUZZ_SECONDS:-$fuzz_seconds}"
}

soak() {
    storm_seconds=600
    e2e_storm_seconds=180
    fuzz_seconds=300
    seeds=100000
    sanitized_seeds=10000
    everything
    before_release image
    before_release kubernetes
}

while (($# > 0)); do
    case $1 in
    --seeds)
        [[ ${2-} =~ ^[0-9]+$ ]] || die "--seeds needs a number"
        export SLUICE_SIM_SEEDS=$2
        shift
        ;;
    unit | sim | fault | e2e | soak | lint | image | kubernetes) part=$1 ;;
    -*) die "test knows --seeds N, not $1" ;;
    *) name=$1 ;;
    esac
    shift
done
[[ -z $name || $part != all ]] || die "test knows unit, sim, fault, e2e, soak, lint, image and kubernetes, not $name"

tests/tools/deps.sh test
rm -rf "$results"
mkdir -p "$results"
storm_seconds=40
e2e_storm_seconds=40
fuzz_seconds=20
seeds=10000
sanitized_seeds=500

case $part in
all) everything ;;
unit | fault) one_label asan "$part" "$sanitized_seeds" || true ;;
sim) one_label release sim "$seeds" || true ;;
e2e) e2e ;;
soak) soak ;;
lint) lint ;;
image | kubernetes) before_release "$part" ;;
esac

/usr/bin/python3 tests/tools/tally.py "$results"
