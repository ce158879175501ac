"""What only a browser shows: Debian's chromium at the console of a real installation."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation


def _run(ects: Installation, page: Page, script: str) -> str:
    """A run by hand whose page is open once its first step has begun; the run's id."""
    pipeline = ects.pipeline("@manual", [{"task": ects.task("shell", script)}])
    [run] = ects.post(f"pipelines/{pipeline}/run/", {}, 202)["runs"]
    wait_for("it has begun", lambda: ects.get(f"runs/{run}/")["steps"])
    page.goto(f"{ects.url}/admin/logs/run/?q={run}")
    page.locator("#result_list th a").last.click()
    return str(run)


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_run_is_followed_to_its_end(ects: Installation, page: Page, tmp_path: Path, is_streamed: bool) -> None:
    if not is_streamed:
        page.route("**/stream/**", lambda route: route.fulfill(status=204))
    wait = f"until [ -e {tmp_path}/$n ]; do sleep 0.05; done"
    _run(ects, page, f"for n in 1 2 3 4; do {wait}; echo line $n '<b>é</b>'; done")
    expect(page.locator("[data-live]")).to_be_visible()
    for number in range(1, 5):
        (tmp_path / str(number)).touch()
        expect(page.locator("[data-step-output]")).to_contain_text(f"line {number} <b>é</b>")
    expect(page.locator("[data-run-state]")).to_have_text("Succeeded")
    expect(page.locator("[data-live]")).to_be_hidden()
    text = page.locator("[data-step-output]").text_content()
    assert text == "".join(f"line {n} <b>é</b>\n" for n in range(1, 5)), "each line once"


def test_steps_that_begin_come_without_loading_the_page_anew(ects: Installation, page: Page) -> None:
    """Their output follows, and the bars stand in time."""
    tasks = [ects.task("shell", script) for script in ("sleep 1; echo first", "echo second; sleep 1; exit 3")]
    pipeline = ects.pipeline("@manual", [{"task": one} for one in tasks])
    [run] = ects.post(f"pipelines/{pipeline}/run/", {}, 202)["runs"]
    page.goto(f"{ects.url}/admin/logs/run/?q={run}")
    page.locator("#result_list th a").last.click()
    page.evaluate("window.isTheSame = true")
    expect(page.locator("[data-run-state]")).to_have_text("Failed")
    expect(page.locator("[data-run-reason]")).to_contain_text("exit code 3")
    # The head may be drawn by itself, before the last of the output is there.
    expect(page.locator("[data-live]")).to_be_hidden()
    assert page.locator("[data-step-output]").all_text_contents() == ["first\n", "second\n"]
    assert page.locator("[data-step-state]").all_text_contents() == ["Succeeded", "Failed"]
    expect(page.locator(".ects-gantt .ects-fill-failed")).to_have_count(1)
    assert page.evaluate("window.isTheSame")


def test_a_long_output_comes_to_the_page_at_once(ects: Installation, page: Page) -> None:
    """What watches the page is called for blocks of lines, not for each: that took seconds. The find counts them."""
    task = ects.task("shell", "seq -f 'line %g is here' 6000")
    run = ects.run_now(ects.pipeline("@manual", [{"task": task}]))["id"]
    page.add_init_script(
        """window.rows = 0;
        new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach((node) => {
          if (node.className === "ects-log-line") window.rows += 1;
        }))).observe(document, { childList: true, subtree: true });"""
    )
    page.goto(f"{ects.url}/admin/logs/run/?q={run}")
    page.locator("#result_list th a").last.click()
    expect(page.locator("#step-0-L6000")).to_be_attached()
    assert page.evaluate("window.rows") == 0
    page.fill("[data-find]", "is here")
    expect(page.locator("[data-count]")).to_have_text("1 of 5000+")


def test_who_was_signed_out_meanwhile_is_asked_for_the_password_and_comes_back(ects: Installation, page: Page) -> None:
    pipeline = ects.pipeline("@manual", [{"task": ects.task("shell", "true")}])
    address = f"/admin/pipelines/pipeline/{pipeline}/change/"
    page.goto(ects.url + address)
    page.context.clear_cookies(name="sessionid")
    page.get_by_text("Run now").first.click()
    page.wait_for_url(f"**/admin/login/?next={address}")


def test_kill_asks_first(ects: Installation, page: Page) -> None:
    run = _run(ects, page, "sleep 60")
    page.get_by_role("button", name="Kill").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert ects.get(f"runs/{run}/")["state"] == "running"
    page.get_by_role("button", name="Kill").click()
    page.get_by_role("dialog").get_by_role("button", name="Kill").click()
    expect(page.locator("[data-run-state]")).to_have_text("Killed")
    expect(page.locator("[data-run-reason]")).to_contain_text("killed by admin")


def test_a_run_that_ends_while_its_page_asks_whether_to_kill_it(ects: Installation, page: Page, tmp_path: Path) -> None:
    """The page shows the end, and asks no more; also of a silent step, and at an address with an odd end."""
    _run(ects, page, f"until [ -e {tmp_path}/end ]; do sleep 0.05; done")
    page.goto(f"{page.url}#12")
    page.reload()
    expect(page.locator("[data-silent]")).to_have_text("It has written nothing yet.")
    page.get_by_role("button", name="Kill").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    (tmp_path / "end").touch()
    expect(page.locator("[data-run-state]")).to_have_text("Succeeded")
    expect(page.locator("[data-silent]")).to_have_text("It wrote nothing.")
    expect(page.get_by_role("button", name="Kill")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_run_again_leads_to_the_new_run(ects: Installation, page: Page) -> None:
    run = _run(ects, page, "echo again")
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    # The page of the run before says the same.
    expect(page.locator("#run")).not_to_have_attribute("data-poll", f"/admin/logs/run/{run}/poll/")
    expect(page.locator("[data-step-output]")).to_have_text("again\n")
    expect(page.locator(".ects-run-facts")).to_contain_text("Manual, by admin")


def test_the_line_that_adds_a_node_is_copied_by_its_button(ects: Installation, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{ects.url}/admin/workers/node/add/")
    page.get_by_role("button", name="Make the line to paste").click()
    page.get_by_role("button", name="Copy").last.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#line").text_content()


def test_why_a_pipeline_ran_is_two_clicks_away(ects: Installation, page: Page) -> None:
    pipeline = ects.pipeline("* * * * * *", [{"task": ects.task("shell", "true")}])
    ects.ended(pipeline)
    ects.disable(pipeline)
    page.goto(f"{ects.url}/admin/pipelines/pipeline/{pipeline}/explain/")
    page.locator("nav a", has_text="←").click()
    expect(page.locator("section").first).to_be_visible()


def test_the_dashboard_renews_itself_and_says_when_it_cannot(ects: Installation, page: Page) -> None:
    page.clock.install()
    page.goto(f"{ects.url}/admin/")
    expect(page.locator("#next-hour[data-waits]")).to_have_count(0)
    for part in ("figures", "next-hour", "lists"):
        page.evaluate("part => { document.getElementById(part).dataset.old = 'yes'; }", part)
    page.clock.run_for(16_000)
    expect(page.locator("[data-old]")).to_have_count(0)
    stale = page.locator("[data-stale]")
    expect(stale).to_be_hidden()
    page.route("**/admin/", lambda route: route.fulfill(status=503))
    page.clock.run_for(16_000)
    expect(stale).to_be_visible()
    page.unroute("**/admin/")
    page.clock.run_for(16_000)
    expect(stale).to_be_hidden()


def test_the_look_is_chosen_and_kept(ects: Installation, page: Page) -> None:
    page.goto(f"{ects.url}/admin/")
    for look, dark in (("Dark", 1), ("Light", 0)):
        page.get_by_text("admin@localhost").first.click()
        page.get_by_text(look, exact=True).click()
        expect(page.locator("html.dark")).to_have_count(dark)
        page.goto(f"{ects.url}/admin/")
        expect(page.locator("html.dark")).to_have_count(dark)


def test_the_language_is_switched(ects: Installation, page: Page) -> None:
    page.goto(f"{ects.url}/admin/")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_text("admin@localhost").first.click()
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    expect(page.locator("body")).to_contain_text("未来一小时")
