"""The page that says why a pipeline did or did not run."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from logs.models import Run
from pipelines.explaining import Answer, explain
from pipelines.explaining.question import NotUnderstood, instant_of, node_of
from pipelines.models import Pipeline, Publication
from pipelines.schedules import schedule_of
from workers.models import Node

COLOURS = {
    "ran": "success",
    "running": "info",
    "skipped": "default",
    "missed": "warning",
    "lost": "danger",
    "pending": "info",
    "not expected": "default",
    "unknown": "danger",
}


def context(pipeline: Pipeline, given: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """What the template shows. Without an instant: the last one that was expected."""
    nodes = Publication.objects.filter(pipeline=pipeline.pk).values("node")
    page: dict[str, Any] = {
        "title": _("Why did it run, or not?"),
        "subtitle": pipeline.name,
        "pipeline": pipeline,
        "opts": pipeline._meta,
        "original": pipeline,
        "nodes": Node.objects.filter(pk__in=nodes).order_by("name"),
        "at": given.get("at") or _last(pipeline, now),
        "node": given.get("node", ""),
    }
    if not page["at"]:
        return page
    try:
        found = explain(pipeline, instant_of(page["at"], pipeline), node_of(page["node"]), now)
    except NotUnderstood as error:
        return {**page, "problem": str(error)}
    return {**page, "found": found, "answers": [_answer(answer) for answer in found.answers]}


def _answer(answer: Answer) -> dict[str, Any]:
    runs = Run.objects.filter(uuid__in=answer.runs).order_by("attempt")
    links = [(reverse("admin:logs_run_change", args=[run.pk]), run) for run in runs]
    return {"answer": answer, "colour": COLOURS[answer.verdict], "label": _label(answer), "links": links}


def _label(answer: Answer) -> str:
    return {
        "ran": _("ran"),
        "running": _("running"),
        "skipped": _("skipped"),
        "missed": _("missed"),
        "lost": _("lost"),
        "pending": _("pending"),
        "not expected": _("not expected"),
        "unknown": _("unknown"),
    }[answer.verdict]


def _last(pipeline: Pipeline, now: datetime) -> str:
    try:
        last = schedule_of(pipeline).previous(now)
    except ValueError:
        return ""
    return "" if last is None else last.isoformat()
