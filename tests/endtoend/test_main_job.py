"""The main job, seen from outside only: define over the API, fire on a real worker, read what ran."""

import hashlib
import hmac
import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.endtoend.client import instant, wait_for
from tests.endtoend.conftest import Mailbox, Receiver
from tests.endtoend.installation import Installation, processes_with


def test_the_example_runs_and_shows_its_output(ects: Installation) -> None:
    [example] = [one for one in ects.listed("pipelines/") if one["name"] == "example"]
    run = ects.ended(example["id"])[0]
    assert run["state"] == "succeeded", run
    assert any(step["output"] for step in run["steps"])


def test_every_kind_every_two_seconds(ects: Installation, receiver: Receiver, mailbox: Mailbox) -> None:
    ects.post("secrets/", {"name": "HOOK_KEY", "value": "s3cr3t-hook"})
    shell = ects.task("shell", 'echo "fired for $ECTS_SCHEDULED_AT"; echo answer=42 >> "$ECTS_OUTPUT"')
    http = ects.task("http", url=f"{receiver.url}/get", method="GET", expect_status="200", expect_text="hello")
    hook = ects.task("hook", "done", url=f"{receiver.url}/hook", signing_secret="HOOK_KEY")
    mail = ects.task("mail", "answer {{ answer }}", recipients=["ops@example.org"], subject="run of {{ pipeline }}")
    steps = [{"task": task, "position": i} for i, task in enumerate([shell, http, hook, mail])]
    # A slow machine may take longer than two seconds for one of them.
    pipeline = ects.pipeline("*/2 * * * * *", steps, overlap="allow")
    ects.ended(pipeline, 3)
    ects.disable(pipeline)
    runs = wait_for("all of them end", lambda: _over(ects, pipeline))

    for run in runs:
        assert run["state"] == "succeeded", run
        first, second, third, _ = run["steps"]
        scheduled = instant(run["scheduled_at"])
        assert instant(first["output"].split()[-1]) == scheduled
        assert second["http_status"] == 200
        assert "hello" in second["output"]
        assert third["state"] == "succeeded"
    moments = sorted(instant(run["scheduled_at"]) for run in runs)
    assert {b - a for a, b in pairwise(moments)} == {timedelta(seconds=2)}

    hooks = [request for request in receiver.requests if request[1] == "/hook"]
    _, _, headers, body = hooks[0]
    assert json.loads(body)["pipeline"]
    fields = dict(part.split("=", 1) for part in headers["X-ECTS-Signature"].split(","))
    expected = hmac.new(b"s3cr3t-hook", f"{fields['t']}.".encode() + body, hashlib.sha256).hexdigest()
    assert fields["v1"] == expected
    message = wait_for("a mail", lambda: mailbox.messages and mailbox.messages[0])
    assert message["To"] == "ops@example.org"
    assert "answer 42" in str(message.get_payload())


def _over(ects: Installation, pipeline: str) -> list[dict[str, Any]]:
    """All runs, if none of them is going."""
    rows = ects.runs(pipeline)
    return rows if all(row["state"] != "running" for row in rows) else []


def test_a_failing_strong_step_stops_the_pipeline_and_starts_the_failure_task(ects: Installation) -> None:
    good, bad = ects.task("shell", "echo fine"), ects.task("shell", "echo broken; exit 3")
    tell = ects.task("shell", 'echo "state is $ECTS_RUN_STATE"')
    steps = [{"task": good, "position": 0}, {"task": bad, "position": 1}, {"task": good, "position": 2}]
    pipeline = ects.pipeline("@manual", steps, on_failure=tell)
    run = ects.run_now(pipeline)
    assert run["state"] == "failed"
    states = [(step["task_name"].split("-")[0], step["state"]) for step in run["steps"]]
    assert [state for _, state in states] == ["succeeded", "failed", "skipped", "succeeded"]
    assert run["steps"][1]["exit_code"] == 3
    assert "state is failed" in run["steps"][3]["output"]


def test_a_weak_failure_goes_on_and_succeeds(ects: Installation) -> None:
    bad, good = ects.task("shell", "exit 1"), ects.task("shell", "echo after")
    tell = ects.task("shell", 'echo "state is $ECTS_RUN_STATE"')
    steps = [{"task": bad, "position": 0, "dependence": "weak"}, {"task": good, "position": 1}]
    run = ects.run_now(ects.pipeline("@manual", steps, on_success=tell))
    assert run["state"] == "succeeded"
    assert [step["state"] for step in run["steps"]] == ["failed", "succeeded", "succeeded"]


def test_retries_and_interval(ects: Installation, tmp_path: Path) -> None:
    counted = ects.task("shell", f"echo try >> {tmp_path}/tries; test $(wc -l < {tmp_path}/tries) = 3")
    run = ects.run_now(ects.pipeline("@manual", [{"task": counted, "position": 0, "retries": 2, "interval": 0.1}]))
    assert run["state"] == "succeeded"
    assert run["steps"][0]["attempts"] == 3


def test_positions_side_by_side(ects: Installation, tmp_path: Path) -> None:
    met = tmp_path / "met"
    waits = ects.task("shell", f"echo here >> {met}; until [ $(wc -l < {met}) = 2 ]; do sleep 0.05; done")
    run = ects.run_now(ects.pipeline("@manual", [{"task": waits, "position": 1}, {"task": waits, "position": 1}]))
    first, second = run["steps"]
    assert instant(second["started_at"]) < instant(first["finished_at"])
    assert instant(first["started_at"]) < instant(second["finished_at"])


def test_kill_leaves_no_process(ects: Installation) -> None:
    stubborn = ects.task("shell", "trap '' TERM; setsid sleep 300 & (setsid sh -c 'sleep 301 &') ; sleep 302")
    pipeline = ects.pipeline("@manual", [{"task": stubborn, "position": 0}])
    [run] = ects.post(f"pipelines/{pipeline}/run/", {}, 202)["runs"]
    mark = f"ECTS_RUN_ID={run}"
    wait_for("the job is running", lambda: len(processes_with(mark)) >= 3)
    ects.post(f"runs/{run}/kill/", {}, 202)
    ended = wait_for("killed", lambda: (r := ects.get(f"runs/{run}/"))["state"] != "running" and r)
    assert ended["state"] == "killed"
    assert processes_with(mark) == []


def test_time_limits(ects: Installation) -> None:
    slow = ects.task("shell", "sleep 60")
    run = ects.run_now(ects.pipeline("@manual", [{"task": slow, "position": 0, "timeout": 0.5}]))
    assert run["steps"][0]["state"] == "timed_out"
    run = ects.run_now(ects.pipeline("@manual", [{"task": slow, "position": 0}], timeout=0.5))
    assert run["state"] == "timed_out"


def test_overlap_skip_is_in_the_ledger(ects: Installation) -> None:
    slow = ects.task("shell", "sleep 2.5")
    pipeline = ects.pipeline("* * * * * *", [{"task": slow, "position": 0}], overlap="skip")
    skipped = wait_for("a skip", lambda: ects.runs(pipeline, state="skipped"))
    ects.disable(pipeline)
    assert "previous run" in skipped[0]["reason"]


def test_a_secret_is_used_and_masked(ects: Installation) -> None:
    ects.post("secrets/", {"name": "PASSWORD", "value": "correct-horse"})
    leak = ects.task("shell", 'echo "token {{ secrets.PASSWORD }}"; echo "$PW" | rev')
    run = ects.run_now(
        ects.pipeline("@manual", [{"task": leak, "position": 0, "environment": {"PW": "{{ secrets.PASSWORD }}"}}])
    )
    assert run["state"] == "succeeded", run
    assert "correct-horse" not in run["steps"][0]["output"]
    assert "token ***" in run["steps"][0]["output"]
    assert "esroh-tcerroc" in run["steps"][0]["output"]


def test_a_pipeline_bound_to_two_workers_runs_on_both(ects: Installation) -> None:
    ects.add_worker("second")
    nodes = [ects.node, *(node["id"] for node in ects.nodes() if node["name"] == "second")]
    where = ects.task("shell", 'echo "on {{ node }}"')
    pipeline = ects.pipeline("* * * * * *", [{"task": where, "position": 0}], nodes=nodes)
    wait_for("runs on both", lambda: {run["node"] for run in ects.ended(pipeline)} == set(nodes))
    ects.disable(pipeline)
    for run in ects.ended(pipeline):
        assert run["steps"][0]["output"] == f"on {run['node_name']}\n"


def test_the_global_pause(ects: Installation) -> None:
    pipeline = ects.pipeline("* * * * * *", [{"task": ects.task("shell", "echo tick"), "position": 0}])
    ects.ended(pipeline, 1)
    assert ects.api.put("control/", json={"paused": True}).status_code == 200
    try:
        wait_for("no run for three seconds", lambda: ects.quiet(pipeline, 3))
    finally:
        assert ects.api.put("control/", json={"paused": False}).status_code == 200
    before = len(ects.ended(pipeline))
    ects.ended(pipeline, before + 1)
    # Beside what may be skipped because a slow machine was still at the one before.
    wait_for("the ledger says so", lambda: "paused" in {row["reason"] for row in ects.runs(pipeline, state="skipped")})
    ects.disable(pipeline)


def test_a_disabled_pipeline_is_forgotten(ects: Installation) -> None:
    pipeline = ects.pipeline("* * * * * *", [{"task": ects.task("shell", "echo tick"), "position": 0}])
    ects.ended(pipeline, 1)
    ects.disable(pipeline)
    wait_for("the tombstone is published", lambda: ects.get(f"pipelines/{pipeline}/")["published"])
    wait_for("no run for three seconds", lambda: ects.quiet(pipeline, 3))
