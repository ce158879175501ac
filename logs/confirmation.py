"""Asks before an action of the admin is done: by a page for many at once, by a dialog for one."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.functional import Promise
from unfold.decorators import action

Action = Callable[[Any, HttpRequest, QuerySet[Any]], Any]

SHOWN = 20
"""Names that the question holds."""


def confirmed(question: str | Promise, *, is_grave: bool = False) -> Callable[[Action], Action]:
    """For an action of a ``ModelAdmin``: it happens with the second POST, after a page that asks ``question``.
    ``is_grave``: it ends something."""

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
                "is_grave": is_grave,
            }
            return TemplateResponse(request, "ects/confirm.html", context)

        return ask

    return asking


def by_dialog(name: Promise, description: Promise, *, icon: str, permission: str, **more: Any) -> Any:
    """For an action of one object: it happens with the POST of a dialog, whose title and button are ``name``; ``more``
    goes into unfold's ``dialog``. Without a dialog unfold would do it on GET."""
    dialog = {"title": name, "form_submit_text": name, "description": description, **more}
    return action(description=name, icon=icon, permissions=[permission], dialog=dialog)
