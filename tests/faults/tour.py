"""What the harness sees in a world of its own, as one JSON object: ``python -m tests.faults.tour``."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.faults import inside, workers
from tests.faults.facts import Violation
from tests.faults.hosts import HERE, Host, Network, Way
from tests.faults.stage import Stage

PORT = 9000

SENT = 2
"""Datagrams: one may be lost by itself, while the machine is busy or an address is asked for."""


def main() -> None:
    """Looks at all there is."""
    if not inside.is_inside():
        inside.enter("tests.faults.tour", [])
    # Twice: of the first switch nothing is left in the way of the second.
    print(json.dumps({"ways": [_ways(), _ways()], "left": _left()}))


def _ways() -> dict[str, list[bool]]:
    """For each cut whether something from a host arrives here, and whether something from here arrives there."""
    network = Network()
    host = network.host("one")
    seen = {"none": [_arrives(host), _reaches(host)]}
    ways: tuple[Way, ...] = ("both", "in", "out")
    for way in ways:
        network.cut(host, way)
        seen[way] = [_arrives(host), _reaches(host)]
        network.restore(host)
    seen["restored"] = [_arrives(host), _reaches(host)]
    network.close()
    return seen


def _arrives(host: Host) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind((HERE, PORT))
        here.settimeout(0.5)
        for _ in range(SENT):
            subprocess.run([*host.prefix, "bash", "-c", f"echo x >/dev/udp/{HERE}/{PORT}"], check=True)
            with suppress(TimeoutError):
                return bool(here.recv(10))
    return False


def _reaches(host: Host) -> bool:
    receive = (
        "import socket; it = socket.socket(type=socket.SOCK_DGRAM); it.bind(('', 9000)); it.settimeout(1.5); "
        "print('ready', flush=True); it.recv(10)"
    )
    command = [*host.prefix, sys.executable, "-c", receive]
    there = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert there.stdout is not None
    there.stdout.readline()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        for _ in range(SENT):
            here.sendto(b"x", (host.address, PORT))
            with suppress(subprocess.TimeoutExpired):
                return there.wait(0.5) == 0
    return there.wait() == 0


def _left() -> dict[str, list[str]]:
    """A process that carries the marks of a run, before and after its end."""
    marks = {"ECTS_RUN_ID": "a", "ECTS_NODE": "n1"}
    job = subprocess.Popen(["sleep", "600"], env=os.environ | marks, start_new_session=True)
    seen = {
        "of n1": [line.split(" ", 1)[1] for line in _patiently("n1")],
        "of n2": workers.jobs_of("n2"),
        "of all": [line for _, line in inside.others()],
        "told by a stage": [violation.kind for violation in _told(Stage(Path.cwd()))],
    }
    job.kill()
    job.wait()
    return seen | {"at the end": [line for _, line in inside.others()] + workers.jobs_of()}


def _told(stage: Stage) -> list[Violation]:
    """What a stage without a part of its own has against what goes on after all runs, and after its own end."""
    return stage.jobs_left(within=0) + stage.close()


def _patiently(node: str) -> list[str]:
    """Its environment is there once it has begun its program."""
    deadline = time.monotonic() + 10
    while not (found := workers.jobs_of(node)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


if __name__ == "__main__":
    main()
