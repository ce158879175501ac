"""Definitions reach the workers although etcd goes away or is emptied, over the API, on the whole installation."""

import os
import shutil
import signal
import time

from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation
from tests.etcd_server import stands_still

ETCD = "--listen-client-urls"


def _ticking(ects: Installation) -> str:
    pipeline = ects.pipeline("* * * * * *", [{"task": ects.task("shell", "echo tick"), "position": 0}])
    ects.ended(pipeline, 1)
    return pipeline


def test_etcd_stopped_while_saving(ects: Installation) -> None:
    pipeline = _ticking(ects)
    etcd = ects.child(ETCD)
    os.kill(etcd, signal.SIGSTOP)
    try:
        # Until then one of its threads may still answer.
        wait_for("etcd stands still", lambda: stands_still(etcd))
        began = time.monotonic()
        reply = ects.api.patch(f"pipelines/{pipeline}/", json={"description": "while etcd was away"})
        took = time.monotonic() - began
        assert reply.status_code == 200, reply.text
        assert reply.json()["published"] is False
        assert took < 5
    finally:
        os.kill(etcd, signal.SIGCONT)
    wait_for("published by itself", lambda: ects.get(f"pipelines/{pipeline}/")["published"])
    ects.disable(pipeline)


def test_etcd_wiped_while_firing(ects: Installation) -> None:
    pipeline = _ticking(ects)
    data = ects.directory / "etcd" / "data"
    etcd = ects.child(ETCD)
    os.kill(etcd, signal.SIGKILL)
    shutil.rmtree(data, ignore_errors=True)
    wait_for("etcd is back", ects.is_ready)
    before = len(ects.ended(pipeline))
    ects.ended(pipeline, before + 3)

    # The new etcd holds the documents again: an edit of one arrives, and so does a removal.
    mark = ects.task("shell", "echo after the wipe")
    step = {"task": mark, "position": 0}
    wait_for(
        "an edit arrives",
        lambda: ects.api.patch(f"pipelines/{pipeline}/", json={"steps": [step]}).status_code == 200,
    )
    wait_for(
        "the edited pipeline runs",
        lambda: any("after the wipe" in run["steps"][0]["output"] for run in ects.ended(pipeline)[:5] if run["steps"]),
        30,
    )
    ects.disable(pipeline)
    wait_for("no run for three seconds", lambda: ects.quiet(pipeline, 3))


def test_a_command_to_a_disabled_pipeline_runs(ects: Installation) -> None:
    step = {"task": ects.task("shell", 'echo "$GREETING"'), "position": 0}
    pipeline = ects.pipeline("@daily", [step], enabled=False)
    run = ects.run_now(pipeline, {"GREETING": "by hand"})
    assert run["state"] == "succeeded"
    assert run["trigger"] == "manual"
    assert "by hand" in run["steps"][0]["output"]


def test_the_second_stop_of_a_run_is_a_conflict(ects: Installation) -> None:
    pipeline = ects.pipeline("@manual", [{"task": ects.task("shell", "true"), "position": 0}])
    run = ects.run_now(pipeline)
    reply = ects.api.post(f"runs/{run['id']}/kill/", json={})
    assert reply.status_code == 409
