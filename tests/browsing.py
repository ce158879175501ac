"""Debian's chromium, for what only a browser shows."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-extensions")

PATIENCE = 60_000
"""Milliseconds for what is expected of a page: beside other tests a machine is slow."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Started, and ended. What it is asked for from here on may wait in a thread that has an event loop."""
    expect.set_options(timeout=PATIENCE)
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
