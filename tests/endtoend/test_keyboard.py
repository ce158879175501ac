"""The console without a mouse: what is reached, what is seen to be reached, and how one gets out again."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.endtoend.installation import Installation


def _tab_to(page: Page, wanted: Locator, most: int = 60) -> None:
    """Presses Tab until ``wanted`` has the focus, which must be seen there."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            style = wanted.evaluate("element => getComputedStyle(element).outlineStyle")
            assert style == "solid", "the focus is not seen"
            return
    raise AssertionError(f"{wanted} is not reached by {most} tabs")


def test_the_content_is_one_key_away(ects: Installation, page: Page) -> None:
    page.goto(f"{ects.url}/admin/pipelines/pipeline/")
    skip = page.get_by_role("link", name="Skip to the content")
    page.keyboard.press("Tab")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#content :focus")).to_have_count(1)


@pytest.mark.parametrize("kind", ["logs/run", "workers/node"])
def test_a_list_is_searched_by_one_key(ects: Installation, page: Page, kind: str) -> None:
    page.goto(f"{ects.url}/admin/{kind}/")
    page.keyboard.press("/")
    expect(page.locator("#searchbar")).to_be_focused()
    expect(page.locator("#searchbar")).to_have_value("")


def test_a_pipeline_is_run_from_the_list(ects: Installation, page: Page) -> None:
    pipeline = ects.pipeline("@manual", [{"task": ects.task("shell", "true")}], name="by-keyboard")
    page.goto(f"{ects.url}/admin/pipelines/pipeline/?q=by-keyboard")
    actions = page.get_by_role("button", name="Actions")
    _tab_to(page, actions)
    page.keyboard.press("Enter")
    run = page.get_by_role("link", name="Run now")
    expect(run).to_be_visible()
    page.keyboard.press("Escape")
    expect(run).to_be_hidden()
    _tab_to(page, actions)
    page.keyboard.press("Enter")
    expect(run).to_be_visible()
    _tab_to(page, run)
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(":focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(run).to_be_hidden()
    assert ects.runs(pipeline) == []
    _tab_to(page, actions)
    page.keyboard.press("Enter")
    expect(run).to_be_visible()
    _tab_to(page, run)
    page.keyboard.press("Enter")
    expect(dialog.locator(":focus")).to_have_count(1)
    _tab_to(page, dialog.get_by_role("button", name="Run now"))
    with page.expect_navigation():
        page.keyboard.press("Enter")
    ects.ended(pipeline)


def test_who_leaves_a_dialog_is_where_it_was_opened(ects: Installation, page: Page) -> None:
    page.goto(f"{ects.url}/admin/workers/node/{ects.node}/change/")
    drain = page.get_by_role("link", name="Drain")
    dialog = page.get_by_role("dialog")
    for way_out in ("Escape", "Cancel"):
        drain.press("Enter")
        expect(dialog.locator(":focus")).to_have_count(1)
        if way_out == "Escape":
            page.keyboard.press("Escape")
        else:
            dialog.get_by_role("link", name="Cancel").press("Enter")
        expect(dialog).to_be_hidden()
        expect(drain).to_be_focused()


def test_the_language_is_reached(ects: Installation, page: Page) -> None:
    page.goto(f"{ects.url}/admin/")
    _tab_to(page, page.get_by_role("button", name="admin@localhost"))
    page.keyboard.press("Enter")
    chinese = page.get_by_role("button", name="简体中文")
    expect(chinese).to_be_visible()
    _tab_to(page, chinese)
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
