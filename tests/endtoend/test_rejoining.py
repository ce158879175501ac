"""A node is added in a browser; one whose token is revoked goes on, says so, and delivers all of it once it is back."""

import os
import shlex
import signal
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation


def _add(ects: Installation, page: Page, query: str = "", name: str = "") -> dict[str, str]:
    """Asks for the line and reads it as a shell would: the token, and the options."""
    page.goto(f"{ects.url}/admin/workers/node/add/{query}")
    if name:
        page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Make the line to paste").click()
    assignment, _python, _manage, _command, *options = shlex.split(page.locator("#line").inner_text())
    return {"token": assignment.partition("=")[2], "options": shlex.join(options)}


def test_a_node_is_added_revoked_and_joins_again(ects: Installation, page: Page, tmp_path: Path) -> None:
    state = ["--state-dir", str(ects.directory / "worker-added")]
    line = _add(ects, page, name="added")
    expect(page.locator("#arrivals")).to_contain_text("Waiting for the host")
    worker = ects.manage("runworker", *shlex.split(line["options"]), *state, ECTS_ENROLMENT_TOKEN=line["token"])
    ects.workers.append(worker)
    expect(page.locator("#arrivals")).to_contain_text("added")
    expect(page.locator("#arrivals")).to_contain_text("online")
    page.locator("#arrivals a").click()
    expect(page.locator("body")).to_contain_text("Online, last 7 days")
    node = page.url.split("/node/")[1].split("/")[0]

    account = tmp_path / "account"
    job = ects.task("shell", f'echo "$ECTS_RUN_ID" >> {account}')
    pipeline = ects.pipeline("* * * * * *", [{"task": job}], nodes=[node], overlap="allow")
    ects.ended(pipeline, 2)
    page.goto(f"{ects.url}/admin/workers/node/?q=added")
    page.locator("#result_list .action-select").check()
    page.select_option("select[name=action]", "revoke")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Revoke the tokens").click()
    expect(page.locator("body")).to_contain_text("have to enrol again")
    seen = len(account.read_text().split())
    wait_for("it goes on firing", lambda: len(account.read_text().split()) >= seen + 3)
    wait_for("it says why", lambda: "does not accept this node's token" in ects.log.read_text())
    told = len(ects.runs(pipeline))
    page.goto(f"{ects.url}/admin/workers/node/{node}/change/")
    expect(page.get_by_role("alert").first).to_contain_text("Its token is revoked")

    os.kill(worker.pid, signal.SIGTERM)
    worker.wait(120)
    ects.workers.remove(worker)
    line = _add(ects, page, f"?node={node}")
    options = shlex.split(line["options"])
    ects.workers.append(ects.manage("runworker", *options, *state, ECTS_ENROLMENT_TOKEN=line["token"]))
    wait_for("it delivers again", lambda: len(ects.runs(pipeline)) > told + 2)
    ects.disable(pipeline)
    executed = account.read_text().split()

    def known() -> set[str]:
        return {run["id"] for run in ects.runs(pipeline, limit=500) if run["state"] == "succeeded"}

    wait_for("all is delivered", lambda: set(executed) <= known())
    assert len(executed) == len(set(executed)), "none ran twice"
