"""A worker's host under a kernel of its own (User-mode Linux), so that its clock can truly be set: this machine's must
not be, and no namespace covers it.

The guest sees this machine's files, and nothing else of it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.etcd_server import wait_until
from tests.faults.hosts import Host
from tests.site.processes import ROOT

BOOT_WITHIN = 60.0
STOP_WITHIN = 40.0

_FIRST = Path(__file__).with_name("guest.sh")

_KERNEL = (
    *("mem=256M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "quiet"),
    *("con=null", "con0=fd:0,fd:1", f"init={_FIRST}"),
)


class Guest:
    """To be used like a Part: killed is who loses power."""

    def __init__(self, host: Host, directory: Path, *, state_dir: Path, account: Path, log: Path, ttl: float) -> None:
        self.name = host.name
        self.host = host
        self.log = log
        self.began = 0.0
        self.left = 0
        """Jobs that outlived the worker's orderly end."""
        self._answers = directory / f"{host.name}.answers"
        words = {
            "NAME": host.name,
            "ADDRESS": f"{host.address}/24",
            "ROOT": ROOT,
            "PYTHON": sys.executable,
            "STATE": state_dir,
            "ACCOUNT": account,
            "ANSWERS": self._answers,
            "LOG": log,
            "TTL": f"{ttl:g}",
        }
        kernel = shutil.which("linux.uml") or "linux"
        self._command = [kernel, *_KERNEL, f"vec0:transport=tap,ifname={host.port},depth=64"]
        self._command += [f"{word}={value}" for word, value in words.items()]
        self._console = directory / f"{host.name}.console"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Boots, and returns when the worker has been started."""
        self.began = time.time()
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=console, stderr=console, start_new_session=True
            )
        self._answered("started", len(self._said()), BOOT_WITHIN)

    def set_clock(self, seconds: float) -> None:
        """Sets it ahead by so much, or back. Raises AssertionError when the guest could not."""
        self._order(f"clock {seconds:+g}")

    def behind(self) -> float:
        """Seconds by which its clock is behind at the most: to set it takes time, which it loses."""
        told = float(self._order("tell").split()[1])
        return max(time.time() - told, 0.0)

    def kill(self) -> None:
        """The power is gone: nothing of it lives on."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def pause(self) -> None:
        """The whole machine stands still. Only its kernel is stopped, which traces all others: they must not get such
        signals from elsewhere."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on, and finds that it is later."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends the worker in order, and then the machine."""
        if self._process is None or self._process.poll() is not None:
            return
        answer = self._order("off", "left", STOP_WITHIN)
        self.left += int(answer.split()[1])
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()

    def _order(self, line: str, answer: str = "", within: float = 10.0) -> str:
        assert self._process is not None
        assert self._process.stdin is not None
        known = len(self._said())
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        return self._answered(answer or line.split()[0], known, within)

    def _answered(self, word: str, known: int, within: float) -> str:
        def probe() -> str | None:
            return next((line for line in self._said()[known:] if line.startswith((word, "failed"))), None)

        answer = str(wait_until(probe, f"{self.name} says {word!r}, see {self._console}", within))
        assert answer.startswith(word), f"{self.name} has {answer}, see {self._console}"
        return answer

    def _said(self) -> list[str]:
        return self._answers.read_text().splitlines() if self._answers.exists() else []
