"""Following a run that is going, over the real web process."""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation

LINES = 30


@pytest.fixture
def browser(ects: Installation) -> Iterator[httpx.Client]:
    """Signed in to the admin."""
    with httpx.Client(base_url=ects.url, timeout=30, follow_redirects=True) as client:
        client.get("/admin/login/")
        form = {"username": "admin", "password": ects.password, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        assert client.post("/admin/login/?next=/admin/", data=form).status_code == 200
        yield client


def begin(ects: Installation, script: str) -> str:
    """A run by hand; its id, once it is running."""
    pipeline = ects.pipeline("@manual", [{"task": ects.task("shell", script)}])
    [run] = ects.post(f"pipelines/{pipeline}/run/", {}, 202)["runs"]
    wait_for("it has begun", lambda: ects.get(f"runs/{run}/")["steps"])
    return str(run)


def events(client: httpx.Client, run: str, cursor: int = 0, *, most: int | None = None) -> tuple[list[Any], bool]:
    """What a stream tells, and whether it said that it is over; nothing where there is no place for it. ``most``: leave
    after so many pieces."""
    told: list[Any] = []
    with client.stream("GET", f"/admin/logs/run/{run}/stream/", params={"cursor": cursor}) as reply:
        if reply.status_code == 204:
            return [], False
        assert reply.headers["content-type"] == "text/event-stream"
        for line in reply.iter_lines():
            if line == "event: end":
                return told, True
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
            if most is not None and sum(len(each["pieces"]) for each in told) >= most:
                break
    return told, False


def written(told: list[Any]) -> bytes:
    """The output, piece by piece; no piece may overlap another or leave a hole."""
    found = b""
    for each in told:
        for _index, offset, data in each["pieces"]:
            assert offset == len(found)
            found += b64decode(data)
    return found


def test_a_follower_gets_each_byte_once_over_several_streams(
    ects: Installation, browser: httpx.Client, tmp_path: Path
) -> None:
    polled_at = tmp_path / "polled"
    hold = f"[ $n != {LINES} ] || until [ -e {polled_at} ]; do sleep 0.05; done"
    run = begin(ects, f'for n in $(seq {LINES}); do {hold}; echo "line $n é"; sleep 0.15; done')
    told, over = events(browser, run, most=2)
    assert not over
    assert told[-1]["state"] == "running"
    # Meanwhile another, by polling, in the middle of it.
    polled = browser.get(f"/admin/logs/run/{run}/poll/", params={"cursor": told[-1]["cursor"]}).json()
    assert polled["state"] == "running"
    polled_at.touch()
    while not over:
        more, over = events(browser, run, told[-1]["cursor"])
        told += more
    assert told[-1]["state"] == "succeeded"
    assert told[-1]["steps"][0]["state"] == "succeeded"
    assert written(told).decode().splitlines() == [f"line {n} é" for n in range(1, LINES + 1)]
    whole = browser.get(f"/admin/logs/run/{run}/poll/").json()
    assert written([whole]) == written(told)
    assert whole["ended"]
    assert not whole["more"]


def test_streams_are_bounded_and_their_places_come_back(ects: Installation, browser: httpx.Client) -> None:
    run = begin(ects, "sleep 60")
    url = f"/admin/logs/run/{run}/stream/"

    def open_many(stack: ExitStack) -> list[int]:
        """Two web processes with 24 places each; which of them answers is the kernel's choice."""
        clients = [
            stack.enter_context(httpx.Client(base_url=ects.url, cookies=browser.cookies, timeout=30)) for _ in range(60)
        ]
        return [stack.enter_context(client.stream("GET", url)).status_code for client in clients]

    with ExitStack() as stack:
        answers = open_many(stack)
        assert set(answers) == {200, 204}
        assert 24 <= answers.count(200) <= 48
        assert browser.get(f"/admin/logs/run/{run}/poll/").json()["state"] == "running"
        assert browser.get("/admin/logs/run/").status_code == 200

    def are_back() -> bool:
        """The console notices that a client has left when it next has something to say."""
        with ExitStack() as stack:
            return open_many(stack).count(200) >= 24

    for _ in range(2):
        wait_for("the places of those that left are free", are_back)
    ects.post(f"runs/{run}/kill/", {}, 202)
    told = wait_for("a place is free, and the run has ended", lambda: events(browser, run)[0])
    assert told[-1]["state"] == "killed"


def test_who_may_follow(ects: Installation, browser: httpx.Client) -> None:
    unknown = "00000000-0000-8000-8000-000000000000"
    assert browser.get(f"/admin/logs/run/{unknown}/poll/").status_code == 404
    assert browser.get(f"/admin/logs/run/{unknown}/poll/?cursor=x").status_code == 404
    stranger = httpx.get(f"{ects.url}/admin/logs/run/{unknown}/stream/", timeout=30)
    assert stranger.status_code == 302
    assert "/login/" in stranger.headers["location"]
