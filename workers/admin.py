"""Nodes and enrolment tokens in the admin."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from logs.run_times import ago, signed_seconds
from workers import enrolment, join_page, lifecycle
from workers.actions import NodeActions
from workers.labels import LabelsField
from workers.models import EnrolmentToken, Node, Refusal


class NodeForm(forms.ModelForm):
    """What people say of a node; the rest it says itself."""

    labels = LabelsField(
        separator="\n",
        label=_("Labels"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": "site=berlin"}),
        help_text=_("One a line: name=value. Pipelines may ask for them."),
    )

    class Meta:
        model = Node
        fields = ["name", "description", "labels"]


class RefusalInline(TabularInline):
    """What the node did not accept from etcd."""

    model = Refusal
    extra = 0
    can_delete = False
    fields = readonly_fields = ["key", "reason", "count", "at"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nodes report them."""
        return False


class ServiceFilter(admin.SimpleListFilter):
    """Retired nodes are shown when they are asked for."""

    title = _("service")
    parameter_name = "service"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Beside those in service."""
        return [("retired", _("Retired")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """What is there without a choice is not all."""
        first, *rest = super().choices(changelist)
        yield {**first, "display": _("In service")}
        yield from rest

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """By what was chosen."""
        if self.value() == "all":
            return queryset
        return queryset.exclude(retired_at=None) if self.value() == "retired" else queryset.filter(retired_at=None)


@admin.register(Node)
class NodeAdmin(NodeActions, ModelAdmin):
    """Read-mostly: a node describes itself. A new one joins by itself, with the line that the page of adding gives."""

    form = NodeForm
    list_display = [
        *("titled", "display_status", "display_used", "display_backlog", "clock"),
        *("display_version", "display_seen", "display_mode"),
    ]
    list_filter = [ServiceFilter, "mode", "online", "draining"]
    search_fields = ["name", "host", "description"]
    search_help_text = _("Name, host or description")
    fieldsets = [(None, {"fields": ["name", "description", "labels"]})]
    inlines = [RefusalInline]
    actions = ["drain_selected", "undrain_selected", "rotate_selected", "revoke"]
    actions_detail = ["drain_one", "undrain_one", "rotate_one", "retire_one"]
    change_form_before_template = "admin/workers/node/facts.html"
    empty_icon = "dns"
    empty_hint = _("A host that executes: one line to paste there.")

    class Media:
        js = ["ects/copy.js"]

    def get_urls(self) -> list[Any]:
        """Who has come with a token."""
        view = self.admin_site.admin_view(self.arrivals)
        return [path("arrivals/<int:token>/", view, name="workers_node_arrivals"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Node, form: Any, change: bool) -> None:
        """What was changed, over what the node has said of itself meanwhile; one that is renamed learns it."""
        lifecycle.describe(obj.pk, {name: form.cleaned_data[name] for name in form.changed_data}, timezone.now())

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The line to paste on the host; ``?node=`` for one that is to join again."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        site = {**self.admin_site.each_context(request), "media": self.media, "opts": self.opts}
        return join_page.page(request, site, join_page.node_of(request.GET.get("node", "")))

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """The actions would look for it by what may be no id at all."""
        if self.has_view_permission(request) and self.get_object(request, object_id) is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return super().change_view(request, object_id, *args, **kwargs)

    def arrivals(self, request: HttpRequest, token: int) -> HttpResponse:
        """For the page of adding."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return join_page.arrivals(request, token)

    @display(description=_("Node"), ordering="name", header=True)
    def titled(self, node: Node) -> list[Any]:
        """Its name behind a dot, and the host."""
        word = _("online") if node.online else _("offline")
        dot = format_html(
            '<span class="ects-named"><span class="ects-dot ects-dot-{}" title="{}"></span>'
            '<span class="ects-unseen">{}: </span>{}</span>',
            *(node.status, word, word, node.name),
        )
        return [dot, node.description or (node.host if node.host != node.name else "")]

    @display(
        description=_("Status"),
        label={
            **{"online": "success", "offline": "danger", "revoked": "danger", "trouble": "warning"},
            **{"draining": "info", "drained": "info"},
        },
        ordering="online",
    )
    def display_status(self, node: Node) -> tuple[str, Any]:
        """The worst that is to be said of it."""
        if node.retired_at is not None:
            return "retired", _("retired")
        if node.is_revoked:
            return "revoked", _("token revoked")
        if not node.online:
            return "offline", _("offline") if node.enrolled_at or node.last_seen else _("has not joined")
        if node.incidents:
            return "trouble", _("in trouble")
        if node.is_drained:
            return "drained", _("drained")
        is_draining = node.draining or node.drain_asked_at is not None
        return ("draining", _("draining")) if is_draining else ("online", _("online"))

    @display(description=_("Capacity in use"))
    def display_used(self, node: Node) -> SafeString | str:
        """A bar and numbers."""
        if not node.capacity:
            return "–"
        return format_html(
            '<span class="ects-used"><svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
            '<rect width="{}" height="6" class="ects-fill-running"></rect></svg>{} / {}</span>',
            *(min(100 * node.running // node.capacity, 100), node.running, node.capacity),
        )

    @display(description=_("Backlog"), ordering="backlog")
    def display_backlog(self, node: Node) -> int | str:
        """Records that are still to be delivered."""
        return node.backlog if node.mode == Node.Mode.WORKER else "–"

    @display(description=_("Clock"), ordering="clock_skew")
    def clock(self, node: Node) -> str:
        """Against the console's, with its sign: ahead or behind."""
        return signed_seconds(node.clock_skew)

    @display(description=_("Version"), ordering="version")
    def display_version(self, node: Node) -> str:
        """What it runs."""
        return node.version or "–"

    @display(description=_("Last seen"), ordering="last_seen")
    def display_seen(self, node: Node) -> SafeString | str:
        """How long ago, and when."""
        if node.last_seen is None:
            return str(_("never"))
        return format_html(
            '<time datetime="{}" class="whitespace-nowrap">{}<br><span class="ects-faint">{}</span></time>',
            node.last_seen.isoformat(),
            _("now") if node.online else ago(node.last_seen, timezone.now()),
            date_format(timezone.localtime(node.last_seen), "m-d H:i:s"),
        )

    @display(description=_("Mode"), ordering="mode")
    def display_mode(self, node: Node) -> str:
        """Worker or master."""
        return node.get_mode_display()


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
