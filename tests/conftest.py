"""The order of all tests, and the browser of those that look at pages."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser

from tests.browsing import chromium

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")  # How long an example takes says something of the machine, nothing of the code.

PROCESSES_FIRST = ("faults", "endtoend", "simulation", "cluster", "fuzz", "site")
"""Directories of tests that take long: mostly waiting for real processes, but for the simulation, which only counts."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first: side by side with others, it costs no time of its own at the end."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    directory = item.nodeid.split("/")[1]
    return PROCESSES_FIRST.index(directory) if directory in PROCESSES_FIRST else len(PROCESSES_FIRST)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests of a module: to start it takes longer than to look at a page."""
    with chromium() as browser:
        yield browser
