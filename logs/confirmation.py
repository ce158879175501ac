"""Asks before an action of a list does to many at once what hurts."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.functional import Promise

Action = Callable[[Any, HttpRequest, QuerySet[Any]], Any]

SHOWN = 20
"""Names that the question holds."""


def confirmed(question: str | Promise) -> Callable[[Action], Action]:
    """For an action of a ``ModelAdmin``: it happens with the second POST, after a page that asks ``question``."""

    def asking(act: Action) -> Action:
        @wraps(act)
        def ask(self: Any, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponseBase | None:
            if request.POST.get("confirmed"):
                answer: HttpResponseBase | None = act(self, request, chosen)
                return answer
            names = [str(each) for each in chosen[: SHOWN + 1]]
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": question,
                "label": act.short_description,  # type: ignore[attr-defined]
                "action": request.POST["action"],
                "across": request.POST.get("select_across", "0"),
                "field": ACTION_CHECKBOX_NAME,
                "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
                "names": names[:SHOWN],
                "more": len(names) > SHOWN,
            }
            return TemplateResponse(request, "ects/confirm.html", context)

        return ask

    return asking
