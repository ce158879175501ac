# What tests, lint and benchmarks need beside common.sh: the development requirements and the servers.

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Where nothing compiled may be kept, each process of the tests compiles them all again.
unset PYTHONDONTWRITEBYTECODE

prepare_development() {
    # The driver for MySQL is compiled: it wants a compiler, headers and the client library.
    install_packages etcd-server mariadb-server chromium gcc pkg-config libmariadb-dev gettext
    # For the tests of faults: hosts, networks that can be cut, slow disks, and a kernel whose clock can be set.
    install_packages util-linux iproute2 nftables strace user-mode-linux
    # systemd judges the units.
    install_packages systemd
    # What a bare system has not got, and the jobs and hosts of the tests use.
    install_packages curl bsdextrautils
    if [ ! -d .venv ]; then
        local python version
        python=$(find_python)
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        # The headers of the distribution's own Python are a package; those of any other Python come with it.
        case "$python" in /usr/bin/*) install_packages "python$version-dev" "python$version-venv" ;; esac
    fi
    make_venv .venv requirements-dev.txt
    make_node_modules
    install_promtool
}

# install_promtool: a package of its own in newer distributions; else out of the server's, without its service.
install_promtool() {
    command -v promtool >/dev/null && return 0
    install_packages promtool 2>/dev/null && return 0
    local place
    place=$(mktemp -d)
    chmod 755 "$place"
    say "installing promtool"
    (cd "$place" && { apt-get download -qq prometheus || { as_root apt-get update -qq && apt-get download -qq prometheus; }; }) 2>/dev/null
    dpkg-deb --fsys-tarfile "$place"/prometheus_*.deb | tar -x -C "$place" ./usr/bin/promtool
    as_root install "$place/usr/bin/promtool" /usr/local/bin/promtool
    rm -rf "$place"
}

# make_node_modules: what package-lock.json names, for the browser tests; quick when nothing changed.
make_node_modules() {
    cmp -s package-lock.json node_modules/.stamp && return 0
    # The distribution's npm brings its node.
    command -v npm >/dev/null || install_packages npm
    say "installing package-lock.json"
    npm ci --silent --ignore-scripts --no-audit --no-fund --no-update-notifier
    cp package-lock.json node_modules/.stamp
}

# with_mariadb COMMAND...: runs it with a private MariaDB, whose URL is in ECTS_DATABASE_URL; fast, not durable. Its
# buffer pool has MARIADB_POOL (256M).
with_mariadb() {
    local directory status=0 user
    directory=$(mktemp -d /tmp/ects-mariadb.XXXXXX)
    user=$(id -un)
    # A directory of its own for temporary tables: a server that starts deletes what it finds of them.
    mkdir "$directory/tmp"
    [ "$user" = root ] && user=mysql && chown mysql "$directory" "$directory/tmp"
    mariadb-install-db --no-defaults --user="$user" --datadir="$directory/data" --auth-root-authentication-method=normal \
        --skip-test-db >"$directory/install.log" 2>&1 || { cat "$directory/install.log" >&2; return 1; }
    mariadbd --no-defaults --user="$user" --datadir="$directory/data" --tmpdir="$directory/tmp" --socket="$directory/socket" --skip-networking \
        --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size="${MARIADB_POOL:-256M}" --innodb-doublewrite=0 --sync-binlog=0 \
        --pid-file="$directory/pid" --character-set-server=utf8mb4 --skip-ssl >"$directory/server.log" 2>&1 &
    local server=$!
    for _ in $(seq 200); do
        mariadb-admin --no-defaults --socket="$directory/socket" -uroot ping >/dev/null 2>&1 && break
        sleep 0.1
    done
    mariadb --no-defaults --socket="$directory/socket" -uroot -e 'CREATE DATABASE ects CHARACTER SET utf8mb4' || status=1
    if [ "$status" = 0 ]; then
        ECTS_DATABASE_URL="mysql://root@/ects?unix_socket=$directory/socket" "$@" || status=$?
    fi
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    rm -rf "$directory"
    return "$status"
}
