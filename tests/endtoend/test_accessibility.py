"""Contrast, labels and roles by axe-core on every main page, light and dark; the language; the command palette."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.endtoend.installation import Installation
from tests.endtoend.test_browser import page

__all__ = ["page"]

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}

PAGES = {
    "dashboard": "/admin/",
    "pipelines": "/admin/pipelines/pipeline/",
    "a new pipeline": "/admin/pipelines/pipeline/add/",
    "runs": "/admin/logs/run/",
    "nodes": "/admin/workers/node/",
    "a new node": "/admin/workers/node/add/",
    "a new task": "/admin/tasks/task/add/",
    "calendars": "/admin/pipelines/calendar/",
}


def _violations(page: Page) -> list[str]:
    found: list[dict[str, Any]] = Axe().run(page, options=RULES).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_barrier(ects: Installation, page: Page, name: str, scheme: str) -> None:
    page.evaluate("scheme => localStorage.setItem('adminTheme', JSON.stringify(scheme))", scheme)
    page.goto(ects.url + PAGES[name], wait_until="networkidle")
    assert "\n".join(_violations(page)) == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_run_has_no_barrier(ects: Installation, page: Page, scheme: str) -> None:
    pipeline = ects.pipeline("@manual", [{"task": ects.task("shell", "printf '\\033[31mred\\033[0m\\n'; exit 3")}])
    run = ects.run_now(pipeline)["id"]
    page.evaluate("scheme => localStorage.setItem('adminTheme', JSON.stringify(scheme))", scheme)
    page.goto(f"{ects.url}/admin/logs/run/?q={run}")
    page.locator("#result_list tbody a").first.click()
    expect(page.locator("[data-run-state]")).to_be_visible()
    assert "\n".join(_violations(page)) == ""


def test_the_language_is_switched(ects: Installation, page: Page) -> None:
    page.goto(f"{ects.url}/admin/")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_text("admin@localhost").first.click()
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    expect(page.locator("body")).to_contain_text("未来一小时")


def test_the_command_palette_finds_definitions(ects: Installation, page: Page) -> None:
    pipeline = ects.pipeline("@manual", [{"task": ects.task("shell", "true")}], name="palette-example")
    page.goto(f"{ects.url}/admin/")
    page.keyboard.press("Control+k")
    page.locator("#search-input-command").press_sequentially("palette-ex")
    link = page.locator(f"a[href*='{pipeline}']")
    expect(link.first).to_be_visible()
