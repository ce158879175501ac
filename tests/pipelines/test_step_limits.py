"""Limits of steps, over the API and down to the node."""

from uuid import UUID

import pytest

from tests.pipelines import makers
from tests.pipelines.test_api import api, new_pipeline, new_task, refusing

__all__ = ["api", "refusing"]


def test_limits_of_a_step_reach_its_node(api, console):
    node = makers.node()
    limits = {"group": "www-data", "umask": "027", "nice": 5, "memory": 64 << 20, "cpu_seconds": 9, "open_files": 99,
              "processes": 20}  # fmt: skip
    made = new_pipeline(api, [node], steps=[{"task": new_task(api), **limits}])
    assert made["steps"][0].items() >= limits.items()
    [step] = console.document(node, UUID(made["id"])).steps
    assert {name: getattr(step, name) for name in limits} == limits


@pytest.mark.parametrize(
    ("field", "value"),
    [("umask", "999"), ("umask", "1"), ("nice", 20), ("nice", -21), ("memory", 1000), ("memory", -1), ("group", "a b"),
     ("processes", -1), ("open_files", 1 << 21), ("cpu_seconds", "x")],
)  # fmt: skip
def test_a_bad_limit_names_its_field(refusing, field, value):
    body = {"name": "p", "steps": [{"task": new_task(refusing), field: value}]}
    assert refusing("POST", "pipelines/", body, 400)["steps"]["0"].keys() == {field}
