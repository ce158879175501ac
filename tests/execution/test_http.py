"""HTTP tasks and hooks against a real server."""

import asyncio
import hashlib
import hmac
import json
import socket
import ssl
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from coordination.documents import StepDocument
from coordination.records import StepRecord
from tests.certificates import Authority
from tests.clock import until
from tests.execution.bench import Bench, pipeline, step, task
from tests.execution.http_server import HttpServer, serving
from workers.engine.runners.http import expected_statuses

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    """One for all tests here."""
    with serving() as server:
        server.asked.clear()
        yield server


def request(url: str, content: str = "", *, kind: str = "http", timeout: float = 0, **more: Any) -> StepDocument:
    """A step with one request."""
    return step(task(content, kind=kind, url=url, **more), 1, timeout=timeout)


async def outcome(bench: Bench, document: StepDocument, secrets: dict[str, str] | None = None) -> StepRecord:
    """How the only step of a run ended."""
    done = await bench.run(pipeline(document), secrets)
    return done.journal.steps()[0]


async def test_a_start_is_told_as_of_the_request_not_of_the_decision(bench: Bench, server: HttpServer) -> None:
    done = bench.prepare(pipeline(request(f"{server.url}/")))
    durable: list[datetime] = []
    done.journal.writing = lambda records: durable.append(bench.clock.now())
    done.record = await done.execution.run()
    [record] = done.journal.steps()
    assert record.started_at is not None
    assert durable[0] <= record.started_at
    assert done.record.started_at == record.started_at
    assert done.begun == [record.started_at]


async def test_it_sends_what_the_task_says(bench: Bench, server: HttpServer) -> None:
    headers = {"Authorization": "Bearer {{ secrets.TOKEN }}", "X-Run": "{{ run_id }}"}
    body = '{"at": "{{ scheduled_at }}"}'
    document = request(f"{server.url}/echo/{{{{ node }}}}", body, method="PUT", headers=headers)
    done = await bench.run(pipeline(document), {"TOKEN": "geheim"})
    record, asked = done.journal.steps()[0], server.asked[-1]
    assert (record.state, record.http_status, record.exit_code) == ("succeeded", 200, None)
    assert (asked.method, asked.path) == ("PUT", "/echo/alpha")
    assert asked.headers["authorization"] == "Bearer geheim"
    assert asked.headers["x-run"] == done.run
    assert asked.headers["content-type"] == "application/json"
    assert asked.body == b'{"at": "2026-03-01T12:30:00Z"}'
    assert done.text() == '{"at": "2026-03-01T12:30:00Z"}'


async def test_secrets_in_a_response_are_hidden(bench: Bench, server: HttpServer) -> None:
    done = await bench.run(pipeline(request(f"{server.url}/echo", "my geheim", method="POST")), {"KEY": "geheim"})
    assert done.text() == "my ***"


@pytest.mark.parametrize(
    ("code", "expected", "state"),
    [
        (200, "", "succeeded"),
        (204, "", "succeeded"),
        (404, "", "failed"),
        (404, "404", "succeeded"),
        (304, "200-299,304", "succeeded"),
        (500, "2xx", "failed"),
        (200, "201", "failed"),
        (503, "5XX", "succeeded"),
    ],
)
async def test_the_status_decides(bench: Bench, server: HttpServer, code: int, expected: str, state: str) -> None:
    record = await outcome(bench, request(f"{server.url}/status/{code}", expect_status=expected))
    assert (record.state, record.http_status) == (state, code)
    if state == "failed":
        assert f"answered {code}" in record.reason
        assert record.reason.endswith(f"expected was {expected or '2xx'}.")


@pytest.mark.parametrize("text", ["abc", "20", "2x", "200-", "9xx", "200;300"])
async def test_an_expectation_that_cannot_be_read(bench: Bench, server: HttpServer, text: str) -> None:
    record = await outcome(bench, request(f"{server.url}/status/200", expect_status=text))
    assert record.state == "failed"
    assert "is not understood: write 200, 2xx or 200-299,304" in record.reason


def test_expected_statuses() -> None:
    assert expected_statuses(" 200 , 301-303 ") == {200, 301, 302, 303}
    assert expected_statuses("") == set(range(200, 300))


async def test_the_text_decides(bench: Bench, server: HttpServer) -> None:
    found = await outcome(bench, request(f"{server.url}/status/200", expect_text="is 200"))
    missing = await outcome(bench, request(f"{server.url}/status/200", expect_text="is fine"))
    assert found.state == "succeeded"
    assert (missing.state, missing.reason) == ("failed", "The response does not contain 'is fine'.")


async def test_the_text_may_come_in_two_pieces(bench: Bench, server: HttpServer) -> None:
    done = bench.prepare(pipeline(request(f"{server.url}/split", expect_text="needle")))
    running = asyncio.create_task(done.execution.run())
    await done.says("first a nee")
    server.go_on.set()
    assert (await running).state == "succeeded"
    assert done.text() == "first a needle at last"


async def test_redirects_are_the_tasks_choice(bench: Bench, server: HttpServer) -> None:
    url = f"{server.url}/redirect/status/200"
    followed = await outcome(bench, request(url))
    held = await outcome(bench, request(url, follow_redirects=False))
    endless = await outcome(bench, request(f"{server.url}/loop"))
    assert (followed.state, followed.http_status) == ("succeeded", 200)
    assert (held.state, held.http_status) == ("failed", 302)
    assert "redirects without end" in endless.reason


async def test_tasks_share_no_cookies(bench: Bench, server: HttpServer) -> None:
    await outcome(bench, request(f"{server.url}/echo"))
    await outcome(bench, request(f"{server.url}/echo"))
    assert "cookie" not in server.asked[-1].headers


async def test_an_endless_response_is_cut(bench: Bench, server: HttpServer) -> None:
    done = await bench.run(pipeline(request(f"{server.url}/endless", timeout=30)))
    record = done.journal.steps()[0]
    assert record.state == "succeeded"
    assert record.output_bytes == 8 << 20
    assert len(done.journal.output_of(0)) == 1 << 20


async def test_time_is_limited(bench: Bench, server: HttpServer) -> None:
    record = await outcome(bench, request(f"{server.url}/hang", timeout=0.2))
    assert (record.state, record.reason) == ("timed_out", "It took longer than its limit of 0.2 s.")
    assert bench.hands.of("http").default_timeout == bench.hands.of("hook").default_timeout == 60


async def test_a_kill_ends_a_request(bench: Bench, server: HttpServer) -> None:
    done = bench.prepare(pipeline(request(f"{server.url}/hang/kill")))
    running = asyncio.create_task(done.execution.run())
    await until(lambda: any(asked.path == "/hang/kill" for asked in server.asked))
    done.execution.cancel("killed by ada")
    assert (await running).state == "killed"


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:{port}/?key=geheim", "127.0.0.1:{port} refused the connection: nothing listens there."),
        ("http://no-such-host.invalid/", "The name in no-such-host.invalid is not known"),
        ("{server}/nonsense", "does not answer as an HTTP server does"),
        ("ftp://example.org/", "The address is not a complete http:// or https:// address"),
        ("example.org/x", "The address is not a complete http:// or https:// address"),
        ("http://[::1/", "The address is not a complete http:// or https:// address"),
        ("", "The address is not a complete http:// or https:// address"),
    ],
)
async def test_what_goes_wrong_is_said_in_plain_words(
    bench: Bench, server: HttpServer, url: str, sentence: str
) -> None:
    port = free_port()
    record = await outcome(bench, request(url.format(port=port, server=server.url)))
    assert record.state == "failed"
    assert sentence.format(port=port) in record.reason
    assert "geheim" not in record.reason


async def test_a_header_that_would_forge_another_is_not_sent(bench: Bench, server: HttpServer) -> None:
    before = len(server.asked)
    record = await outcome(bench, request(f"{server.url}/echo", headers={"X-A": "1\r\nX-B: 2"}))
    assert record.state == "failed"
    assert len(server.asked) == before


async def test_an_unknown_certificate_is_refused_unless_the_task_says_otherwise(bench: Bench, tmp_path: Path) -> None:
    papers = Authority(tmp_path, "authority").create().issue("server", "serverAuth")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    with serving(context) as server:
        strict = await outcome(bench, request(f"{server.url}/status/200"))
        loose = await outcome(bench, request(f"{server.url}/status/200", verify_tls=False))
    assert strict.state == "failed"
    assert "The certificate of 127.0.0.1" in strict.reason
    assert "is not valid" in strict.reason
    assert loose.state == "succeeded"


async def test_tls_to_a_server_without_it(bench: Bench, server: HttpServer) -> None:
    record = await outcome(bench, request(server.url.replace("http:", "https:") + "/status/200"))
    assert record.reason.startswith("No TLS connection to 127.0.0.1")


async def test_a_hook_tells_the_run(bench: Bench, server: HttpServer) -> None:
    document = pipeline(
        "true",
        step("exit 2", 2, dependence="weak"),
        step(task("all of {{ pipeline }}", kind="hook", url=f"{server.url}/echo"), 3),
    )
    done = await bench.run(document)
    asked = server.asked[-1]
    assert done.record.state == "succeeded", done.record.reason
    assert (asked.method, asked.headers["content-type"]) == ("POST", "application/json")
    assert "x-ects-signature" not in asked.headers
    told = json.loads(asked.body)
    assert told.pop("steps")[1] == {
        "index": 1,
        "position": 2,
        "task": "shell",
        "kind": "shell",
        "state": "failed",
        "attempts": 1,
        "exit_code": 2,
        "http_status": None,
        "reason": "It ended with exit code 2.",
    }
    assert told == {
        "run": done.run,
        "pipeline": {"id": document.pipeline, "name": "Nightly"},
        "node": {"id": document.node, "name": "alpha"},
        "trigger": "manual",
        "attempt": 1,
        "scheduled_at": "2026-03-01T12:30:00Z",
        "state": "running",
        "reason": "",
        "failed_step": "",
        "message": "all of Nightly",
    }


async def test_a_failure_hook_tells_the_result(bench: Bench, server: HttpServer) -> None:
    hook = task('{"channel": 7}', kind="hook", url=f"{server.url}/echo")
    await bench.run(pipeline(step(task("exit 2", name="copy"), 1), on_failure=hook))
    told = json.loads(server.asked[-1].body)
    assert (told["state"], told["failed_step"], told["data"]) == ("failed", "copy", {"channel": 7})
    assert told["reason"] == 'Step 1 "copy" failed: It ended with exit code 2.'


@pytest.mark.parametrize(("named", "secret"), [("", "HOOK_SIGNING_KEY"), ("MY_KEY", "MY_KEY")])
async def test_a_hook_is_signed(bench: Bench, server: HttpServer, named: str, secret: str) -> None:
    document = request(f"{server.url}/echo", "hello", kind="hook", signing_secret=named)
    record = await outcome(bench, document, {secret: "geheim"})
    assert record.state == "succeeded"
    asked = server.asked[-1]
    # As the documentation tells receivers to check it.
    fields = dict(field.split("=", 1) for field in asked.headers["x-ects-signature"].split(","))
    expected = hmac.new(b"geheim", fields["t"].encode() + b"." + asked.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(fields["v1"], expected)
    assert abs(int(fields["t"]) - bench.clock.now().timestamp()) < 60


async def test_a_hook_without_its_key_is_not_sent(bench: Bench, server: HttpServer) -> None:
    before = len(server.asked)
    record = await outcome(bench, request(f"{server.url}/echo", kind="hook", signing_secret="GONE"))
    assert record.state == "failed"
    assert "GONE" in record.reason
    assert len(server.asked) == before
