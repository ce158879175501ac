"""axe-core, from npm, in a page of the browser."""

from typing import Any

from playwright.sync_api import Page

from tests.endtoend.installation import ROOT

SCRIPT = ROOT / "node_modules" / "axe-core" / "axe.min.js"

STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
"""WCAG 2.1, levels A and AA."""


def barriers(page: Page) -> list[str]:
    """What the page as it is now has against the standards: each with its rule, the reason and the element."""
    assert SCRIPT.exists(), "axe-core is missing: scripts/test installs it (npm ci)"
    # By the debugger's protocol: the page's own policy stays in force, and would forbid a script tag.
    page.evaluate(SCRIPT.read_text())
    found: list[dict[str, Any]] = page.evaluate(
        "standards => axe.run(document, {runOnly: standards, resultTypes: ['violations']}).then(it => it.violations)",
        STANDARDS,
    )
    return [
        f"{rule['id']}: {element['failureSummary']}\n  {element['html'][:300]}"
        for rule in found
        for element in rule["nodes"]
    ]
