"""What the page of one run shows: facts, the steps in time, and what they wrote."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from logs import gantt, run_neighbours
from logs.arrival import on_the_way, silence
from logs.lateness import lateness
from logs.models import Run, StepRun
from logs.output import texts
from logs.reasons import localized
from logs.run_times import ago, duration, exact

OPEN_AT_ONCE = 6
"""Runs of so many steps show the output of all; of more, that of those that did not succeed."""


@dataclass(frozen=True)
class StepView:
    """A step as the template needs it."""

    row: StepRun
    track: SafeString | None
    took: str
    output: SafeString
    silence: str
    is_open: bool


def context(request: HttpRequest, run: Run, now: datetime, cursor: int | None) -> dict[str, Any]:
    """``cursor``: up to where output is shown; None for none of it (a follower has it already)."""
    rows = list(run.steps.order_by("index"))
    scale = gantt.scale(run, rows, now)
    outputs = {} if cursor is None else texts([run.uuid], until=cursor)
    late = set() if cursor is None else on_the_way(run, rows, now, cursor)
    steps = [
        StepView(
            row=row,
            track=gantt.track(row, scale) if scale and row.started_at else None,
            took=duration((row.finished_at or now) - row.started_at) if row.started_at else "",
            output=preformatted(outputs.get((run.uuid, row.index), "")),
            silence=silence(row, row.index in late or cursor is None),
            is_open=len(rows) <= OPEN_AT_ONCE or row.state not in ("succeeded", "skipped"),
        )
        for row in rows
    ]
    return {
        "run": run,
        "steps": steps,
        "marks": scale.marks() if scale else [],
        "facts": facts(run, now),
        "reason": reason(run),
        "knowledge": run_neighbours.of(request, run),
        "is_running": run.state == Run.State.RUNNING,
        "has_ended": run.state != Run.State.RUNNING and not late,
        "has_fire": run.trigger != Run.Trigger.MANUAL,
    }


def preformatted(text: str) -> SafeString:
    """For a ``pre``, of which HTML drops the first line break and takes carriage returns for line breaks."""
    if not text:
        return SafeString()
    return format_html("\n{}", mark_safe(escape(text).replace("\r", "&#13;")))  # noqa: S308 - escaped


def facts(run: Run, now: datetime) -> list[tuple[str, str, str]]:
    """(name, value, what stands behind the mouse) of each."""
    found = [(_("Trigger"), trigger(run), "")]
    found.append((_("Scheduled"), _at(run.scheduled_at), _told(run.scheduled_at, now)))
    if run.started_at:
        late = lateness(run)
        told = "" if late is None else f" ({late:+.3f} s)"
        found.append((_("Started"), _at(run.started_at) + told, _told(run.started_at, now)))
    if run.finished_at:
        found.append((_("Finished"), _at(run.finished_at), _told(run.finished_at, now)))
    if run.started_at:
        found.append((_("Duration"), duration((run.finished_at or now) - run.started_at), ""))
    return found


def trigger(run: Run) -> str:
    """What made it run, by whom, and the how manieth attempt it is."""
    words = str(run.get_trigger_display())
    if run.requested_by:
        words = _("%(trigger)s, by %(name)s") % {"trigger": words, "name": run.requested_by}
    if run.attempt > 1:
        words = _("%(trigger)s, attempt %(number)d") % {"trigger": words, "number": run.attempt}
    return words


def reason(run: Run) -> str:
    """Why, without what the trigger says already; for a gap how many fires, and until when."""
    told = run.reason
    if run.requested_by:
        told = told.removeprefix(f"run by {run.requested_by}").removeprefix("; ")
    told = localized(told)
    if run.count > 1:
        told = f"×{run.count} {told}"
    if run.until:
        told = _("%(reason)s (until %(instant)s)") % {"reason": told, "instant": _at(run.until)}
    return told


def _at(instant: datetime) -> str:
    return exact(instant).partition(".")[0]


def _told(instant: datetime, now: datetime) -> str:
    return f"{exact(instant)} · {ago(instant, now)}"
