"""The command palette finds what people look for, by the keyboard alone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.endtoend.installation import Installation


class Made:
    """One of each kind, with names that nothing else has. ``run`` is the key of the run's page."""

    def __init__(self, ects: Installation) -> None:
        self.task = ects.task("shell", "echo found", name="Sorting the letters")
        self.pipeline = ects.pipeline("@manual", [{"task": self.task}], name="postal-nightly")
        self.run = str(ects.run_now(self.pipeline)["id"])
        self.calendar = ects.post("calendars/", {"name": "Postal strikes", "dates": [{"date": "05-01"}]})["id"]
        self.node = ects.post("nodes/", {"name": "post-office-7"})["id"]


@pytest.fixture(scope="module")
def made(ects: Installation) -> Made:
    return Made(ects)


def _ask(page: Page, text: str) -> None:
    page.keyboard.press("Control+k")
    expect(page.locator("#search-input-command")).to_be_focused()
    page.keyboard.type(text)
    expect(page.locator("#command-results-list")).to_be_visible()


WANTED: dict[str, Callable[[Made], tuple[str, str]]] = {
    "a pipeline by its name": lambda made: ("postal-nig", f"/admin/pipelines/pipeline/{made.pipeline}/change/"),
    "a pipeline in other letters": lambda made: ("POSTAL-N", f"/admin/pipelines/pipeline/{made.pipeline}/change/"),
    "a task by a word of its name": lambda made: ("letters", f"/admin/tasks/task/{made.task}/change/"),
    "a node by its name": lambda made: ("post-office", f"/admin/workers/node/{made.node}/change/"),
    "a calendar by its name": lambda made: ("postal st", f"/admin/pipelines/calendar/{made.calendar}/change/"),
    "a page by its name": lambda made: ("audit", "/admin/audit/entry/"),
}


@pytest.mark.parametrize("what", WANTED)
def test_the_palette_finds(ects: Installation, page: Page, made: Made, what: str) -> None:
    """And leads there with the arrow and the enter key."""
    text, address = WANTED[what](made)
    page.goto(f"{ects.url}/admin/")
    _ask(page, text)
    link = page.locator(f"#command-results-list li:has(a[href='{address}'])")
    expect(link).to_have_count(1)
    place = page.locator("#command-results-list li").evaluate_all(
        "(lines, address) => lines.findIndex(line => line.querySelector('a').getAttribute('href') == address)", address
    )
    for _ in range(place + 1):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{address}")


def _titles(page: Page) -> list[str]:
    return [text.strip() for text in page.locator("#command-results-list li strong").all_text_contents()]


def test_the_palette_finds_runs_by_their_pipeline(ects: Installation, page: Page, made: Made) -> None:
    """Behind the pipeline itself: enter opens that."""
    page.goto(f"{ects.url}/admin/tasks/task/")
    _ask(page, "postal-nightly")
    expect(page.locator("#command-results-list a[href*='/admin/logs/run/']")).to_have_count(1)
    pipeline, run = _titles(page)
    assert (pipeline, run[:17]) == ("postal-nightly", "postal-nightly 20")
    page.keyboard.press("Control+a")
    page.keyboard.type("nothing is called that")
    page.keyboard.press("Enter")
    expect(page.locator("#command-results")).to_have_text("No results matching your query")
    page.keyboard.press("Control+a")
    page.keyboard.type("postal-nig")
    expect(page.locator("#command-results-list li")).not_to_have_count(0)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/admin/pipelines/pipeline/{made.pipeline}/change/")


def test_the_palette_finds_a_run_by_its_id(ects: Installation, page: Page, made: Made) -> None:
    """The one line there is; enter opens it."""
    page.goto(f"{ects.url}/admin/")
    _ask(page, made.run)
    expect(page.locator("#command-results-list li")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("[data-step-output]")).to_contain_text("found")
    assert page.locator("#run").get_attribute("data-poll") == f"/admin/logs/run/{made.run}/poll/"


def test_what_is_typed_is_not_lost_when_the_palette_is_shown_late(ects: Installation, page: Page) -> None:
    """A busy browser draws it long after the theme gave the field the focus, which a hidden field does not take."""
    page.add_init_script(
        "const draw = window.requestAnimationFrame.bind(window);"
        "window.requestAnimationFrame = (callback) => setTimeout(() => draw(callback), 500);"
    )
    page.goto(f"{ects.url}/admin/")
    page.keyboard.press("Control+k")
    expect(page.locator("#search-input-command")).to_be_focused(timeout=10_000)


def test_what_is_made_meanwhile_is_found_too(ects: Installation, page: Page) -> None:
    """What the same words found a moment before is not all there is."""
    ects.task("shell", "true", name="lighthouse lamp")
    page.goto(f"{ects.url}/admin/")
    _ask(page, "lighthouse")
    expect(page.locator("#command-results-list li")).to_have_count(1)
    ects.task("shell", "true", name="lighthouse horn")
    page.reload()
    _ask(page, "lighthouse")
    expect(page.locator("#command-results-list li")).to_have_count(2)
