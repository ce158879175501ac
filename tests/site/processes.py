"""Runs parts of the product as processes of their own, in a data directory of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.etcd_server import wait_until

ROOT = Path(__file__).resolve().parents[2]


def environment(directory: Path, **more: str) -> dict[str, str]:
    """This environment without any setting of ECTS, for an installation in ``directory``. What it says comes in time
    without PYTHONUNBUFFERED, too."""
    left_out = ("ECTS_", "DJANGO_", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "ECTS_DATA_DIR": str(directory), **more}


def manage(directory: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """``manage.py`` to its end, within four minutes: beside other tests a machine is slow."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(directory, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@contextmanager
def running(log: Path, command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is stopped at the end of the block; what it says goes to ``log``."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_alive(pid: int) -> bool:
    """Whether there is such a process, which is no zombie."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def mentioning(text: str) -> list[str]:
    """The command lines of the processes, other than this one, whose environment or arguments hold ``text``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                arguments = (entry / "cmdline").read_bytes()
                if text.encode() in arguments + (entry / "environ").read_bytes():
                    found.append(f"{entry.name}: {arguments.replace(bytes(1), b' ').decode()}")
    return found


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def wait_for_line(path: Path, text: str, timeout: float = 60.0) -> str:
    """The first line of a file that holds ``text``."""

    def probe() -> str | None:
        lines = path.read_text().splitlines() if path.exists() else []
        return next((line for line in lines if text in line), None)

    return str(wait_until(probe, f"{text!r} in {path}", timeout))
