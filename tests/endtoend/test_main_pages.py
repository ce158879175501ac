"""Every main page: nothing of it comes from another host, nothing of it is wider than its window, and its text and its
times are the viewer's."""

import re

import pytest
from playwright.sync_api import Browser, Page

from tests.endtoend.installation import Installation

PAGES = {
    "dashboard": "/admin/",
    "pipelines": "/admin/pipelines/pipeline/",
    "a new pipeline": "/admin/pipelines/pipeline/add/",
    "a pipeline": "/admin/pipelines/pipeline/{pipeline}/change/",
    "why": "/admin/pipelines/pipeline/{pipeline}/explain/",
    "runs": "/admin/logs/run/",
    "runs that failed": "/admin/logs/run/?state__exact=failed",
    "nodes": "/admin/workers/node/",
    "a node": "/admin/workers/node/{node}/change/",
    "a new node": "/admin/workers/node/add/",
    "tasks": "/admin/tasks/task/",
    "a new task": "/admin/tasks/task/add/",
    "secrets": "/admin/tasks/secret/",
    "calendars": "/admin/pipelines/calendar/",
    "a new calendar": "/admin/pipelines/calendar/add/",
    "retention": "/admin/logs/retention/",
    "global pause": "/admin/pipelines/control/1/change/",
    "users": "/admin/auth/user/",
    "the API": "/api/v1/tasks/",
}

WIDTHS = (390, 1280, 1920)

OVERFLOW = """() => {
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) return `the page by ${page.scrollWidth - page.clientWidth} px`;
  const frame = document.querySelector("#result_list")?.parentElement;
  const over = frame ? frame.scrollWidth - frame.clientWidth : 0;
  return over > 1 ? `the list by ${over} px` : "";
}"""


@pytest.fixture(scope="module")
def pipeline(ects: Installation) -> str:
    """With a name and a description that are long, many steps, and a run that failed for a long reason."""
    fails = ects.task("shell", "echo no; exit 3", name=f"a-task-whose-name-is-long-{'x' * 60}")
    made = ects.pipeline(
        "0 30 8 1 1,4,7,10 *",
        [{"task": fails, "position": position} for position in range(1, 13)],
        name="a-pipeline-whose-name-somebody-made-long-for-the-quarterly-report-of-the-whole-company",
        description="Mails the quarterly report, " * 8,
        timezone="Asia/Shanghai",
    )
    ects.run_now(made)
    return made


def _signed_in(browser: Browser, ects: Installation, **options: object) -> Page:
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    page.goto(f"{ects.url}/admin/login/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", ects.password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{ects.url}/admin/")
    return page


def test_no_page_asks_another_host_and_none_is_wider_than_its_window(
    ects: Installation, browser: Browser, pipeline: str
) -> None:
    page = _signed_in(browser, ects)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    wide = []
    for name, path in PAGES.items():
        page.goto(ects.url + path.format(pipeline=pipeline, node=ects.node), wait_until="networkidle")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            if found := page.evaluate(OVERFLOW):
                wide.append(f"{name} at {width} px: {found}")
    assert wide == []
    assert len(asked) > len(PAGES)
    assert [url for url in asked if not url.startswith((ects.url, "data:", "blob:"))] == []
    page.context.close()


def test_times_are_told_in_the_viewers_zone_with_seconds(ects: Installation, browser: Browser, pipeline: str) -> None:
    """The same run, seen from two places."""
    found = []
    for zone in ("America/Lima", "Asia/Tokyo"):
        page = _signed_in(browser, ects, timezone_id=zone)
        page.goto(f"{ects.url}/admin/logs/run/?pipeline={pipeline}")
        told = page.locator("#result_list time .ects-faint").first.inner_text()
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", told)
        found.append(told)
        assert zone in page.locator(".ects-narrow").inner_text()
        page.context.close()
    lima, tokyo = (int(told[11:13]) for told in found)
    assert (tokyo - lima) % 24 == 14


def test_a_phone_shows_the_api_at_its_own_width(ects: Installation, browser: Browser) -> None:
    """A page that names no viewport is laid out 980 pixels wide there, and made small."""
    page = _signed_in(browser, ects, is_mobile=True, viewport={"width": 390, "height": 844})
    page.goto(f"{ects.url}/api/v1/tasks/")
    assert page.evaluate("window.innerWidth") == 390
    page.context.close()
