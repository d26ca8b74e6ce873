# Shared by dev and the scripts beside this file. They have set $root and stand in it.
# shellcheck shell=bash disable=SC2034,SC2154

deps=${SLUICE_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice}
jobs=$(nproc)

say() {
    printf 'dev: %s\n' "$*"
}

die() {
    printf 'dev: %s\n' "$*" >&2
    exit 1
}

# The tests' Python is another one for each state of the requirements.
venv_path() {
    echo "$deps/python-$(sha256sum < "$root/tests/requirements.txt" | cut -c1-12)"
}

python() {
    "$(venv_path)/bin/python" "$@"
}

# with_servers SERVER… -- COMMAND…: runs the command beside servers, which its environment names.
with_servers() {
    python tests/e2e/stack.py with "$@"
}

# Checkouts share what they have compiled; without ccache each compiles for itself.
use_ccache() {
    command -v ccache > /dev/null || return 0
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
    export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
}

configure() {
    use_ccache
    mkdir -p build
    cmake --preset "$1" > "build/$1.log" 2>&1 && return
    cat "build/$1.log" >&2
    die "$1 cannot be configured; if a library is missing: ./dev deps build"
}

# build PRESET [TARGET…]: configures and builds, into build/PRESET; without targets everything.
build() {
    local targets=("${@:2}")
    configure "$1"
    cmake --build "build/$1" ${targets[0]+--target "${targets[@]}"}
}

# targets PRESET PATTERN: the names of the targets that match, of a preset that is configured.
targets() {
    ninja -C "build/$1" -t targets all | sed -n "s/^\($2\): phony$/\1/p"
}
