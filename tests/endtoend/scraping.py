"""Reads what the processes of an installation say of themselves."""

from contextlib import suppress
from typing import Literal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.endtoend.installation import Installation

Process = Literal["web", "master", "worker"]
PROCESSES: tuple[Process, ...] = ("web", "master", "worker")

Samples = dict[tuple[str, ...], float]
"""By name and the labels' values in the order of the labels' names."""


def address(ects: Installation, process: Process) -> str:
    """Where it answers for health and metrics."""
    if process == "web":
        return ects.url
    return f"http://{ects.environment[f'ECTS_{process.upper()}_METRICS']}"


def exposition(ects: Installation, process: Process) -> str:
    """The text of its /metrics."""
    reply = httpx.get(f"{address(ects, process)}/metrics", timeout=30)
    assert reply.status_code == 200, reply.text
    return reply.text


def scrape(ects: Installation, process: Process) -> Samples:
    """The samples of its /metrics."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(ects, process))
        for sample in family.samples
    }


def readiness(ects: Installation, process: Process) -> dict[str, object]:
    """What its /readyz says, with the status; nothing while nobody answers."""
    with suppress(httpx.TransportError):
        reply = httpx.get(f"{address(ects, process)}/readyz", timeout=5)
        return {**reply.json(), "status": reply.status_code}
    return {}
