"""What a process tells its service manager, over a socket as systemd has it."""

import socket
from pathlib import Path

import pytest

from coordination.servicemanager import teller


@pytest.mark.parametrize("is_abstract", [False, True])
def test_it_hears_each_word(tmp_path: Path, is_abstract: bool) -> None:
    address = "@ects-test" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{address[1:]}" if is_abstract else address)
        tell = teller({"NOTIFY_SOCKET": address})
        tell("READY=1\nSTATUS=node web-1")
        tell("STOPPING=1")
        assert manager.recv(100) == b"READY=1\nSTATUS=node web-1"
        assert manager.recv(100) == b"STOPPING=1"


def test_where_nobody_listens_nothing_happens(tmp_path: Path) -> None:
    teller({})("READY=1")
    teller({"NOTIFY_SOCKET": str(tmp_path / "gone")})("READY=1")


def test_one_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        tell = teller({"NOTIFY_SOCKET": address})
        for _ in range(10_000):
            tell("STATUS=" + "x" * 200)
