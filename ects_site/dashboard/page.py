"""Puts the parts of the first page together, for those who may see them."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.timezone import get_current_timezone_name, now
from django.utils.translation import gettext as _

from ects_site.dashboard.day import by_state, durations, failures, last_day, runs_by_hour
from ects_site.dashboard.first_steps import first_steps
from ects_site.dashboard.heat import heat_map
from ects_site.dashboard.troubles import latest_failures, most_failing, running
from ects_site.dashboard.upcoming import by_minute, upcoming
from logs.models import Run
from pipelines.models import Control
from workers.models import Node


def context(request: HttpRequest, given: dict[str, Any]) -> dict[str, Any]:
    """What ``admin/index.html`` shows."""
    given["title"] = _("Dashboard")
    given["may_see_pipelines"] = request.user.has_perm("pipelines.view_pipeline")
    given["is_paused"] = Control.objects.filter(paused=True).exists()
    if not request.user.has_perm("logs.view_run"):
        return given
    instant = now()
    day = last_day(instant)
    workers = Node.objects.serving()
    given |= {
        "day": day,
        "now": instant,
        "zone": get_current_timezone_name(),
        "states": by_state(day),
        "hours": runs_by_hour(day),
        "durations": durations(day),
        "failures": failures(day),
        "running": running(),
        "failing": most_failing(day.begin),
        "latest": latest_failures(instant),
        "nodes_online": workers.filter(online=True).count(),
        "nodes_away": workers.filter(online=False).count(),
    }
    given["nodes_all"] = given["nodes_online"] + given["nodes_away"]
    if request.user.has_perm("workers.view_node"):
        given["heat"] = heat_map(day)
    if not Run.objects.exists():
        given["first_steps"] = steps = first_steps(request.user)
        given["is_set"] = all(step.is_done for step in steps)
    return given


def next_hour(request: HttpRequest) -> HttpResponse:
    """The fires to come, as a part that the page asks for."""
    if not request.user.has_perm("pipelines.view_pipeline"):
        return HttpResponse()
    instant = now()
    found = upcoming(instant)
    shown = {"found": found, "chart": by_minute(found), "first": found.first(instant)}
    return render(request, "ects/dashboard/upcoming.html", shown)
