"""Shared pipelines on real workers: one node runs each fire, whoever it is."""

import secrets
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.endtoend.client import instant, wait_for
from tests.endtoend.installation import Installation

FIRES = 8


@pytest.fixture(scope="module")
def nodes(ects: Installation) -> list[str]:
    """Two workers of their own: others may have any number of them here."""
    names = ("first shared", "second shared")
    for name in names:
        ects.add_worker(name)
    return [node["id"] for node in ects.nodes() if node["name"] in names]


def expected(rows: list[dict[str, str]], seconds: int) -> bool:
    """The rows stand for every instant once, without a hole."""
    instants = sorted(instant(row["scheduled_at"]) for row in rows)
    return all(after - before == timedelta(seconds=seconds) for before, after in pairwise(instants))


@pytest.mark.parametrize("placement", ["one_sticky", "one_spread"])
def test_each_fire_runs_on_one_node(ects: Installation, nodes: list[str], placement: str) -> None:
    step = {"task": ects.task("shell", "echo fence=$ECTS_FENCE")}
    pipeline = ects.pipeline("* * * * * *", [step], nodes=nodes, placement=placement)
    ects.ended(pipeline, FIRES, 60)
    if placement == "one_spread":
        wait_for("each has had its turn", lambda: {row["node"] for row in ects.runs(pipeline)} == set(nodes), 60)
    ects.disable(pipeline)
    wait_for("nothing is running", lambda: not ects.runs(pipeline, state="running"))
    rows = ects.runs(pipeline)
    assert expected(rows, 1), rows
    assert {row["state"] for row in rows} == {"succeeded"}, rows
    ran_on = {row["node"] for row in rows}
    assert len(ran_on) == (2 if placement == "one_spread" else 1)
    details = [ects.get(f"runs/{row['id']}/") for row in sorted(rows, key=lambda row: row["scheduled_at"])]
    fences = [int(detail["steps"][0]["output"].strip().removeprefix("fence=")) for detail in details]
    assert fences == sorted(set(fences)), "each claim has a higher fence than the one before"


def test_by_hand_it_runs_once(ects: Installation, nodes: list[str]) -> None:
    pipeline = ects.pipeline(
        "@manual", [{"task": ects.task("shell", "true")}], nodes=nodes, placement="one_spread", enabled=False
    )
    assert ects.run_now(pipeline)["state"] == "succeeded"
    assert len(ects.runs(pipeline)) == 1


def test_a_fire_is_skipped_while_another_node_still_runs_the_one_before(ects: Installation, nodes: list[str]) -> None:
    flag = ects.directory.parent / f"flag-{secrets.token_hex(4)}"
    content = f"while [ ! -e {flag} ]; do sleep 0.05; done"
    pipeline = ects.pipeline(
        "* * * * * *", [{"task": ects.task("shell", content)}], nodes=nodes, placement="one_spread", overlap="skip"
    )
    skipped = wait_for("fires are skipped", lambda: (r := ects.runs(pipeline, state="skipped")) and len(r) > 4 and r)
    assert {row["reason"] for row in skipped} == {"the previous run was still going"}
    assert len(ects.runs(pipeline, state="running")) == 1
    flag.touch()
    ects.ended(pipeline, 1)
    ects.disable(pipeline)
    assert expected(ects.runs(pipeline), 1)


def test_a_change_of_placement_neither_doubles_nor_loses_a_fire(ects: Installation, nodes: list[str]) -> None:
    pipeline = ects.pipeline("*/2 * * * * *", [{"task": ects.task("shell", "true")}], nodes=nodes)
    ects.ended(pipeline, 2 * 2)
    reply = ects.api.patch(f"pipelines/{pipeline}/", json={"placement": "one_spread"})
    assert reply.status_code == 200, reply.text

    def shared() -> list[dict[str, str]]:
        rows = ects.runs(pipeline)
        taken_over = [row for row in rows if row["shared"]]
        return rows if len(taken_over) >= 4 else []

    wait_for("the change takes effect", shared, 60)
    ects.disable(pipeline)
    wait_for("nothing is running", lambda: not ects.runs(pipeline, state="running"))
    rows = ects.runs(pipeline)
    everywhere = [row for row in rows if not row["shared"]]
    once = [row for row in rows if row["shared"]]
    for node in nodes:
        assert expected([row for row in everywhere if row["node"] == node] + once, 2)
    assert {row["state"] for row in rows} == {"succeeded"}
