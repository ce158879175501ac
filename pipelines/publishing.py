"""The one door by which changes reach etcd.

Receivers of the definitions' signals call ``mark`` in the transaction of the change; after its commit the request
publishes for ``WEB_BUDGET`` seconds, and the leading master, by ``relay_pending``, whatever is left.
"""

import logging
import threading
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import F

from coordination.errors import CoordinationError
from coordination.gateway import CALL_TIMEOUT
from pipelines import outbox
from pipelines.configuration import publish_config
from pipelines.models import Control, Publication
from pipelines.relay import Relay, Report
from pipelines.resync import resync

__all__ = ["held_back", "mark", "publish_config", "relay", "relay_on_commit", "relay_pending", "resync", "set_paused"]

log = logging.getLogger(__name__)

WEB_BUDGET = 0.3
"""Seconds that a web request spends on publishing; the leading master does the rest."""

MASTER_BUDGET = 10.0
"""Seconds that one pass of the master's relay lasts at most."""


def mark(pipelines: Iterable[UUID], *, retimed: bool = False) -> None:
    """Has these pipelines published after the transaction that changes them, in which this is to be called.

    ``retimed``: what changes are their instants; those that have passed are not caught up.
    """
    ids = set(pipelines)
    if ids:
        outbox.mark(ids, retimed=retimed)
        relay_on_commit(ids)


def relay_on_commit(pipelines: Iterable[UUID]) -> None:
    """Relays once after the commit, however often a transaction asks for it, and never fails what was saved."""
    _thread.marked = getattr(_thread, "marked", set()) | set(pipelines)
    transaction.on_commit(_relay_marked, robust=True)


def relay(pipelines: Iterable[UUID], budget_seconds: float) -> Report:
    """Publishes what is pending of these pipelines, as far as the budget goes."""
    return Relay(budget_seconds).run(Publication.objects.filter(pipeline__in=list(pipelines)))


def relay_pending(budget_seconds: float = MASTER_BUDGET) -> int:
    """Publishes whatever is pending; the number of keys brought up to date. For the leading master, every second."""
    if Control.objects.filter(published__lt=F("generation")).exists():
        _try_to_publish_config()
    report = Relay(budget_seconds).run(Publication.objects.all())
    if report.trouble:
        log.warning("not everything is published: %s", report.trouble)
    return report.done


def set_paused(paused: bool) -> Control:
    """The global pause switch: no pipeline fires by its schedule while it is on. Published after the commit."""
    control = outbox.set_paused(paused)
    transaction.on_commit(lambda: _try_to_publish_config(WEB_BUDGET), robust=True)
    return control


def held_back() -> set[UUID]:
    """Pipelines that this thread has marked and could not publish completely since this was last asked."""
    marked: set[UUID] = getattr(_thread, "relayed", set())
    _thread.relayed = set()
    return set(outbox.unpublished(marked).values_list("pipeline", flat=True)) if marked else set()


_thread = threading.local()


def _try_to_publish_config(timeout: float = CALL_TIMEOUT) -> None:
    try:
        publish_config(timeout)
    except CoordinationError as error:
        log.warning("the shared settings are not published: %s", error)


def _relay_marked() -> None:
    marked: set[UUID] = getattr(_thread, "marked", set())
    _thread.marked = set()
    if marked:
        _thread.relayed = getattr(_thread, "relayed", set()) | marked
        relay(marked, WEB_BUDGET)
