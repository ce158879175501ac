"""Shared pipelines on real workers: one node runs each fire, whoever it is."""

import secrets
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.endtoend.client import instant, wait_for
from tests.endtoend.installation import Installation

FIRES = 8

STANDBY = timedelta(seconds=2)
"""After which the node that ranks second acts."""


@pytest.fixture(scope="module")
def nodes(ects: Installation) -> list[str]:
    """Two workers of their own: others may have any number of them here."""
    names = ("first shared", "second shared")
    for name in names:
        ects.add_worker(name)
    return [node["id"] for node in ects.nodes() if node["name"] in names]


def told(ects: Installation, pipeline: str, seconds: int) -> list[dict[str, Any]]:
    """All rows, once nothing is going and none is missing: one node may tell of its own later than the other."""

    def probe() -> list[dict[str, Any]]:
        rows = ects.runs(pipeline)
        is_over = all(row["state"] != "running" for row in rows)
        return rows if is_over and expected(rows, seconds) else []

    return wait_for("the ledger is complete", probe)


def expected(rows: list[dict[str, str]], seconds: int) -> bool:
    """The rows stand for every instant once, without a hole."""
    instants = sorted(instant(row["scheduled_at"]) for row in rows)
    return all(after - before == timedelta(seconds=seconds) for before, after in pairwise(instants))


def is_first_of(node: str, rows: list[dict[str, str]]) -> bool:
    """Whether any other has run only what this one, on a machine that is slow, had not begun after two seconds."""
    others = [row for row in rows if row["node"] != node]
    return all(instant(row["started_at"]) - instant(row["scheduled_at"]) >= STANDBY for row in others)


@pytest.mark.parametrize("placement", ["one_sticky", "one_spread"])
def test_each_fire_runs_on_one_node(ects: Installation, nodes: list[str], placement: str) -> None:
    step = {"task": ects.task("shell", "echo fence=$ECTS_FENCE")}
    # A slow machine may take longer than a second for a run; what is skipped for that is not what is tested.
    pipeline = ects.pipeline("* * * * * *", [step], nodes=nodes, placement=placement, overlap="allow")
    ects.ended(pipeline, FIRES, 60)
    if placement == "one_spread":
        wait_for("each has had its turn", lambda: {row["node"] for row in ects.runs(pipeline)} == set(nodes), 60)
    ects.disable(pipeline)
    rows = told(ects, pipeline, 1)
    assert {row["state"] for row in rows} == {"succeeded"}, rows
    if placement == "one_sticky":
        assert any(is_first_of(node, rows) for node in nodes), rows
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
    wait_for("the one that runs is told", lambda: ects.runs(pipeline, state="running"))
    assert len(ects.runs(pipeline, state="running")) == 1
    flag.touch()
    ects.ended(pipeline, 1)
    ects.disable(pipeline)
    told(ects, pipeline, 1)


def test_a_change_of_placement_neither_doubles_nor_loses_a_fire(ects: Installation, nodes: list[str]) -> None:
    steps = [{"task": ects.task("shell", "true")}]
    pipeline = ects.pipeline("*/2 * * * * *", steps, nodes=nodes, overlap="allow")
    ects.ended(pipeline, 2 * 2)
    reply = ects.api.patch(f"pipelines/{pipeline}/", json={"placement": "one_spread"})
    assert reply.status_code == 200, reply.text

    def shared() -> list[dict[str, str]]:
        rows = ects.runs(pipeline)
        taken_over = [row for row in rows if row["shared"]]
        return rows if len(taken_over) >= 4 else []

    wait_for("the change takes effect", shared, 60)
    ects.disable(pipeline)

    def complete() -> list[dict[str, str]]:
        """All rows, once nothing is going and each node has an entry of its own or a shared one for every instant."""
        rows = ects.runs(pipeline)
        of_each = [[row for row in rows if row["shared"] or row["node"] == node] for node in nodes]
        is_over = all(row["state"] != "running" for row in rows)
        return rows if is_over and all(expected(found, 2) for found in of_each) else []

    rows = wait_for("the ledger is complete", complete)
    assert {row["state"] for row in rows} == {"succeeded"}
