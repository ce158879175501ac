"""A worker that is killed while it has much in hand."""

import os
import signal
from pathlib import Path

from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation

RUNS = 50
WITHIN = 5.0
"""Seconds in which the guard has to have ended everything: it takes a moment, but of a machine that others use, too."""


def test_a_killed_worker_leaves_no_job_and_no_run_that_seems_to_go_on(ects: Installation) -> None:
    worker = ects.add_worker("crash")
    node = next(node["id"] for node in ects.nodes() if node["name"] == "crash")
    mark = f"7531{os.getpid()}"
    # Some of them try to get away.
    script = f"(setsid sleep {mark} &) ; trap '' TERM; echo begun; sleep {mark}; true"
    steps = [{"task": ects.task("shell", script)}]
    pipeline = ects.pipeline("@manual", steps, nodes=[node], overlap="allow")
    runs = [ects.post(f"pipelines/{pipeline}/run/", {}, 202)["runs"][0] for _ in range(RUNS)]
    wait_for(f"{RUNS} are going", lambda: len(_pids(mark)) >= 2 * RUNS)
    wait_for("the ledger shows them, with what they wrote", lambda: _told(ects, pipeline) == RUNS)

    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    wait_for("no job is left, though nobody starts the worker again", lambda: not _pids(mark), WITHIN)

    state = ects.directory / "worker-crash"
    ects.workers.remove(worker)
    ects.workers.append(ects.manage("runworker", "--state-dir", str(state)))
    wait_for("none is said to be going", lambda: not ects.runs(pipeline, state="running"))
    rows = {row["id"]: row for row in ects.runs(pipeline)}
    assert {rows[run]["state"] for run in runs} == {"lost"}
    assert all(rows[run]["reason"] for run in runs)
    assert {step["state"] for run in runs for step in rows[run]["steps"]} == {"lost"}
    assert {step["output"] for run in runs for step in rows[run]["steps"]} == {"begun\n"}, "what was written is kept"


def test_what_a_job_wrote_before_the_worker_was_killed_is_kept_up_to_the_cap(ects: Installation) -> None:
    worker = ects.add_worker("crash-output")
    node = next(node["id"] for node in ects.nodes() if node["name"] == "crash-output")
    script = "head -c 900000 /dev/zero | tr '\\0' x; echo; sleep 60"
    pipeline = ects.pipeline("@manual", [{"task": ects.task("shell", script)}], nodes=[node])
    [run] = ects.post(f"pipelines/{pipeline}/run/", {}, 202)["runs"]

    def written() -> int:
        return len(ects.api.get(f"runs/{run}/output/").text)

    wait_for("it can be seen while the job goes on", lambda: written() == 900_001)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    ects.workers.remove(worker)
    ects.workers.append(ects.manage("runworker", "--state-dir", str(ects.directory / "worker-crash-output")))
    wait_for("it is lost", lambda: ects.get(f"runs/{run}/")["state"] == "lost")
    assert written() == 900_001


def _told(ects: Installation, pipeline: str) -> int:
    rows = ects.runs(pipeline, state="running")
    return sum(step["output"] == "begun\n" for row in rows for step in row["steps"])


def _pids(mark: str) -> list[int]:
    """Processes that sleep so long."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if command[:2] == [b"sleep", mark.encode()]:
            found.append(int(place.name))
    return found
