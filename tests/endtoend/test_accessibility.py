"""Contrast, labels and roles by axe-core on every main page: light, dark, and some on a phone."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.endtoend.axe import barriers
from tests.endtoend.installation import Installation
from tests.endtoend.test_browser import CHROMIUM

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1440, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1440, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}


class Made:
    """What the pages show: one of each kind, the run one that failed."""

    def __init__(self, ects: Installation) -> None:
        self.task = ects.task("shell", "printf '\\033[31mred\\033[0m\\n'; exit 3", name="axe-task")
        steps = [{"task": self.task, "position": 1}, {"task": self.task, "position": 1}]
        self.pipeline = ects.pipeline("@manual", steps, name="axe-pipeline", description="Looked at by axe")
        self.run = str(ects.run_now(self.pipeline)["id"])
        days = {"dates": [{"date": "12-25", "name": "Christmas"}], "weekly": [{"days": ["sat", "sun"]}]}
        self.calendar = ects.post("calendars/", {"name": "axe-calendar", **days})["id"]
        self.node = ects.node


PAGES: dict[str, Callable[[Made], str]] = {
    "dashboard": lambda made: "/admin/",
    "pipelines": lambda made: "/admin/pipelines/pipeline/",
    "a new pipeline": lambda made: "/admin/pipelines/pipeline/add/",
    "a pipeline": lambda made: f"/admin/pipelines/pipeline/{made.pipeline}/change/",
    "why": lambda made: f"/admin/pipelines/pipeline/{made.pipeline}/explain/?at=2026-01-01T00:00:00Z",
    "runs": lambda made: "/admin/logs/run/",
    "nodes": lambda made: "/admin/workers/node/",
    "a node": lambda made: f"/admin/workers/node/{made.node}/change/",
    "a new node": lambda made: "/admin/workers/node/add/",
    "tasks": lambda made: "/admin/tasks/task/",
    "a new task": lambda made: "/admin/tasks/task/add/",
    "a task": lambda made: f"/admin/tasks/task/{made.task}/change/",
    "calendars": lambda made: "/admin/pipelines/calendar/",
    "a calendar": lambda made: f"/admin/pipelines/calendar/{made.calendar}/change/",
    "audit": lambda made: "/admin/audit/entry/",
    "audit of a pipeline": lambda made: f"/admin/pipelines/pipeline/{made.pipeline}/history/",
    "a new user": lambda made: "/admin/auth/user/add/",
}

ON_A_PHONE = ("dashboard", "pipelines", "a pipeline", "runs", "a node", "audit")


@pytest.fixture(scope="module")
def made(ects: Installation) -> Made:
    return Made(ects)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all pages: starting it takes longer than looking at a page."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def consoles(ects: Installation, browser: Browser) -> dict[str, Page]:
    """A page of each look, signed in."""
    found = {}
    for look, options in LOOKS.items():
        page = found[look] = browser.new_context(**options).new_page()
        page.goto(f"{ects.url}/admin/login/")
        page.fill("[name=username]", "admin")
        page.fill("[name=password]", ects.password)
        page.keyboard.press("Enter")
        page.wait_for_url("**/admin/")
        page.evaluate("scheme => localStorage.setItem('adminTheme', JSON.stringify(scheme))", options["color_scheme"])
    return found


@pytest.mark.parametrize(
    ("name", "look"), [(name, look) for look in LOOKS for name in PAGES if look != "phone" or name in ON_A_PHONE]
)
def test_a_page_has_no_barrier(ects: Installation, consoles: dict[str, Page], made: Made, name: str, look: str) -> None:
    page = consoles[look]
    page.goto(ects.url + PAGES[name](made), wait_until="networkidle")
    expect(page.locator("html.dark")).to_have_count(int(look == "dark"))
    assert "\n".join(barriers(page)) == ""


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_of_a_run_has_no_barrier(ects: Installation, consoles: dict[str, Page], made: Made, look: str) -> None:
    page = consoles[look]
    page.goto(f"{ects.url}/admin/logs/run/?q={made.run}")
    page.locator("#result_list tbody a").first.click()
    expect(page.locator("[data-step-output]").first).to_contain_text("red")
    assert "\n".join(barriers(page)) == ""


@pytest.mark.parametrize("look", LOOKS)
def test_the_palette_has_no_barrier(ects: Installation, consoles: dict[str, Page], made: Made, look: str) -> None:
    """With what it found."""
    page = consoles[look]
    page.goto(f"{ects.url}/admin/pipelines/pipeline/", wait_until="networkidle")
    page.keyboard.press("Control+k")
    expect(page.locator("#search-input-command")).to_be_focused()
    page.keyboard.type("axe-")
    expect(page.locator("#command-results-list a").first).to_be_visible()
    assert "\n".join(barriers(page)) == ""


@pytest.mark.parametrize("look", LOOKS)
def test_the_sign_in_has_no_barrier(ects: Installation, browser: Browser, look: str) -> None:
    """With a word about a wrong password."""
    context = browser.new_context(**LOOKS[look])
    page = context.new_page()
    page.goto(f"{ects.url}/admin/login/")
    page.fill("[name=username]", f"nobody-{look}")
    page.fill("[name=password]", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_contain_text("enter the correct")
    assert "\n".join(barriers(page)) == ""
    context.close()
