"""What can be done with nodes in the admin: drain, undrain, another token, revoke, retire. All by POST."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.forms import BaseDialogForm

from logs.confirmation import by_dialog, confirmed
from workers import lifecycle
from workers.models import Node

Act = Callable[[UUID, datetime], Node]

RETIRE_HELP = gettext_lazy(
    "Its bindings and its tokens go, its history stays; it comes back only by an enrolment token made for it. What it "
    "has not delivered stays on its host: drain it first, and wait until nothing runs and its backlog is 0."
)


class RetireForm(BaseDialogForm):
    """Shows what would be lost."""

    form_before_template = "admin/workers/node/retire.html"

    def get_before_template_context(self, request: HttpRequest, object_id: Any = None) -> dict[str, Any]:
        """The node, with what it has not delivered."""
        return {"node": Node.objects.filter(pk=object_id).first()}


class NodeActions:
    """Actions of the list and of the page. An unfold action without a dialog would run on GET."""

    def has_drain_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """For those that do not drain."""
        return self._may(request, object_id, lambda node: node.drain_asked_at is None)

    def has_undrain_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """For those that do."""
        return self._may(request, object_id, lambda node: node.drain_asked_at is not None)

    def has_rotate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """For those that have a token."""
        return self._may(request, object_id, lambda node: bool(node.token_digest) and not node.is_rotating)

    def has_retire_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may delete a node may also take it out of service."""
        may_delete: bool = self.has_delete_permission(request)  # type: ignore[attr-defined]
        return may_delete and self._may(request, object_id, lambda node: True)

    def _may(self, request: HttpRequest, object_id: Any, fits: Callable[[Node], bool]) -> bool:
        if not self.has_change_permission(request):  # type: ignore[attr-defined]
            return False
        if object_id is None or request.method == "POST":
            # Of a list; or what was fitting when the dialog was opened, and says itself why it is not any more.
            return True
        node = Node.objects.serving().filter(pk=object_id).first()
        return node is not None and fits(node)

    @admin.action(description=gettext_lazy("Drain"), permissions=["drain"])
    def drain_selected(self, request: HttpRequest, chosen: QuerySet[Node]) -> None:
        _each(request, chosen, lifecycle.drain, _("to drain"))

    @admin.action(description=gettext_lazy("Undrain"), permissions=["undrain"])
    def undrain_selected(self, request: HttpRequest, chosen: QuerySet[Node]) -> None:
        _each(request, chosen, lifecycle.undrain, _("to fire again"))

    @admin.action(description=gettext_lazy("Give another token"), permissions=["rotate"])
    def rotate_selected(self, request: HttpRequest, chosen: QuerySet[Node]) -> None:
        _each(request, chosen, lifecycle.rotate, _("gets another token"))

    @confirmed(
        gettext_lazy(
            "Revoke the tokens of these nodes? They go on firing, but deliver nothing until they have joined again."
        ),
        is_grave=True,
    )
    @admin.action(description=gettext_lazy("Revoke the tokens of these nodes"), permissions=["change"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[Node]) -> None:
        """Their deliveries are refused until they enrol again."""
        number = lifecycle.revoke(chosen)
        messages.success(request, _("%(number)d nodes have to enrol again.") % {"number": number})

    @by_dialog(
        gettext_lazy("Drain"),
        gettext_lazy("It begins nothing new, also after a restart, until it is undrained. What runs comes to its end."),
        icon="hourglass_bottom",
        permission="drain",
    )
    def drain_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return _one(request, object_id, lifecycle.drain, _("to drain"))

    @by_dialog(
        gettext_lazy("Undrain"),
        gettext_lazy("It fires again from the next instant on; nothing is caught up."),
        icon="play_arrow",
        permission="undrain",
    )
    def undrain_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return _one(request, object_id, lifecycle.undrain, _("to fire again"))

    @by_dialog(
        gettext_lazy("Give another token"),
        gettext_lazy(
            "It learns it with its next delivery. The old one is good until the new one was used, for seven days "
            "at most."
        ),
        icon="key",
        permission="rotate",
    )
    def rotate_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return _one(request, object_id, lifecycle.rotate, _("gets another token"))

    @by_dialog(
        gettext_lazy("Retire"),
        RETIRE_HELP,
        icon="delete_sweep",
        permission="retire",
        form_class=RetireForm,
    )
    def retire_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return _one(request, object_id, lifecycle.retire, _("retired"))


def _each(request: HttpRequest, chosen: Iterable[Node], act: Act, outcome: str) -> None:
    done = [node.name for node in chosen if _try(request, node, act)]
    if done:
        messages.success(request, f"{', '.join(done)}: {outcome}.")


def _one(request: HttpRequest, object_id: str, act: Act, outcome: str) -> HttpResponse:
    """Answers the dialog, which then loads the page anew."""
    node = Node.objects.filter(pk=object_id).first()
    if node is not None and _try(request, node, act):
        messages.success(request, f"{node.name}: {outcome}.")
    page = request.headers.get("HX-Current-URL") or reverse("admin:workers_node_changelist")
    return HttpResponse(headers={"HX-Redirect": page})


def _try(request: HttpRequest, node: Node, act: Act) -> bool:
    try:
        act(node.pk, timezone.now())
    except lifecycle.Impossible as impossible:
        messages.error(request, str(impossible))
        return False
    return True
