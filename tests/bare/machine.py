"""A bare machine: a Debian made by debootstrap, booted with its own systemd in namespaces (systemd-nspawn)."""

import os
import subprocess
from pathlib import Path

from tests.endtoend.client import wait_for

INCLUDE = "systemd-sysv,dbus,procps,curl"
"""What every installed Debian has, and a program that gets files."""

CERTIFICATES = "/run/certificates.crt"


class Machine:
    """``directory`` holds its root. It shares the network of this one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        self._binds: list[str] = []
        if index := os.environ.get("PIP_INDEX_URL"):
            self._environment["PIP_INDEX_URL"] = index
        if certificates := os.environ.get("PIP_CERT"):
            self._environment["PIP_CERT"] = CERTIFICATES
            self._binds = [f"--bind-ro={certificates}:{CERTIFICATES}"]

    def make(self, suite: str) -> None:
        """Some minutes, and 400 MB."""
        command = ["debootstrap", "--variant=minbase", f"--include={INCLUDE}", suite, str(self.directory)]
        with self.directory.with_suffix(".log").open("wb") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log)

    def boot(self) -> None:
        command = ["systemd-nspawn", "--boot", f"--directory={self.directory}", "--register=no", "--keep-unit"]
        # Newer systemds refuse the first version of control groups, which this host may have.
        environment = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with self.directory.with_suffix(".boot.log").open("wb") as log:
            self._supervisor = subprocess.Popen(
                [*command, *self._binds],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
            )
        wait_for("its systemd is up", lambda: self.run("systemctl", "is-system-running").stdout == "running\n", 120)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """As root, inside; ends within ten minutes."""
        words = [f"{name}={value}" for name, value in (self._environment | environment).items()]
        enter = ["nsenter", f"--target={self._leader()}", *("--mount", "--uts", "--ipc", "--pid", "--cgroup")]
        return subprocess.run(
            [*enter, "env", "-i", *words, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def halt(self) -> None:
        if self._supervisor is not None:
            self.run("systemctl", "poweroff")
            self._supervisor.wait(60)

    def _leader(self) -> str:
        """The process that is number 1 inside."""
        assert self._supervisor is not None
        supervisor = self._supervisor.pid
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children")
        return wait_for("it has a first process", lambda: children.read_text().split()[:1])[0]
