"""scripts/bare-host: joins a bare Debian with the line that the console gives, and tries what its service is for.

What a test suite cannot do everywhere: it makes a whole system, boots it with a real systemd, and installs from the
package index.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bare.machine import Machine
from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation
from tests.endtoend.pasted import pasted_line

NAME = "bare"


class Rehearsal:
    """One machine and one console."""

    def __init__(self, ects: Installation, machine: Machine) -> None:
        self.ects = ects
        self.machine = machine

    def run(self) -> None:
        """Raises AssertionError with what does not hold."""
        steps = (self.joins, self.confines, self.stops, self.comes_back, self.as_root, self.goes)
        for number, step in enumerate(steps, 1):
            step()
            print(f"{number}. {(step.__doc__ or '').rstrip('.')}", flush=True)

    def joins(self) -> None:
        """The pasted line installs Python, the program and the service, and the node is online."""
        done = self.machine.run("sh", "-c", pasted_line(self.ects, name=NAME))
        assert done.returncode == 0, done.stdout + done.stderr
        wait_for("it is online", lambda: self.node()["status"] == "online")
        assert self.machine.run("/opt/ects/scripts/join").returncode == 0

    def confines(self) -> None:
        """Jobs have the rights of ects-worker: they write files, not to the system; root's calls are refused."""
        said = self.job("id -un; touch /tmp/x && echo wrote; touch /etc/x /opt/ects/x; date -s 2020-01-01")
        assert said.startswith("ects-worker\nwrote\n"), said
        assert said.count("Read-only file system") == 2, said
        assert "cannot set date" in said
        assert "cannot become another user" in self.run_of("id", user="nobody")["reason"]

    def stops(self) -> None:
        """systemctl stop lets a run end within the grace, and nothing is left of one that does not."""
        patient = self.begin("sleep 5; echo ended")
        stubborn = self.begin("trap '' TERM; (setsid sleep 600 &); sleep 600")
        assert self.machine.run("systemctl", "stop", "ects-worker").returncode == 0
        assert self.ects.get(f"runs/{patient}/")["state"] == "succeeded"
        assert self.ects.get(f"runs/{stubborn}/")["state"] == "killed"
        assert not self.machine.run("pgrep", "-x", "sleep").stdout

    def comes_back(self) -> None:
        """A worker that is killed is started again, and so is one after a reboot."""
        assert self.machine.run("systemctl", "start", "ects-worker").returncode == 0
        self.machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "ects-worker")
        wait_for("systemd starts it again", lambda: self.is_active() and self.job("echo here") == "here\n", 60)
        self.machine.halt()
        wait_for("it is offline", lambda: self.node()["status"] == "offline", 60)
        self.machine.boot()
        wait_for("it is online again", lambda: self.node()["status"] == "online", 60)

    def as_root(self) -> None:
        """With --user root steps choose their user, who can read nothing of the worker."""
        done = self.machine.run("/opt/ects/scripts/join", "--user", "root")
        assert done.returncode == 0, done.stderr
        said = self.job("id -un; cat /var/lib/ects-worker/identity.json", user="nobody")
        assert said.startswith("nobody\n"), said
        assert "Permission denied" in said
        assert self.job("id -un; touch /etc/x && rm /etc/x && echo wrote") == "root\nwrote\n"

    def goes(self) -> None:
        """Uninstalled, nothing of it is left."""
        done = self.machine.run("/opt/ects/scripts/join", "--uninstall", "--purge")
        assert done.returncode == 0, done.stderr
        left = self.machine.run("sh", "-c", "ls -d /etc/systemd/system/ects* /etc/ects/* /var/lib/ects*").stdout
        assert left == "", left
        assert self.machine.run("id", "ects-worker").returncode != 0

    # -- from outside -------------------------------------------------------------------------------------------

    def node(self) -> dict[str, Any]:
        return next(node for node in self.ects.nodes() if node["name"] == NAME)

    def is_active(self) -> bool:
        return self.machine.run("systemctl", "is-active", "ects-worker").stdout == "active\n"

    def begin(self, script: str, **step: Any) -> str:
        """Runs it on the node; the run's id, once it has begun."""
        steps = [{"task": self.ects.task("shell", script), **step}]
        pipeline = self.ects.pipeline("@manual", steps, nodes=[self.node()["id"]])
        [run] = self.ects.post(f"pipelines/{pipeline}/run/", {"environment": {}}, 202)["runs"]
        wait_for("it begins", lambda: self.ects.get(f"runs/{run}/")["started_at"])
        return str(run)

    def run_of(self, script: str, **step: Any) -> dict[str, Any]:
        """Its run, ended."""
        run = self.begin(script, **step)
        return wait_for("it ends", lambda: (r := self.ects.get(f"runs/{run}/"))["state"] != "running" and r, 60)

    def job(self, script: str, **step: Any) -> str:
        """What it says."""
        return self.ects.api.get(f"runs/{self.run_of(script, **step)['id']}/output/").text


def main() -> int:
    """0 when all of it holds."""
    parser = argparse.ArgumentParser(prog="scripts/bare-host")
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--root", type=Path, help="a machine that an earlier run has made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ects-bare-") as scratch:
        machine = Machine(arguments.root or Path(scratch) / arguments.suite)
        if not machine.directory.exists():
            machine.make(arguments.suite)
        ects = Installation(Path(scratch) / "var")
        try:
            ects.start()
            machine.boot()
            Rehearsal(ects, machine).run()
        finally:
            machine.halt()
            ects.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
