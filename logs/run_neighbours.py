"""What other apps know of a run, for its page: this app knows neither pipelines nor how to order anything.

Who knows says so at the start (``register``), as with the search.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest

from logs.models import Run


@dataclass(frozen=True)
class Order:
    """A button that posts. ``question`` is asked before; ``is_grave``: it ends something."""

    name: str
    label: str
    url: str
    question: str
    is_grave: bool = False


@dataclass(frozen=True)
class Definition:
    """The pipeline's definition that the run ran on: in words, and where its difference to today's is shown."""

    words: str
    changes_url: str = ""


@dataclass(frozen=True)
class Knowledge:
    """All empty: nothing can be done, and the pipeline is gone."""

    orders: tuple[Order, ...] = ()
    definition: Definition | None = None
    pipeline_url: str = ""
    node_url: str = ""


_sources: list[Callable[[HttpRequest, Run], Knowledge]] = []


def register(source: Callable[[HttpRequest, Run], Knowledge]) -> None:
    """From now on it is asked for every page of a run."""
    _sources.append(source)


def of(request: HttpRequest, run: Run) -> Knowledge:
    """What is known of the run, and may be done with it by who asks."""
    return next((source(request, run) for source in _sources), Knowledge())
