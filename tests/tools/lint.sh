#!/bin/bash
# ./dev lint: what can be said about the sources without running them. Each check is one function.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
. tests/tools/lib.sh

lines_max=1000
write=

# files PATTERN…: the sources whose names match.
files() {
    local pattern expression=()
    for pattern in "$@"; do
        expression+=(-o -name "$pattern")
    done
    find . \( -path ./build -o -path ./.git -o -path ./demo -o -name __pycache__ \) -prune -o \
        -type f \( "${expression[@]:1}" \) -print | sort
}

check_layers() {
    /usr/bin/python3 tests/layers.py
}

check_format() {
    local file bad=0
    if [[ $write ]]; then
        files '*.c' '*.h' | xargs clang-format-14 -i
        return
    fi
    while read -r file; do
        clang-format-14 --dry-run -Werror "$file" > /dev/null 2>&1 && continue
        echo "$file is not formatted; ./dev lint format --write"
        bad=1
    done < <(files '*.c' '*.h')
    return "$bad"
}

check_size() {
    local file lines bad=0
    while read -r file; do
        lines=$(wc -l < "$file")
        ((lines <= lines_max)) && continue
        echo "$file has $lines lines, more than $lines_max: split it"
        bad=1
    done < <(files '*.c' '*.h' '*.py' '*.sh' '*.sql' dev)
    return "$bad"
}

check_shell() {
    # Scripts that are called by names without an ending.
    files '*.sh' dev run cross setup changes | xargs grep -lE '^#!.*sh$|^# shellcheck' |
        xargs "$(venv_path)/bin/shellcheck" -x
}

check_docker() {
    files Dockerfile | xargs -r "$(venv_path)/bin/hadolint"
}

check_docs() {
    build release sluice > /dev/null
    /usr/bin/python3 tests/tools/docs.py build/release/sluice ${write:+--write}
}

# What is deployed: the dashboard is made from the metrics, the plain manifests from the chart;
# everything is tested.
check_deploy() {
    if [[ $write ]]; then
        PYTHONPATH=tests/e2e python tests/deploy/chart.py > deploy/kubernetes/sluice.yaml || return
    fi
    python tests/tools/dashboard.py ${write:+--write} &&
        python -m pytest tests/deploy -q -p no:cacheprovider
}

# A file that was clean is looked at again when it, a header, a flag or the checks have changed.
check_tidy() {
    local common file stamp list=build/tidy/list
    configure dev
    mkdir -p build/tidy
    common=$(files '*.h' .clang-tidy CMakeLists.txt | xargs sha256sum | sha256sum)
    : > "$list"
    while read -r file; do
        stamp=build/tidy/$( (echo "$common"; sha256sum "$file") | sha256sum | cut -c1-32)
        [[ -e $stamp ]] || echo "$file $stamp" >> "$list"
    done < <(compiled_files)
    say "clang-tidy: $(wc -l < "$list") files to look at"
    xargs -r -P "$jobs" -L 1 "$0" --tidy-one < "$list"
}

# tidy_one FILE STAMP
tidy_one() {
    if clang-tidy-14 -p build/dev --quiet "$1" > "$2.log" 2>&1; then
        touch "$2"
    else
        grep -E ': (error|warning): ' "$2.log" | sort -u
        echo "$1 is not clean; the whole report: $2.log"
        return 1
    fi
}

# The program and the emulator; not what is generated into build/, nor the tests, which would take
# as long again.
compiled_files() {
    sed -n "s|^ *\"file\": \"$root/\(.*\)\".*|\1|p" build/dev/compile_commands.json |
        grep -vE '^(build|tests/(unit|fault|sim|fuzz|bench))/' | sort -u
}

if [[ ${1-} == --tidy-one ]]; then
    tidy_one "$2" "$3"
    exit
fi
checks=()
for argument in "$@"; do
    case $argument in
    --write) write=yes ;;
    layers | format | size | shell | docker | docs | deploy | tidy) checks+=("$argument") ;;
    *) die "lint knows no check $argument; see ./dev help" ;;
    esac
done
((${#checks[@]} > 0)) || checks=(layers format size shell docker docs deploy tidy)

[[ -x $(venv_path)/bin/shellcheck ]] || tests/tools/deps.sh test
failed=()
for check in "${checks[@]}"; do
    "check_$check" || failed+=("$check")
done
((${#failed[@]} == 0)) || die "lint failed: ${failed[*]}"
say "lint passed: ${checks[*]}"
