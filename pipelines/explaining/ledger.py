"""What the ledger says of an instant."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from coordination.identity import SHARED, fire_run_id
from logs.models import Run
from logs.reasons import localized
from pipelines.explaining.answer import Answer, Verdict, lasted, shown

ATTEMPTS = (1, 2, 3, 4, 5, 11, 12, 13, 21, 22)
"""Looked for by name, so that the history's size does not matter."""

VERDICTS: dict[str, Verdict] = {"running": "running", "skipped": "skipped", "missed": "missed", "lost": "lost"}


def rows(pipeline: UUID, at: datetime, node: UUID | None) -> list[Run]:
    """The runs of this fire on this node (None: shared), in the order of attempts; else the gap that covers it."""
    where = SHARED if node is None else str(node)
    names = [UUID(fire_run_id(str(pipeline), at, where, attempt)) for attempt in ATTEMPTS]
    found = list(Run.objects.filter(uuid__in=names).order_by("attempt"))
    if found:
        return found
    gaps = Run.objects.filter(
        pipeline=pipeline, state__in=["missed", "skipped"], count__gt=1, scheduled_at__lte=at, until__gte=at
    )
    gaps = gaps.filter(shared=True) if node is None else gaps.filter(node=node)
    return list(gaps.order_by("-id")[:1])


def answer(node: str, found: Sequence[Run], zone: str) -> Answer:
    """The rows, which are not empty, as sentences."""
    last = found[-1]
    sentences = tuple(sentence for run in found for sentence in _of(run, zone, len(found) > 1))
    return Answer(node, VERDICTS.get(last.state, "ran"), sentences, tuple(run.uuid for run in found))


def _of(run: Run, zone: str, is_one_of_several: bool) -> list[str]:
    if run.count > 1 and run.until is not None:
        return [
            _("It is one of %(count)d fires from %(first)s to %(last)s that were %(state)s: %(reason)s.")
            % {
                "count": run.count,
                "first": shown(run.scheduled_at, zone),
                "last": shown(run.until, zone),
                "state": run.get_state_display().lower(),
                "reason": _reason(run),
            },
            *_by_whom(run),
        ]
    sentences = []
    if is_one_of_several:
        sentences.append(_("Attempt %(number)d:") % {"number": run.attempt})
    if run.started_at is None:
        told = {"state": run.get_state_display().lower(), "reason": _reason(run)}
        sentences.append(_("It was %(state)s: %(reason)s.") % told)
    else:
        sentences += _started(run, zone)
    return [*sentences, *_by_whom(run)]


def _started(run: Run, zone: str) -> list[str]:
    assert run.started_at is not None
    late = (run.started_at - run.scheduled_at).total_seconds()
    told = {"node": run.node_name, "at": shown(run.started_at, zone), "late": lasted(max(late, 0))}
    sentences = [_("It started on %(node)s at %(at)s, %(late)s after its instant.") % told]
    if run.trigger == Run.Trigger.CATCH_UP:
        sentences.append(_("It was caught up: the instant had been missed."))
    if run.finished_at is None:
        sentences.append(_("It is still running."))
        return sentences
    took = lasted((run.finished_at - run.started_at).total_seconds())
    ended = {"state": run.get_state_display().lower(), "took": took}
    sentences.append(_("It ended as %(state)s after %(took)s.") % ended)
    if run.reason:
        sentences.append(_("Reason: %(reason)s.") % {"reason": _reason(run)})
    return sentences


def _by_whom(run: Run) -> list[str]:
    return [_("The console wrote this; the worker's own word will replace it.")] if run.provisional else []


def _reason(run: Run) -> str:
    return localized(run.reason).rstrip(".。") or _("no reason is given")
