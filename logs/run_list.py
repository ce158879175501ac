"""The list of runs: newest first, narrowed by state, pipeline, node and day, page by page without counting.

Without a day it is in the order of arrival, within a day in that of the scheduled instants. Pages are found by the key
of a run at their edge (``before``, ``after``), so that the thousandth costs as much as the first: every combination has
an index in its order.
"""

from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.timezone import get_current_timezone, localtime, now
from unfold.views import ChangeList

from logs import days, search
from logs.models import Run

PIPELINE, NODE, STATE, DAY, BEFORE, AFTER = "pipeline", "node", "state__exact", "day", "before", "after"
MINE = (PIPELINE, NODE, STATE, DAY, BEFORE, AFTER)


class RunList(ChangeList):
    """Django's, with filters and pages of its own."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.given = {name: value for name in MINE if (value := request.GET.get(name, "").strip())}
        self.day = days.parsed(self.given.get(DAY, ""))
        self.newer_url = self.older_url = ""
        super().__init__(request, *args, **kwargs)

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        """Without those that are ours."""
        return {name: value for name, value in super().get_filters_params(params).items() if name not in MINE}

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Run]:
        """What is to be listed, in order."""
        runs = super().get_queryset(request, exclude_parameters)
        if state := self.given.get(STATE):
            runs = runs.filter(state=state) if state in Run.State.values else runs.none()
        for kind in (search.PIPELINE, search.NODE):
            if text := self.given.get(kind):
                one = search.named(kind, text)
                runs = runs.none() if one is None else runs.filter(**{kind: one})
        if self.day:
            begins, ends = days.bounds(self.day)
            return runs.filter(scheduled_at__gte=begins, scheduled_at__lt=ends).order_by("-scheduled_at", "-pk")
        return runs.order_by("-pk")

    def get_results(self, request: HttpRequest) -> None:
        """One page and a run more, to know whether there is another."""
        size = self.list_per_page
        edge, is_back = self._edge()
        runs = self.queryset
        if edge is not None:
            runs = runs.filter(self._beyond(edge, is_back))
        if is_back:
            runs = runs.reverse()
        found = list(runs[: size + 1])
        has_more, shown = len(found) > size, found[:size]
        if is_back:
            shown.reverse()
        if shown and (has_more if is_back else edge is not None):
            self.newer_url = self._url(AFTER, shown[0])
        if shown and (edge is not None if is_back else has_more):
            self.older_url = self._url(BEFORE, shown[-1])
        self.result_list = shown
        self.result_count = self.full_result_count = len(shown)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.paginator = self.model_admin.get_paginator(request, self.queryset, size)

    def _edge(self) -> tuple[Run | None, bool]:
        """The run that the page begins behind, and whether the page lies towards the newer ones."""
        for name in (AFTER, BEFORE):
            given = self.given.get(name, "")
            if given.isascii() and given.isdecimal() and len(given) < 19:
                return Run.objects.only("pk", "scheduled_at").filter(pk=given).first(), name == AFTER
        return None, False

    def _beyond(self, edge: Run, is_back: bool) -> Q:
        way = "gt" if is_back else "lt"
        if not self.day:
            return Q(**{f"pk__{way}": edge.pk})
        at = edge.scheduled_at
        # The first condition says nothing new: by it the database begins at the edge, not at the day's.
        within = Q(**{f"scheduled_at__{way}e": at})
        return within & (Q(**{f"scheduled_at__{way}": at}) | Q(scheduled_at=at, **{f"pk__{way}": edge.pk}))

    def _url(self, name: str, edge: Run) -> str:
        return self.url_with(**{BEFORE: "", AFTER: "", name: str(edge.pk)})

    def url_with(self, **changes: str) -> str:
        """The address of this list with other values; empty ones are left out."""
        query = {"q": self.query or "", **self.given, **changes}
        return "?" + urlencode({name: value for name, value in query.items() if value})


def bar(runs: RunList) -> dict[str, Any]:
    """What the filters above the list show."""
    chosen = runs.given.get(STATE, "")
    first_page = {BEFORE: "", AFTER: ""}
    states = [("", "", runs.url_with(**{STATE: ""}, **first_page), not chosen)]
    states += [
        (value, str(label), runs.url_with(**{STATE: value}, **first_page), chosen == value)
        for value, label in Run.State.choices
    ]
    today = localtime(now()).date()
    day = runs.day
    return {
        "states": states,
        "query": runs.query,
        "of_each": search.OF_EACH if search.is_of_names(runs.query) else 0,
        "state": chosen,
        "pipeline": search.name_of(search.PIPELINE, runs.given.get(PIPELINE, "")),
        "node": search.name_of(search.NODE, runs.given.get(NODE, "")),
        "pipelines": search.names(search.PIPELINE),
        "nodes": search.names(search.NODE),
        "day": day.isoformat() if day else "",
        "today": today.isoformat(),
        "day_before": runs.url_with(day=days.moved(day, -1), **first_page) if day else "",
        "day_after": runs.url_with(day=days.moved(day, 1), **first_page) if day and day < today else "",
        "zone": str(get_current_timezone()),
        "is_narrowed": bool(runs.query or runs.given),
    }
