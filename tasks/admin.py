"""Tasks and secrets in the admin."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from tasks.forms import SecretForm, TaskForm
from tasks.models import Secret, Task
from tasks.versions import VersionedAdmin

SHELL, HOOK, MAIL, WEB = ("shell",), ("hook",), ("mail",), ("http", "hook")

KINDS_OF = {
    "interpreter": SHELL,
    "url": WEB,
    "method": ("http",),
    "headers": WEB,
    "expect_status": WEB,
    "expect_text": WEB,
    "verify_tls": WEB,
    "follow_redirects": WEB,
    "signing_secret": HOOK,
    "recipients": MAIL,
    "subject": MAIL,
}
"""The kinds that have a field; every kind has those that are not named."""


def _condition(kinds: tuple[str, ...]) -> str:
    """For the browser. Where a task is only looked at, no kind can be chosen: the server has picked the fields."""
    return " || ".join(["typeof kind == 'undefined'", *(f"kind == '{kind}'" for kind in kinds)])


def _of_kind(fields: Any, kind: str) -> list[Any]:
    """Of fields, some of them side by side, those that the kind has."""
    chosen = []
    for field in fields:
        if isinstance(field, tuple):
            chosen += [row] if (row := tuple(_of_kind(field, kind))) else []
        elif kind in KINDS_OF.get(field, (kind,)):
            chosen.append(field)
    return chosen


@admin.register(Task)
class TaskAdmin(VersionedAdmin, ModelAdmin):
    """Tasks; the form shows what the kind needs."""

    form = TaskForm
    list_display = ["titled", "kind_label", "summary", "updated_at"]
    list_filter = ["kind"]
    search_fields = ["name", "description", "content", "url"]
    readonly_fields = ["created_at", "updated_at"]
    change_form_template = "ects/change_form.html"
    warn_unsaved_form = True
    empty_icon = "terminal"
    empty_hint = _(
        "A task is what is done: a script, an HTTP request, a webhook or a mail. Pipelines put tasks in order."
    )
    conditional_fields = {name: _condition(kinds) for name, kinds in KINDS_OF.items()}
    fieldsets = [
        (None, {"fields": ["name", "kind", "description"]}),
        (
            _("What it does"),
            {
                "fields": [
                    "url", "method", "headers", "recipients", "subject", "content", "interpreter", "signing_secret",
                    ("expect_status", "expect_text"), ("verify_tls", "follow_redirects"),
                ]
            },
        ),
        (_("Record"), {"fields": [("created_at", "updated_at")], "classes": ["collapse"]}),
    ]  # fmt: skip

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may only look at a task sees the fields of its kind."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return [(name, {**shown, "fields": _of_kind(shown["fields"], obj.kind)}) for name, shown in fieldsets]

    @display(description=_("Task"), ordering="name", header=True)
    def titled(self, task: Task) -> list[str]:
        return [task.name, task.description]

    @display(description=_("Kind"), ordering="kind")
    def kind_label(self, task: Task) -> SafeString:
        return format_html('<span class="ects-kind">{}</span>', task.get_kind_display())

    @display(description=_("What it does"))
    def summary(self, task: Task) -> SafeString | str:
        text = {"shell": task.content, "mail": ", ".join(map(str, task.recipients))}.get(task.kind, task.url)
        first = text.strip().split("\n", 1)[0]
        return format_html('<code class="ects-summary">{}</code>', Truncator(first).chars(120)) if first else "–"


@admin.register(Secret)
class SecretAdmin(ModelAdmin):
    """Secrets by name; values go in and never come out."""

    form = SecretForm
    empty_icon = "key"
    empty_hint = _("A secret is a password or a key that tasks use by its name. Its value is never shown again.")
    list_display = ["name", "description", "updated_at"]
    search_fields = ["name", "description"]
    fields = ["name", "value", "description", "created_at", "updated_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Secret | None = None) -> list[str]:
        """Texts refer to a secret by its name: it stays."""
        return ["created_at", "updated_at", *(["name"] if obj else [])]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Secret]:
        """Without the ciphertexts, which no page shows."""
        return super().get_queryset(request).defer("ciphertext")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """``value`` is the form's own field: the model has none of that name."""
        return super().get_form(request, obj, change, **{**kwargs, "fields": ["name", "description"]})
