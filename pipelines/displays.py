"""What the admin shows of a pipeline beside its fields."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import get_current_timezone_name, localtime
from django.utils.translation import gettext as _

from logs.charts import sparkline
from logs.models import Run
from logs.newest import newest_runs
from logs.run_times import ago
from pipelines.models import Pipeline, Publication
from pipelines.schedules import upcoming, words
from workers.models import Node

TIME_OF_DAY = re.compile(r"\d:\d\d")
OWN_OFFSET = re.compile(r":\d\d(Z|[+-]\d\d(:?\d\d)?)$")

UNDECIDED = ("running", "skipped", "missed")
"""States that say nothing of how well a run does its work."""


def publications(pipeline: Pipeline) -> SafeString:
    """Node by node: what etcd should hold, what it holds, and what the node acts on."""
    rows = list(Publication.objects.filter(pipeline=pipeline.pk))
    nodes = Node.objects.in_bulk([row.node for row in rows])
    table = [{"row": row, "node": nodes.get(row.node), "state": _state(row, nodes.get(row.node))} for row in rows]
    table.sort(key=lambda line: str(line["node"] or ""))
    return render_to_string("pipelines/publications.html", {"table": table})


def schedule_code(pipeline: Pipeline) -> SafeString:
    """The text of the schedule, and in words; with its zone where these tell a time of day by another clock than the
    viewer's, beside which the next fire would look wrong."""
    meaning = words(pipeline.schedule, str(pipeline.pk))
    is_local = TIME_OF_DAY.search(meaning) and not OWN_OFFSET.search(meaning)
    if is_local and pipeline.timezone != get_current_timezone_name():
        meaning = f"{meaning} · {pipeline.timezone}"
    return format_html(
        '<code class="bg-base-100 px-1.5 py-0.5 rounded-default text-xs dark:bg-base-800">{}</code>'
        '<div class="mt-1 text-base-500 text-xs">{}</div>',
        pipeline.schedule,
        meaning,
    )


def next_fire(pipeline: Pipeline, after: datetime) -> SafeString | str:
    """When it fires next: how soon, and the instant in the viewer's zone (and in its own, to hover over); empty while
    it does not."""
    instants = upcoming(pipeline, after, 1) if pipeline.enabled and not pipeline.paused else []
    if not instants:
        return ""
    return format_html(
        '<time datetime="{}" title="{}" class="whitespace-nowrap">{}<br><span class="ects-faint">{}</span></time>',
        instants[0].isoformat(),
        date_format(_local(instants, pipeline.timezone)[0], "Y-m-d H:i:s T"),
        ago(instants[0], after),
        date_format(localtime(instants[0]), "m-d H:i:s"),
    )


def dotted_name(pipeline: Pipeline, runs: Sequence[Run]) -> SafeString:
    """Its name behind a dot in the colour of its newest run's state."""
    last = runs[-1] if runs else None
    state, words = (last.state, last.get_state_display()) if last else ("none", _("no runs yet"))
    return format_html(
        '<span class="ects-named"><span class="ects-dot ects-dot-{}" title="{}"></span>'
        '<span class="ects-unseen">{}: </span>{}</span>',
        *(state, words, words, pipeline.name),
    )


def last_runs(pipeline: Pipeline, runs: Sequence[Run]) -> SafeString:
    """As bars, leading to the runs, and how many of those that ended were good."""
    if not runs:
        return sparkline(runs)
    url = f"{reverse('admin:logs_run_changelist')}?pipeline={pipeline.pk}"
    return format_html('<a href="{}" class="ects-sparkling">{}{}</a>', url, sparkline(runs), _success(runs))


def _success(runs: Sequence[Run]) -> SafeString | str:
    ended = [run.state == Run.State.SUCCEEDED for run in runs if run.state not in UNDECIDED]
    if not ended:
        return ""
    percent = 100 * sum(ended) // len(ended)
    mark = "good" if percent >= 99 else "warn" if percent >= 90 else "bad"
    return format_html(
        '<span class="ects-percent ects-text-{}" title="{}">{} %</span>',
        mark,
        _("%(good)d of %(all)d succeeded") % {"good": sum(ended), "all": len(ended)},
        percent,
    )


def standing(pipeline: Any) -> SafeString:
    """Whether it fires, and whether etcd holds what is saved: only what does not is loud. ``pipeline``: with its
    ``behind`` and ``bound``."""
    kind, state = "success", _("Enabled")
    if not pipeline.enabled:
        kind, state = "default", _("Disabled")
    elif pipeline.paused:
        kind, state = "warning", _("Paused")
    mark, words = ("ects-text-warn", _("not yet published")) if pipeline.behind else ("ects-check", _("published"))
    if pipeline.enabled and not (pipeline.bound or pipeline.node_labels):
        mark, words = "ects-text-warn", _("bound to no node")
    return format_html(
        '<span class="ects-state ects-state-{}">{}</span><small class="{}">{}</small>', kind, state, mark, words
    )


def facts(pipeline: Any, now: datetime) -> dict[str, Any]:
    """What became of it, for the head of its page. ``pipeline``: with its ``behind`` and ``bound``."""
    runs = newest_runs([pipeline.pk]).get(pipeline.pk, [])
    return {
        "standing": standing(pipeline),
        "next_fire": next_fire(pipeline, now),
        "last": runs[-1] if runs else None,
        "last_runs": last_runs(pipeline, runs),
    }


def pipeline_links(pipelines: Iterable[Pipeline]) -> SafeString | None:
    """Their names, each leading to its page; None for none."""
    links = [(reverse("admin:pipelines_pipeline_change", args=[one.pk]), one.name) for one in pipelines]
    return format_html_join(", ", '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', links) or None


def _local(instants: list[datetime], zone: str) -> list[datetime]:
    try:
        return [instant.astimezone(ZoneInfo(zone)) for instant in instants]
    except (ZoneInfoNotFoundError, ValueError):
        return instants


def _state(row: Publication, node: Node | None) -> tuple[str, str]:
    """A kind of label and its text."""
    if row.published < row.wanted:
        if node is not None and not node.public_key and not row.removal:
            return "warning", _("waits until the node has enrolled")
        return "danger", row.error or _("not yet published")
    if row.applied < row.wanted:
        return "warning", _("published, not yet applied")
    return "success", _("removed") if row.removal else _("applied")
