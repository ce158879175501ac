"""Nodes and enrolment tokens in the admin."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from workers import enrolment
from workers.models import EnrolmentToken, Node, Refusal


class RefusalInline(TabularInline):
    """What the node did not accept from etcd."""

    model = Refusal
    extra = 0
    can_delete = False
    fields = readonly_fields = ["key", "reason", "count", "at"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nodes report them."""
        return False


@admin.register(Node)
class NodeAdmin(ModelAdmin):
    """Read-mostly: a node describes itself."""

    list_display = ["display_status", "name", "mode", "host", "version", "running", "capacity", "backlog", "last_seen"]
    list_display_links = ["name"]
    list_filter = ["mode", "online"]
    search_fields = ["name", "host", "description"]
    fieldsets = [
        (None, {"fields": ["name", "description", "labels"]}),
        (
            _("State"),
            {
                "fields": [
                    "display_status",
                    "mode",
                    "host",
                    "version",
                    ("running", "capacity"),
                    ("backlog", "clock_skew"),
                    "etcd_connected",
                    "draining",
                    "incidents",
                    ("last_seen", "started_at", "enrolled_at"),
                ]
            },
        ),
    ]
    readonly_fields = [
        "display_status",
        "mode",
        "host",
        "version",
        "running",
        "capacity",
        "backlog",
        "clock_skew",
        "etcd_connected",
        "draining",
        "incidents",
        "last_seen",
        "started_at",
        "enrolled_at",
    ]
    inlines = [RefusalInline]
    actions = ["revoke"]

    @display(description=_("status"), label={"online": "success", "offline": "danger"}, ordering="online")
    def display_status(self, node: Node) -> tuple[str, Any]:
        """A badge."""
        return node.status, _("online") if node.online else _("offline")

    @admin.action(description=_("Revoke the tokens of these nodes"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        """Their deliveries are refused until they enrol again."""
        number = queryset.update(token_digest="")
        messages.success(request, _("%(number)d nodes have to enrol again.") % {"number": number})


@admin.register(EnrolmentToken)
class EnrolmentTokenAdmin(ModelAdmin):
    """A token is shown once, after it is made."""

    list_display = ["__str__", "node", "uses", "expires_at", "created_at", "created_by"]
    fields = ["node", "uses"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A token is made or deleted."""
        return False

    def save_model(self, request: HttpRequest, obj: EnrolmentToken, form: Any, change: bool) -> None:
        """The text of the token is in the message and nowhere else."""
        token, row = enrolment.make_token(
            now=timezone.now(), node=obj.node_id, uses=obj.uses, expires_in=24 * 3600, user=request.user
        )
        obj.pk = row.pk
        obj.__dict__.update({name: value for name, value in row.__dict__.items() if not name.startswith("_")})
        server = request.build_absolute_uri("/").rstrip("/")
        messages.success(
            request,
            _("Run this on the new host, within 24 hours; it is shown only now:")
            + f" ECTS_ENROLMENT_TOKEN={token} .venv/bin/python manage.py runworker --server {server}",
        )
