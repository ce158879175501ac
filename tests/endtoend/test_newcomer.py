"""A newcomer's way by clicks alone: from the first sign-in to the first successful run."""

import time

from playwright.sync_api import Locator, Page, expect

from tests.endtoend.installation import Installation

SECONDS = 120
"""What the issue allows a person; the browser is quicker, so that a slower machine still fits."""

MOST_CLICKS = 16


class Hand:
    """Clicks, counts, and types."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0
        self.began = time.monotonic()

    def click(self, what: Locator) -> None:
        what.click()
        self.clicks += 1

    def choose(self, box: Locator, text: str) -> None:
        """In a box that searches."""
        self.click(box)
        self.page.keyboard.type(text)
        self.click(self.page.locator(".select2-results__option", has_text=text))


def test_from_the_first_sign_in_to_the_first_successful_run(ects: Installation, page: Page) -> None:
    page.context.clear_cookies()
    page.goto(ects.url)
    hand = Hand(page)
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(ects.password)
    hand.click(page.get_by_role("button", name="Log in"))
    menu = page.locator("#nav-sidebar")

    hand.click(menu.get_by_role("link", name="Tasks"))
    hand.click(page.get_by_role("link", name="Add task"))
    page.get_by_label("Name").fill("say hello")
    page.get_by_role("textbox", name="Content").fill("echo hello from the first run")
    hand.click(page.get_by_role("button", name="Save", exact=True))

    hand.click(menu.get_by_role("link", name="Pipelines"))
    hand.click(page.get_by_role("link", name="Add pipeline"))
    page.get_by_label("Name").fill("first pipeline")
    hand.choose(page.locator("#steps-group .select2-selection").first, "say hello")
    page.select_option("#id_bindings-0-node", label=ects.get(f"nodes/{ects.node}/")["name"])
    hand.clicks += 2
    hand.click(page.get_by_role("button", name="Save and continue editing"))

    hand.click(page.get_by_role("link", name="Run now"))
    hand.click(page.get_by_role("dialog").get_by_role("button", name="Run now"))
    hand.click(page.get_by_role("link", name="See what comes of it"))
    expect(page.locator("[data-run-state]")).to_have_text("Succeeded")
    expect(page.locator("[data-step-output]")).to_have_text("hello from the first run\n")
    took = time.monotonic() - hand.began
    print(f"from the sign-in to the first successful run: {hand.clicks} clicks, {took:.1f} s")
    assert hand.clicks <= MOST_CLICKS
    assert took < SECONDS
