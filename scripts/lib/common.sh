# Shared by the scripts: where things are, a Python that fits, the virtual environment, packages of the distribution.
# Source it; it changes to the root of the checkout.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export DEBIAN_FRONTEND=noninteractive

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
        say "This needs root: install sudo, or run as root: $*"
        return 1
    fi
}

# install_packages PACKAGE...: those of the distribution's that are missing.
install_packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ "${#missing[@]}" = 0 ] && return 0
    command -v apt-get >/dev/null || { say "Please install: ${missing[*]}"; return 1; }
    say "installing ${missing[*]}"
    as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
        as_root apt-get update -qq
        as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    }
}

# find_python: the path of a Python from 3.11 to 3.14.
find_python() {
    for name in "${ECTS_PYTHON:-}" python3.14 python3.13 python3.12 python3.11 python3; do
        [ -n "$name" ] && command -v "$name" >/dev/null || continue
        "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null || continue
        command -v "$name"
        return 0
    done
    say "ECTS needs Python 3.11, 3.12, 3.13 or 3.14. On Debian 12 and newer and Ubuntu 24.04: apt-get install python3"
    return 1
}

# includes REQUIREMENTS WANTED: whether what the one file asks for includes the other.
includes() {
    local other
    [ "$1" = "$2" ] && return 0
    [ -f "$1" ] || return 1
    for other in $(sed -n 's/^-r //p' "$1"); do includes "$other" "$2" && return 0; done
    return 1
}

# make_venv DIRECTORY REQUIREMENTS: a virtual environment that holds these requirements; quick when nothing changed.
make_venv() {
    local directory=$1 requirements=$2 python version stamp held
    version=$(cat requirements*.txt | sha256sum | cut -c1-32)
    stamp=$version-$requirements
    held=$(cat "$directory/.stamp" 2>/dev/null || true)
    [ "${held%%-*}" = "$version" ] && includes "${held#*-}" "$requirements" && return 0
    python=$(find_python)
    if [ ! -x "$directory/bin/python" ]; then
        "$python" -c 'import ensurepip, venv' 2>/dev/null \
            || install_packages "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" \
            || install_packages python3-venv
        say "making $directory with $python"
        "$python" -m venv "$directory"
    fi
    say "installing $requirements"
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    printf '%s' "$stamp" >"$directory/.stamp"
}
