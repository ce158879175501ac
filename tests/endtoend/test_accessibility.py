"""Contrast, labels and roles by axe-core on every main page: light, dark, and some on a phone."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.endtoend.axe import OF_COLOURS, barriers, darken
from tests.endtoend.installation import Installation

SIZES: dict[str, Any] = {"wide": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}


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
    "a new group": lambda made: "/admin/auth/group/add/",
    "tasks in the API": lambda made: "/api/v1/tasks/",
    "a pipeline in the API": lambda made: f"/api/v1/pipelines/{made.pipeline}/",
}

ON_A_PHONE = ("dashboard", "pipelines", "a pipeline", "runs", "a node", "audit", "tasks in the API")


@pytest.fixture(scope="module")
def made(ects: Installation) -> Made:
    return Made(ects)


@pytest.fixture(scope="module")
def consoles(browser: Browser, signed_in: Any) -> dict[str, Page]:
    """A page of each size, signed in."""
    return {
        size: browser.new_context(viewport=viewport, storage_state=signed_in).new_page()
        for size, viewport in SIZES.items()
    }


def _in_both_looks(page: Page) -> str:
    """What bars the way in the light, and in the dark of the same page."""
    expect(page.locator("html.dark")).to_have_count(0)
    found = barriers(page)
    darken(page)
    expect(page.locator("html.dark")).to_have_count(1)
    found += barriers(page, OF_COLOURS)
    page.emulate_media(color_scheme="light")
    return "\n".join(found)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_barrier(ects: Installation, consoles: dict[str, Page], made: Made, name: str) -> None:
    page = consoles["wide"]
    page.goto(ects.url + PAGES[name](made), wait_until="networkidle")
    assert _in_both_looks(page) == ""


@pytest.mark.parametrize("name", ON_A_PHONE)
def test_a_page_has_no_barrier_on_a_phone(ects: Installation, consoles: dict[str, Page], made: Made, name: str) -> None:
    page = consoles["phone"]
    page.goto(ects.url + PAGES[name](made), wait_until="networkidle")
    assert "\n".join(barriers(page)) == ""


@pytest.mark.parametrize("size", SIZES)
def test_the_page_of_a_run_has_no_barrier(ects: Installation, consoles: dict[str, Page], made: Made, size: str) -> None:
    page = consoles[size]
    page.goto(f"{ects.url}/admin/logs/run/?q={made.run}")
    page.locator("#result_list tbody a").first.click()
    expect(page.locator("[data-step-output]").first).to_contain_text("red")
    assert _in_both_looks(page) == ""


@pytest.mark.parametrize("size", SIZES)
def test_the_palette_has_no_barrier(ects: Installation, consoles: dict[str, Page], made: Made, size: str) -> None:
    """With what it found."""
    page = consoles[size]
    page.bring_to_front()
    page.goto(f"{ects.url}/admin/pipelines/pipeline/", wait_until="networkidle")
    page.keyboard.press("Control+k")
    expect(page.locator("#search-input-command")).to_be_focused()
    page.keyboard.type("axe-")
    expect(page.locator("#command-results-list a").first).to_be_visible()
    assert _in_both_looks(page) == ""


@pytest.mark.parametrize("size", SIZES)
def test_the_sign_in_has_no_barrier(ects: Installation, browser: Browser, size: str) -> None:
    """With a word about a wrong password."""
    context = browser.new_context(viewport=SIZES[size])
    page = context.new_page()
    page.goto(f"{ects.url}/admin/login/")
    page.fill("[name=username]", f"nobody-{size}")
    page.fill("[name=password]", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_contain_text("enter the correct")
    assert _in_both_looks(page) == ""
    context.close()
