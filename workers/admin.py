"""Nodes and enrolment tokens in the admin."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from workers import enrolment
from workers.models import EnrolmentToken, Node, Refusal


class NodeForm(forms.ModelForm):
    """Labels are a map of short texts."""

    class Meta:
        model = Node
        fields = ["name", "description", "labels"]
        widgets = {"labels": UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": '{"site": "berlin"}'})}

    def clean_labels(self) -> dict[str, str]:
        """Names and values are texts."""
        labels = self.cleaned_data["labels"] or {}
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise forms.ValidationError(_('Write a JSON object of texts, such as {"site": "berlin"}.'))
        return labels


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

    form = NodeForm
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
                    ("status", "mode"),
                    ("host", "version"),
                    ("running", "capacity"),
                    ("backlog", "clock"),
                    ("etcd_connected", "draining"),
                    "wrong",
                    ("last_seen", "started_at", "enrolled_at"),
                ]
            },
        ),
    ]
    readonly_fields = [
        "status",
        "clock",
        "wrong",
        "mode",
        "host",
        "version",
        "running",
        "capacity",
        "backlog",
        "etcd_connected",
        "draining",
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

    @admin.display(description=_("status"))
    def status(self, node: Node) -> Any:
        """In words."""
        return _("online") if node.online else _("offline")

    @admin.display(description=_("clock, against the console's"))
    def clock(self, node: Node) -> str:
        """With its sign: ahead or behind."""
        return "–" if node.clock_skew is None else f"{node.clock_skew:+.3f} s"

    @admin.display(description=_("incidents"))
    def wrong(self, node: Node) -> Any:
        """What the node says is wrong with it now."""
        lines = format_html_join("", "<li>{}</li>", ((sentence,) for sentence in node.incidents))
        return format_html("<ul>{}</ul>", lines) if lines else _("none")

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
