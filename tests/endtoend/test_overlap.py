"""What becomes of a fire while the previous run is still going."""

import secrets

from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation


def test_queue_lets_one_wait(ects: Installation) -> None:
    flag = ects.directory.parent / f"flag-{secrets.token_hex(4)}"
    step = {"task": ects.task("shell", f"while [ ! -e {flag} ]; do sleep 0.05; done")}
    pipeline = ects.pipeline("* * * * * *", [step], overlap="queue")
    skipped = wait_for("fires are skipped", lambda: ects.runs(pipeline, state="skipped"))
    assert {row["reason"] for row in skipped} == {"one fire is waiting already"}
    first, second = sorted(ects.runs(pipeline, state="running"), key=lambda row: row["scheduled_at"])
    assert first["started_at"]
    assert not second["started_at"]
    assert second["reason"] == "waiting for the previous run to end"
    flag.touch()
    wait_for("the one that waited has run", lambda: ects.get(f"runs/{second['id']}/")["state"] == "succeeded")
    ects.disable(pipeline)


def test_replace_ends_the_one_before(ects: Installation) -> None:
    pipeline = ects.pipeline("*/2 * * * * *", [{"task": ects.task("shell", "sleep 600")}], overlap="replace")
    killed = wait_for("runs are replaced", lambda: (r := ects.runs(pipeline, state="killed")) and len(r) > 1 and r)
    assert {row["reason"] for row in killed} == {"replaced by the next fire"}
    ects.disable(pipeline)
    # One that is replaced at this moment is told as going until it is dead, beside the one that takes its place.
    [going] = wait_for("one is going", lambda: (r := ects.runs(pipeline, state="running")) and len(r) == 1 and r)
    ects.post(f"runs/{going['id']}/kill/", {}, 202)
    wait_for("nothing is running", lambda: not ects.runs(pipeline, state="running"))
