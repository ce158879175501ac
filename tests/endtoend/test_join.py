"""A host that has nothing but what the console gives: the pasted line gets the program and installs a service, with
requirements-worker.txt and nothing else. In a mount namespace of its own, so that this machine stays as it is."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend import service_manager
from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation, command_line
from tests.endtoend.pasted import pasted_line

ELSEWHERE = ("mysqlclient", "djangorestframework", "django-unfold", "gunicorn", "django-environ", "PyYAML", "pytest")
"""Some of what the console or the tests need."""

SETUP = """\
mount -t tmpfs tmpfs {scratch}
for place in etc opt var; do
    mkdir {scratch}/$place {scratch}/$place.work
    mount -t overlay -o lowerdir=/$place,upperdir={scratch}/$place,workdir={scratch}/$place.work overlay /$place
done
rm -rf /opt/ects
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /etc/systemd/system
echo ready
exec cat
"""


class Host:
    """What looks like another machine's /etc, /opt, /var and /run to whatever is run here."""

    def __init__(self, directory: Path) -> None:
        scratch = directory / "scratch"
        scratch.mkdir()
        self.services = directory / "services"
        self.services.mkdir()
        wrapper = directory / "bin" / "systemctl"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} {service_manager.__file__} {self.services} "$@"\n')
        wrapper.chmod(0o755)
        self.path = f"{wrapper.parent}:{os.environ['PATH']}"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-ec", SETUP.format(scratch=scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Ends within five minutes; its directory is /."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("ECTS_", "DJANGO_"))}
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--wd=/", *command],
            env=clean | {"PATH": self.path, "ECTS_PYTHON": sys.executable} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def join(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("/opt/ects/scripts/join", *options, **environment)

    def pid(self) -> int:
        """Of the service; 0 when there is none."""
        file = self.services / "ects-worker.service.pid"
        return int(file.read_text()) if file.exists() else 0

    def close(self) -> None:
        self.join("--uninstall")
        self._holder.kill()
        self._holder.wait()


@pytest.fixture(scope="module")
def host(ects: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host that has pasted the line."""
    it = Host(tmp_path_factory.mktemp("host"))
    try:
        pasted = it.run("sh", "-c", pasted_line(ects, name="bare", label="site=cellar", user="root"))
        assert pasted.returncode == 0, pasted.stdout + pasted.stderr
        assert "joined as bare" in pasted.stderr
        assert "ects-worker.service runs" in pasted.stderr
        yield it
    finally:
        it.close()


def _node(ects: Installation) -> dict[str, Any]:
    return next(node for node in ects.nodes() if node["name"] == "bare")


def _online(ects: Installation) -> dict[str, Any]:
    return wait_for("it is online", lambda: (node := _node(ects))["status"] == "online" and node)


def test_it_needs_the_worker_s_requirements_alone_and_runs_jobs(ects: Installation, host: Host) -> None:
    held = host.run("/opt/ects/.venv/bin/python", "-m", "pip", "freeze").stdout
    assert "Django==" in held
    assert not [name for name in ELSEWHERE if name.lower() in held.lower()]
    node = _online(ects)
    assert node["labels"] == {"site": "cellar"}
    steps = [{"task": ects.task("shell", "id -un; cat /var/lib/ects-worker/identity.json"), "user": "nobody"}]
    run = ects.run_now(ects.pipeline("@manual", steps, nodes=[], node_labels={"site": "cellar"}))
    output = ects.api.get(f"runs/{run['id']}/output/").text
    assert output.startswith("nobody\n")
    assert "Permission denied" in output
    examined = host.run(
        *("/opt/ects/.venv/bin/python", "/opt/ects/manage.py", "doctor", "--worker"),
        *("--state-dir", "/var/lib/ects-worker"),
    )
    assert "console" in examined.stdout, examined.stderr


def test_run_again_it_changes_nothing(ects: Installation, host: Host) -> None:
    before = host.pid()
    again = host.join()
    assert again.returncode == 0, again.stderr
    assert "wrote" not in again.stderr
    assert host.pid() == before
    assert host.run("stat", "-c", "%a %U", "/var/lib/ects-worker").stdout == "700 root\n"


def test_options_replace_those_of_their_name(ects: Installation, host: Host) -> None:
    host.run("sh", "-c", "echo ECTS_LOG_LEVEL=DEBUG >> /etc/ects/worker.env")
    before = host.pid()
    assert host.join("--capacity", "3", "--label=a=b").returncode == 0
    assert host.pid() != before
    kept = host.run("cat", "/etc/ects/worker.env").stdout
    assert kept == "ECTS_LOG_LEVEL=DEBUG\nECTS_WORKER_OPTIONS=--capacity 3 --label a=b\n"
    assert "--capacity 3" in command_line(host.pid())
    wait_for("it says so", lambda: _node(ects)["capacity"] == 3)
    assert host.run("stat", "-c", "%a", "/etc/ects/worker.env").stdout == "600\n"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--token", "x"], "every user of this host could see it"),
        (["--user", "nosuch"], "there is no user nosuch"),
        (["--label", "a=b c"], "no spaces"),
        (["--frobnicate"], "what is --frobnicate?"),
        (["--name"], "needs a value"),
        (["--rejoin"], "an enrolment token is needed"),
        (["--rejoin", "--token-file", "nothing"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(host: Host, options: list[str], why: str) -> None:
    before = host.pid()
    refused = host.join(*options)
    assert refused.returncode == 1
    assert why in refused.stderr
    assert host.pid() == before


def test_a_token_that_is_no_good_leaves_the_worker_at_work(ects: Installation, host: Host) -> None:
    refused = host.join("--rejoin", ECTS_ENROLMENT_TOKEN="ects1.x.y")
    assert refused.returncode == 2
    assert "is not known" in refused.stderr
    _online(ects)
    assert command_line(host.pid())


def test_it_joins_again_by_the_line_of_its_page(ects: Installation, host: Host) -> None:
    node = _node(ects)
    again = host.run("sh", "-c", pasted_line(ects, f"?node={node['id']}"))
    assert again.returncode == 0, again.stderr
    assert f"joined as bare ({node['id']})" in again.stderr
    assert _online(ects)["id"] == node["id"]


def test_a_program_that_was_changed_on_the_way_is_not_run(ects: Installation, host: Host) -> None:
    line = re.sub(r'echo "[0-9a-f]{64}', f'echo "{"0" * 64}', pasted_line(ects))
    refused = host.run("sh", "-c", line)
    assert refused.returncode != 0
    assert "FAILED" in refused.stdout + refused.stderr
    assert "ects-worker.service" not in refused.stderr


def test_other_commands_say_what_they_lack(host: Host) -> None:
    refused = host.run("/opt/ects/.venv/bin/python", "/opt/ects/manage.py", "single", ECTS_DATA_DIR="/var/tmp/ects")
    assert refused.returncode == 1
    assert "install requirements.txt" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_it_is_uninstalled(ects: Installation, host: Host) -> None:
    pid = host.pid()
    removed = host.join("--uninstall")
    assert removed.returncode == 0, removed.stderr
    assert "kept /var/lib/ects-worker" in removed.stderr
    wait_for("the worker is gone", lambda: not command_line(pid))
    left = host.run("sh", "-c", "ls -d /etc/systemd/system/ects* /etc/ects/* /var/lib/ects-worker/identity.json").stdout
    assert left == "/var/lib/ects-worker/identity.json\n"
    assert host.join("--uninstall", "--purge").returncode == 0
    assert host.run("ls", "/var/lib/ects-worker").returncode != 0
