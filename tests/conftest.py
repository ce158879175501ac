"""The order of all tests."""

import pytest

PROCESSES_FIRST = ("faults", "endtoend", "cluster", "fuzz", "site", "simulation")
"""Directories of tests that take long, mostly waiting for real processes."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first: side by side with others, it costs no time of its own at the end."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    directory = item.nodeid.split("/")[1]
    return PROCESSES_FIRST.index(directory) if directory in PROCESSES_FIRST else len(PROCESSES_FIRST)
