"""As much of systemctl(1) as scripts/join asks for, where no systemd runs: reads the units that the script has written,
starts what they say, waits for its READY=1 (sd_notify(3)), and stops it by SIGTERM. Control groups and sandboxes it
cannot make; scripts/bare-host has a real systemd.

Usage: service_manager.py DIRECTORY SYSTEMCTL-ARGUMENT...    DIRECTORY: for its own files
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

UNITS = Path("/etc/systemd/system")
READY_WITHIN, STOPPED_WITHIN = 60.0, 60.0


class Unit:
    """One service. ``values`` are of its unit and drop-ins, the last of each name."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.pid_file = directory / f"{name}.pid"
        files = [UNITS / name, *sorted((UNITS / f"{name}.d").glob("*.conf"))]
        self.values: dict[str, str] = {}
        for line in "\n".join(file.read_text() for file in files if file.exists()).splitlines():
            key, equals, value = line.partition("=")
            if equals and not key.startswith("#"):
                self.values[key] = value

    @property
    def pid(self) -> int:
        """0 when it does not run."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pid = int(self.pid_file.read_text())
            os.kill(pid, 0)
            return pid
        return 0

    def start(self) -> int:
        """Its exit status: 0 when it is ready."""
        if self.pid:
            return 0
        environment = self._environment()
        words = [word for each in self.values["ExecStart"].split() for word in _expanded(each, environment)]
        where = self.directory / f"{self.name}.socket"
        where.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, self._log() as log:
            ready.bind(str(where))
            ready.settimeout(0.1)
            process = subprocess.Popen(
                [
                    "setpriv",
                    f"--reuid={self.values['User']}",
                    f"--regid={self.values['Group']}",
                    "--init-groups",
                    *words,
                ],
                cwd=self.values["WorkingDirectory"],
                env=environment | {"NOTIFY_SOCKET": str(where)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            deadline = time.monotonic() + READY_WITHIN
            while process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    if b"READY=1" in ready.recv(4096):
                        self.pid_file.write_text(str(process.pid))
                        return 0
            process.kill()
        return 1

    def stop(self) -> int:
        """0 once it has ended."""
        if pid := self.pid:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOPPED_WITHIN
            while self.pid and not _is_dead(pid):
                if time.monotonic() > deadline:
                    return 1
                time.sleep(0.05)
        self.pid_file.unlink(missing_ok=True)
        return 0

    def _environment(self) -> dict[str, str]:
        file = Path(self.values["EnvironmentFile"].removeprefix("-"))
        lines = file.read_text().splitlines() if file.exists() else []
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        return base | dict(line.partition("=")[::2] for line in lines if not line.startswith("#"))

    def _log(self):  # type: ignore[no-untyped-def]
        return (self.directory / f"{self.name}.log").open("ab")


def _expanded(word: str, environment: dict[str, str]) -> list[str]:
    return environment.get(word[1:], "").split() if word.startswith("$") else [word]


def _is_dead(pid: int) -> bool:
    """A zombie has ended; whoever started it may not be there to see."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def main(directory: Path, verb: str, *arguments: str) -> int:
    """systemctl's exit status."""
    options = [word for word in arguments if word.startswith("--")]
    [name] = [word for word in arguments if not word.startswith("--")] or [""]
    unit = Unit(name.removesuffix(".service") + ".service", directory)
    if verb in ("daemon-reload", "enable"):
        return 0
    if verb == "is-active":
        return 0 if unit.pid else 3
    if verb == "cat":
        return 0 if (UNITS / unit.name).exists() else 1
    if verb == "show" and "--property=User" in options:
        print(unit.values.get("User", ""))
        return 0
    if verb == "stop" or (verb == "disable" and "--now" in options):
        return unit.stop()
    if verb in ("restart", "reload-or-restart"):
        unit.stop()
        return unit.start()
    if verb == "start":
        return unit.start()
    raise SystemExit(f"not known here: systemctl {verb} {arguments}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
