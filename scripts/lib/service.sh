# Installs and removes systemd units beside common.sh: users, files that are written when they differ, root's rights.

CALLED_FROM=$PWD
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

UNITS=/etc/systemd/system
SETTINGS=/etc/ects

die() { say "$(basename "$0"): $*"; exit 1; }

# become_root ARGUMENT...: starts the script again as root, with the token, which is on no command line that way.
become_root() {
    local script=$PWD/$SCRIPT
    [ "$(id -u)" = 0 ] && return 0
    command -v sudo >/dev/null || die "this needs root: install sudo, or run it as root"
    cd "$CALLED_FROM"
    exec sudo --preserve-env=ECTS_ENROLMENT_TOKEN,ECTS_PYTHON -- "$script" "$@"
}

require_systemd() {
    [ -d /run/systemd/system ] || die "systemd does not run here: start the process under your own supervisor" \
        "(docs/how-to/join-a-host.md)"
}

# unit_text ROLE: the unit, for where this checkout is.
unit_text() { sed "s#/opt/ects#$PWD#g" "systemd/ects-$1.service"; }

# show FILE: its content from stdin, as `systemctl cat` shows units.
show() { printf '# %s\n' "$1"; cat; printf '\n'; }

# put FILE MODE: the content from stdin (not by a pipe, which would keep CHANGED to itself); says so when it is another.
CHANGED=
put() {
    local file=$1 mode=$2 draft
    draft=$(mktemp)
    cat >"$draft"
    if ! cmp -s "$draft" "$file"; then
        install -D -m "$mode" "$draft" "$file"
        say "wrote $file"
        CHANGED=1
    fi
    rm -f "$draft"
}

# drop FILE...: removes those that are there.
drop() {
    local file
    for file in "$@"; do
        [ -e "$file" ] || continue
        rm -rf "$file"
        say "removed $file"
        CHANGED=1
    done
}

# make_user NAME HOME: a system user, if there is none of this name.
make_user() {
    id -u "$1" >/dev/null 2>&1 && return 0
    useradd --system --user-group --home-dir "$2" --no-create-home --shell /usr/sbin/nologin "$1"
    say "made the user $1"
}

as_user() {
    local user=$1
    shift
    if [ "$user" = root ]; then "$@"; else runuser -u "$user" -- "$@"; fi
}

# prepare_program REQUIREMENTS USER: Python, the virtual environment, and that this user can read all of it.
prepare_program() {
    find_python >/dev/null 2>&1 || install_packages python3
    find_python >/dev/null || exit 1
    make_venv .venv "$1"
    # By content: files that come in an archive have no dates.
    .venv/bin/python -m compileall -q --invalidation-mode checked-hash manage.py coordination ects_site workers
    as_user "$2" "$PWD/.venv/bin/python" -c 'import sys; open(sys.argv[1])' "$PWD/manage.py" 2>/dev/null || die \
        "the user $2 cannot use $PWD: move this directory to where every user may look, such as /opt/ects"
    [ "$2" != root ] || [ -z "$(find . \( ! -user root -o -perm /022 \) ! -type l -print -quit)" ] || die \
        "what runs as root is to be changed by root alone: chown -R root: $PWD && chmod -R go-w $PWD"
}

# program_digest: of what the processes run; a worker's host has a part of it.
program_digest() {
    find . -path ./.venv -prune -o -type f \( -name '*.py' -o -name '*.html' -o -name '*.js' -o -name '*.css' \
        -o -name '*.mo' -o -name 'requirements*.txt' \) -print0 | sort -z | xargs -0 cat | sha256sum
}

# run_unit ROLE: enables it; starts it, or, if something changed, again. A unit that can reload takes over new programs
# that way. Fails when it does not come up.
run_unit() {
    local unit=ects-$1.service stamp=.venv/.runs-$1 verb=restart
    systemctl daemon-reload
    systemctl enable --quiet "$unit"
    if systemctl is-active --quiet "$unit" && [ -z "$CHANGED" ]; then
        verb=''
        [ "$(program_digest)" = "$(cat "$stamp" 2>/dev/null)" ] || verb=reload-or-restart
    fi
    if [ -n "$verb" ]; then
        systemctl "$verb" "$unit" || {
            say "it does not come up; its last words:"
            journalctl --no-pager --lines=15 --output=cat --unit="$unit" >&2 || true
            exit 1
        }
        program_digest >"$stamp"
    fi
    say "$unit runs: systemctl status ects-$1; journalctl -u ects-$1"
}

# remove_unit ROLE: stops it, and removes what was installed for it.
remove_unit() {
    local unit=ects-$1.service
    if systemctl cat "$unit" >/dev/null 2>&1; then systemctl disable --quiet --now "$unit"; fi
    drop "$UNITS/$unit"
    systemctl daemon-reload
}
