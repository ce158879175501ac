"""The task's form in a browser: the fields of its kind and no others, also when another kind is chosen."""

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tasks.admin import KINDS_OF
from tests.endtoend.installation import Installation

KINDS: dict[str, dict[str, Any]] = {
    "shell": {},
    "http": {"url": "http://127.0.0.1:9/"},
    "hook": {"url": "http://127.0.0.1:9/"},
    "mail": {"recipients": ["ops@example.org"], "subject": "s"},
}
"""What tasks of each kind need beside their content."""


def _field(page: Page, name: str) -> Locator:
    return page.locator(f"#id_{name}")


def _shows(page: Page, kind: str) -> None:
    expect(_field(page, "content")).to_be_visible()
    for name, kinds in KINDS_OF.items():
        expect(_field(page, name)).to_be_visible(visible=kind in kinds)


@pytest.mark.parametrize("kind", KINDS)
def test_it_shows_the_fields_of_its_kind(ects: Installation, page: Page, kind: str) -> None:
    task = ects.task(kind, "true", **KINDS[kind])
    page.goto(f"{ects.url}/admin/tasks/task/{task}/change/")
    _shows(page, kind)


def test_it_follows_the_kind_that_is_chosen(ects: Installation, page: Page) -> None:
    page.goto(f"{ects.url}/admin/tasks/task/add/")
    for kind in (*KINDS, "shell"):
        page.select_option("#id_kind", kind)
        _shows(page, kind)
