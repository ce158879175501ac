"""axe-core, from npm, in a page of the browser."""

from collections.abc import Sequence
from typing import Any

from playwright.sync_api import Page

from tests.endtoend.installation import ROOT

SCRIPT = ROOT / "node_modules" / "axe-core" / "axe.min.js"

OF_COLOURS = ["color-contrast", "link-in-text-block"]
"""Axe's rules of which a dark look may break what a light one keeps."""

STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
"""WCAG 2.1, levels A and AA."""


STILL = """() => {
  const still = new CSSStyleSheet();
  still.replaceSync("*, *::before, *::after { transition: none !important; animation: none !important }");
  document.adoptedStyleSheets = [still];
}"""


def darken(page: Page) -> None:
    """The page as who prefers the dark sees it, at once."""
    page.evaluate(STILL)
    page.emulate_media(color_scheme="dark")
    page.evaluate("document.documentElement.classList.add('dark')")


def barriers(page: Page, only: Sequence[str] = ()) -> list[str]:
    """What the page as it is now has against the standards: each with its rule, the reason and the element. ``only``:
    the rules to ask, all of them if none is named."""
    assert SCRIPT.exists(), "axe-core is missing: scripts/test installs it (npm ci)"
    # By the debugger's protocol: the page's own policy stays in force, and would forbid a script tag.
    page.evaluate(SCRIPT.read_text())
    found: list[dict[str, Any]] = page.evaluate(
        "wanted => axe.run(document, {runOnly: wanted, resultTypes: ['violations']}).then(it => it.violations)",
        {"type": "rule", "values": list(only)} if only else STANDARDS,
    )
    return [
        f"{rule['id']}: {element['failureSummary']}\n  {element['html'][:300]}"
        for rule in found
        for element in rule["nodes"]
    ]
