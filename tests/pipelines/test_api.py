"""The API's contract, as scripts outside use it, and what it says to bad input."""

import json
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from coordination import crypto, documents
from coordination.documents import KillCommand, RunCommand, Tombstone
from logs.models import Run
from pipelines.models import Pipeline
from tasks.models import Secret, Task
from tests.pipelines import makers
from workers import keyring


class Api:
    """A signed-in client that speaks JSON and never accepts a 500."""

    def __init__(self, user) -> None:
        self.client = APIClient(raise_request_exception=False)
        self.client.force_authenticate(user)

    def __call__(self, method: str, path: str, body=None, status: int = 200):
        data = body if isinstance(body, str) else json.dumps(body)
        options = {} if body is None else {"data": data, "content_type": "application/json"}
        reply = self.client.generic(method, f"/api/v1/{path}", **options)
        assert reply.status_code == status, (reply.status_code, reply.content[:2000])
        return reply.json() if reply.content else None


@pytest.fixture
def api(console) -> Api:
    return Api(get_user_model().objects.create_superuser("admin"))


@pytest.fixture
def refusing(db) -> Api:
    """For requests that must not change anything: without commits nothing is published, which saves time."""
    return Api(get_user_model().objects.create_superuser("admin"))


def new_task(api: Api, name: str = "t", **fields) -> int:
    return api("POST", "tasks/", {"name": name, "kind": "shell", "content": "true", **fields}, 201)["id"]


def new_pipeline(api: Api, nodes, **fields) -> dict:
    steps = [{"task": new_task(api, uuid4().hex)}]
    body = {"name": uuid4().hex, "schedule": "*/2 * * * * *", "enabled": True, "steps": steps,
            "nodes": [str(node.pk) for node in nodes], **fields}  # fmt: skip
    return api("POST", "pipelines/", body, 201)


def test_a_task_of_each_kind(api):
    shell = api("POST", "tasks/", {"name": "s", "kind": "shell", "content": " echo 1\n"}, 201)
    assert shell["content"] == " echo 1\n"
    assert shell.keys() >= {
        "id", "name", "kind", "content", "url", "method", "headers", "expect_status", "expect_text", "recipients",
        "subject", "description",
    }  # fmt: skip
    http = {"name": "h", "kind": "http", "url": "http://127.0.0.1:1/x", "method": "post", "headers": {"X-A": "1"},
            "expect_status": "2xx,301-303", "expect_text": "ok"}  # fmt: skip
    assert api("POST", "tasks/", http, 201)["method"] == "POST"
    api("POST", "tasks/", {"name": "k", "kind": "hook", "url": "https://example.test/{{ name }}"}, 201)
    mail = api("POST", "tasks/", {"name": "m", "kind": "mail", "recipients": ["a@b.test"], "subject": "s"}, 201)
    assert mail["recipients"] == ["a@b.test"]
    assert api("PATCH", f"tasks/{mail['id']}/", {"subject": "t"})["subject"] == "t"
    assert {task["name"] for task in api("GET", "tasks/")["results"]} == {"s", "h", "k", "m"}
    api("DELETE", f"tasks/{mail['id']}/", status=204)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 151}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": {"a": 1}}, "name"),
        ({"name": "taken"}, "name"),
        ({"kind": "perl"}, "kind"),
        ({"content": " \n"}, "content"),
        ({"content": "a\0"}, "content"),
        ({"content": ["a"]}, "content"),
        ({"content": "x" * 300_000}, "content"),
        ({"interpreter": " "}, "interpreter"),
        ({"headers": []}, "headers"),
        ({"headers": {"A b": "x"}}, "headers"),
        ({"headers": {"A": "x\r\nB: y"}}, "headers"),
        ({"headers": {"A": {"b": "c"}}}, "headers"),
        ({"headers": {"A": "\ud800"}}, "headers"),
        ({"headers": {"A\ud800": "x"}}, "headers"),
        ({"headers": "A: b"}, "headers"),
        ({"recipients": "a@b.test"}, "recipients"),
        ({"recipients": [1]}, "recipients"),
        ({"recipients": [{"a": 1}]}, "recipients"),
        ({"recipients": ["a@b.test\nBcc: c@d.test"]}, "recipients"),
        ({"kind": "mail"}, "recipients"),
        ({"kind": "mail", "recipients": ["a@b"], "subject": "a\nb"}, "subject"),
        ({"kind": "http"}, "url"),
        ({"kind": "hook", "url": "ftp://x/"}, "url"),
        ({"kind": "http", "url": "http://"}, "url"),
        ({"kind": "http", "url": "http://x:99999/"}, "url"),
        ({"kind": "http", "url": "http://[::1"}, "url"),
        ({"kind": "http", "url": "http://x/ y"}, "url"),
        ({"kind": "http", "url": "http://x", "method": "BREW"}, "method"),
        ({"kind": "http", "url": "http://x", "expect_status": "200-"}, "expect_status"),
        ({"kind": "http", "url": "http://x", "expect_status": "299-200"}, "expect_status"),
        ({"kind": "http", "url": "http://x", "expect_status": "20"}, "expect_status"),
        ({"kind": "hook", "url": "http://x", "signing_secret": "{{ secrets.X }}"}, "signing_secret"),
        ({"verify_tls": "perhaps"}, "verify_tls"),
    ],
)
def test_a_bad_task_names_its_field(refusing, body, field):
    new_task(refusing, "taken")
    errors = refusing("POST", "tasks/", {"name": "n", "kind": "shell", "content": "true", **body}, 400)
    assert list(errors) == [field]


@pytest.mark.parametrize("path", ["tasks/", "pipelines/", "secrets/"])
@pytest.mark.parametrize("body", ["", "[]", "1", "null", '"x"', "{", "[1,", "{}", '{"name": null}', "[[1]]"])
def test_what_is_no_object_is_a_400(refusing, path, body):
    refusing("POST", path, body, 400)


@pytest.mark.parametrize("path", ["tasks/x/", "tasks/99999999999999999999999/", "tasks/-1/", "pipelines/x/",
                                  "pipelines/9a97db29-50b8-4e96-a78a-09ea7169e012/", "secrets/0/"])  # fmt: skip
def test_what_does_not_exist_is_a_404(refusing, path):
    for method in ("GET", "PATCH", "DELETE"):
        refusing(method, path, {"name": "x"} if method == "PATCH" else None, 404)


def test_odd_queries_are_no_errors(refusing):
    new_task(refusing)
    for query in ("offset=99999999999999999999", "limit=-1", "limit=x", "name=%00", "enabled=x", "format=json"):
        for path in ("tasks/", "pipelines/"):
            reply = refusing.client.get(f"/api/v1/{path}?{query}")
            assert reply.status_code in (200, 400), query


def test_a_task_in_use_cannot_be_deleted(refusing):
    pipeline = new_pipeline(refusing, [])
    assert pipeline["name"] in refusing("DELETE", f"tasks/{pipeline['steps'][0]['task']}/", status=409)["detail"]


def test_a_pipeline_whole(api, console):
    node = makers.node()
    first, second, end = (new_task(api, name) for name in ("a", "b", "e"))
    body = {
        "name": "p", "description": "d", "schedule": "30 2 * * *", "timezone": "Asia/Shanghai", "enabled": True,
        "timeout": 60, "overlap": "allow", "misfire": "latest", "placement": "every", "on_node_loss": "abandon",
        "on_success": end, "on_failure": None, "nodes": [str(node.pk), str(node.pk)], "node_labels": {"a": "b"},
        "steps": [
            {"task": first, "position": 1, "dependence": "weak", "timeout": 5, "retries": 2, "interval": 0.5,
             "directory": "/tmp", "user": "nobody", "environment": {"A": "1"}},
            {"task": second},
        ],
    }  # fmt: skip
    made = api("POST", "pipelines/", body, 201)
    assert UUID(made["id"])
    assert made["published"] is True
    assert made["nodes"] == [str(node.pk)]
    assert len(made["next_fires"]) == 5
    assert all(instant.endswith("18:30:00Z") for instant in made["next_fires"])
    assert {name: made[name] for name in body if name not in ("nodes", "steps")} == {
        name: value for name, value in body.items() if name not in ("nodes", "steps")
    }
    assert made["steps"][0].items() >= body["steps"][0].items()
    assert made["steps"][1]["position"] == 2
    document = console.document(node, UUID(made["id"]))
    assert [step.position for step in document.steps] == [1, 2]
    assert document.steps[0].environment == {"A": "1"}
    assert document.on_success.name == "e"
    changed = api("PATCH", f"pipelines/{made['id']}/", {"steps": [{"task": second, "position": 1}], "nodes": []})
    assert [step["task"] for step in changed["steps"]] == [second]
    assert isinstance(console.held(node, UUID(made["id"])), Tombstone)
    api("DELETE", f"pipelines/{made['id']}/", status=204)
    api("GET", f"pipelines/{made['id']}/", status=404)


STEP = {"task": 0}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "taken"}, "name"),
        ({"schedule": "61 * * * *"}, "schedule"),
        ({"schedule": "0 0 30 2 *"}, "schedule"),
        ({"schedule": ""}, "schedule"),
        ({"schedule": "* * * * *\0"}, "schedule"),
        ({"schedule": ["* * * * *"]}, "schedule"),
        ({"schedule": "@at 2001-01-01T00:00:00Z"}, "schedule"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"starts_at": "2030-01-01T00:00:00Z", "ends_at": "2029-01-01T00:00:00Z"}, "ends_at"),
        ({"starts_at": "soon"}, "starts_at"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": "nan"}, "timeout"),
        ({"timeout": 1e300}, "timeout"),
        ({"jitter": -1}, "jitter"),
        ({"jitter": "inf"}, "jitter"),
        ({"misfire_cap": 0}, "misfire_cap"),
        ({"misfire_cap": 10**30}, "misfire_cap"),
        ({"misfire_grace": None}, "misfire_grace"),
        ({"overlap": "queue", "placement": "one_sticky"}, "overlap"),
        ({"overlap": "sometimes"}, "overlap"),
        ({"placement": "somewhere"}, "placement"),
        ({"placement": "one_spread", "schedule": "@reboot"}, "schedule"),
        ({"node_labels": {"a": {"b": "c"}}}, "node_labels"),
        ({"node_labels": ["a"]}, "node_labels"),
        ({"node_labels": {"a": "\ud800"}}, "node_labels"),
        ({"nodes": "x"}, "nodes"),
        ({"nodes": ["x"]}, "nodes"),
        ({"nodes": [{"a": 1}]}, "nodes"),
        ({"nodes": [str(uuid4())]}, "nodes"),
        ({"on_success": 10**30}, "on_success"),
        ({"on_failure": "x"}, "on_failure"),
        ({"steps": []}, "enabled"),
        ({"steps": "x"}, "steps"),
        ({"steps": [{}]}, "steps"),
        ({"steps": [1]}, "steps"),
        ({"steps": [{"task": None}]}, "steps"),
        ({"steps": [{"task": 10**30}]}, "steps"),
        ({"steps": [{**STEP, "position": -1}]}, "steps"),
        ({"steps": [{**STEP, "position": 10**30}]}, "steps"),
        ({"steps": [{**STEP, "retries": 10**9}]}, "steps"),
        ({"steps": [{**STEP, "interval": "inf"}]}, "steps"),
        ({"steps": [{**STEP, "timeout": -5}]}, "steps"),
        ({"steps": [{**STEP, "dependence": "maybe"}]}, "steps"),
        ({"steps": [{**STEP, "directory": "tmp"}]}, "steps"),
        ({"steps": [{**STEP, "user": "a b"}]}, "steps"),
        ({"steps": [{**STEP, "environment": {"A-B": "1"}}]}, "steps"),
        ({"steps": [{**STEP, "environment": {"ECTS_RUN_ID": "1"}}]}, "steps"),
        ({"steps": [{**STEP, "environment": {"A": "a\0"}}]}, "steps"),
        ({"steps": [{**STEP, "environment": "A=1"}]}, "steps"),
        ({"steps": [STEP] * 201}, "steps"),
    ],
)
def test_a_bad_pipeline_names_its_field(refusing, body, field):
    task = new_task(refusing)
    new_pipeline(refusing, [], name="taken")
    good = {"name": "n", "schedule": "* * * * *", "enabled": True, "steps": [{"task": task}]}
    if isinstance(body.get("steps"), list):
        body["steps"] = [{**step, "task": task} if isinstance(step, dict) and step.get("task") == 0 else step
                         for step in body["steps"]]  # fmt: skip
    errors = refusing("POST", "pipelines/", {**good, **body}, 400)
    assert list(errors) == [field]
    assert Pipeline.objects.count() == 1


def test_a_step_without_a_task_is_named_in_its_place(refusing):
    errors = refusing(
        "POST", "pipelines/", {"name": "n", "steps": [{"task": new_task(refusing)}, {"position": 2}]}, 400
    )
    assert list(errors["steps"]) == ["1"]
    assert list(errors["steps"]["1"]) == ["task"]


def test_missing_secrets_stand_against_enabling_only(api):
    task = new_task(api, content="echo {{ secrets.TOKEN }}")
    body = {"name": "n", "steps": [{"task": task, "environment": {"B": "{{ secrets.OTHER }}"}}]}
    made = api("POST", "pipelines/", body, 201)
    errors = api("PATCH", f"pipelines/{made['id']}/", {"enabled": True}, 400)
    assert "OTHER, TOKEN" in errors["enabled"][0]
    for name in ("TOKEN", "OTHER"):
        api("POST", "secrets/", {"name": name, "value": "v"}, 201)
    api("PATCH", f"pipelines/{made['id']}/", {"enabled": True})


def test_secrets_go_in_and_never_come_out(api):
    made = api("POST", "secrets/", {"name": "TOKEN", "value": " s3cret "}, 201)
    assert "s3cret" not in json.dumps([made, api("GET", "secrets/"), api("GET", f"secrets/{made['id']}/")])
    assert Secret.objects.get().value() == " s3cret "
    api("PATCH", f"secrets/{made['id']}/", {"description": "d"})
    assert Secret.objects.get().value() == " s3cret "
    api("PATCH", f"secrets/{made['id']}/", {"value": "new"})
    assert Secret.objects.get().value() == "new"
    assert "name" in api("PATCH", f"secrets/{made['id']}/", {"name": "RENAMED"}, 400)
    for bad in ({"name": "A-B", "value": "x"}, {"name": "1A", "value": "x"}, {"name": "TOKEN", "value": "x"}):
        assert "name" in api("POST", "secrets/", bad, 400)
    assert "value" in api("POST", "secrets/", {"name": "B"}, 400)


def commands_of(console, node) -> list:
    items = console.gateway.snapshot(console.keys.commands(str(node.pk))).items
    assert all(item.lease for item in items)
    bodies = [crypto.verify("command", item.value, keyring.verify_keys()) for item in items]
    return [documents.decode_command(body) for body in bodies]


def test_run_now_orders_every_bound_node_even_when_disabled_and_paused(api, console):
    nodes = [makers.node("n1"), makers.node("n2", labels={"a": "b"}), makers.node("n3", enrolled=False)]
    makers.secret("TOKEN", "s3cret")
    task = new_task(api, content="echo {{ secrets.TOKEN }}")
    body = {"enabled": False, "steps": [{"task": task}], "node_labels": {"a": "b"}}
    pipeline = new_pipeline(api, [nodes[0], nodes[2]], **body)
    runs = api("POST", f"pipelines/{pipeline['id']}/run/", {"environment": {"A": "1"}}, 202)["runs"]
    assert len(runs) == 2
    for node in nodes[:2]:
        [command] = commands_of(console, node)
        assert isinstance(command, RunCommand)
        assert command.run in runs
        assert command.environment == {"A": "1"}
        assert command.requested_by == "admin"
        assert 0 < (command.expires_at - command.issued_at).total_seconds() <= 60
        assert command.document.node == str(node.pk)
        assert crypto.unseal(node.private_key, command.document.secrets["TOKEN"]) == "s3cret"
    assert {str(run.uuid) for run in Run.objects.filter(state="running", trigger="manual")} == set(runs)


@pytest.mark.parametrize("body", ["[]", "1", '{"environment": 1}', '{"environment": {"A B": "1"}}', "{"])
def test_a_bad_run_request_is_a_400(refusing, body):
    refusing("POST", f"pipelines/{new_pipeline(refusing, [makers.node()])['id']}/run/", body, 400)


def test_run_without_a_body_or_an_environment(api):
    pipeline = new_pipeline(api, [makers.node()])
    assert len(api("POST", f"pipelines/{pipeline['id']}/run/", status=202)["runs"]) == 1


def test_what_cannot_run_says_what_to_do(api):
    unbound = new_pipeline(api, [])
    assert "bind" in api("POST", f"pipelines/{unbound['id']}/run/", {}, 409)["detail"]
    waiting = new_pipeline(api, [makers.node(enrolled=False)])
    assert "enrolled" in api("POST", f"pipelines/{waiting['id']}/run/", {}, 409)["detail"]
    empty = api("POST", "pipelines/", {"name": "empty"}, 201)
    assert "step" in api("POST", f"pipelines/{empty['id']}/run/", {}, 409)["detail"]
    api("POST", f"pipelines/{uuid4()}/run/", {}, 404)
    api("POST", "pipelines/x/run/", {}, 404)
    assert not Run.objects.exists()


def test_kill(api, console):
    node = makers.node()
    pipeline = new_pipeline(api, [node])
    [run] = api("POST", f"pipelines/{pipeline['id']}/run/", {}, 202)["runs"]
    api("POST", f"runs/{run}/kill/", {}, 202)
    [kill] = [command for command in commands_of(console, node) if isinstance(command, KillCommand)]
    assert kill.run == run
    Run.objects.update(state="succeeded")
    assert "ended" in api("POST", f"runs/{run}/kill/", {}, 409)["detail"]
    api("POST", f"runs/{uuid4()}/kill/", {}, 404)


def test_pause_and_resume(api, console):
    node = makers.node()
    pipeline = new_pipeline(api, [node])
    assert api("POST", f"pipelines/{pipeline['id']}/pause/")["paused"] is True
    held = console.document(node, UUID(pipeline["id"]))
    assert held.paused
    assert api("POST", f"pipelines/{pipeline['id']}/resume/")["paused"] is False
    resumed = console.document(node, UUID(pipeline["id"]))
    assert not resumed.paused
    assert resumed.not_before > held.not_before


def test_control(api):
    assert api("GET", "control/") == {"paused": False, "published": True}
    for method in ("PUT", "PATCH"):
        assert api(method, "control/", {"paused": True}) == {"paused": True, "published": True}
    assert api("PATCH", "control/", {"paused": False})["paused"] is False
    for bad in ("[]", "{}", '{"paused": "x"}', '{"paused": null}', "{"):
        api("PUT", "control/", bad, 400)


def test_etcd_down(api, console):
    pipeline = new_pipeline(api, [makers.node()])
    console.etcd.kill()
    try:
        reply = api("POST", f"pipelines/{pipeline['id']}/run/", {}, 503)
        assert "etcd" in reply["detail"]
        assert not Run.objects.exists()
        saved = api("PATCH", f"pipelines/{pipeline['id']}/", {"description": "d"})
        assert saved["description"] == "d"
        assert saved["published"] is False
        assert api("PUT", "control/", {"paused": True}) == {"paused": True, "published": False}
    finally:
        console.etcd.start()


def test_without_signing_in_nothing_is_told(console):
    anonymous = APIClient()
    for path in ("tasks/", "pipelines/", "secrets/", "control/", "schedules/preview/?schedule=@daily"):
        assert anonymous.get(f"/api/v1/{path}").status_code in (401, 403)


def test_without_permission_nothing_is_done(console):
    nobody = Api(get_user_model().objects.create_user("nobody"))
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    nobody("POST", "tasks/", {"name": "x", "kind": "shell", "content": "true"}, 403)
    for act in ("run", "pause", "resume"):
        nobody("POST", f"pipelines/{pipeline.pk}/{act}/", {}, 403)
    nobody("POST", f"runs/{uuid4()}/kill/", {}, 403)
    nobody("PUT", "control/", {"paused": True}, 403)
    assert Task.objects.count() == 1
