"""The page that adds a node: makes an enrolment token, shows the line to paste, and the host when it arrives."""

import shlex
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from workers import enrolment
from workers.labels import LabelsField
from workers.models import EnrolmentToken, Node
from workers.program import program

HOURS = [(1, _("an hour")), (24, _("a day")), (168, _("a week"))]
USERS = [
    ("", _("A user of its own: jobs have its rights and no others")),
    ("root", _("root: each step may name the user that it runs as, as in root's crontab")),
]
DIRECTORY = "/opt/ects"
"""Where the program goes on a host that has nothing of it."""


class JoinForm(forms.Form):
    """How the host is to join."""

    node: Node | None = None
    name = forms.CharField(
        label=_("Name"),
        required=False,
        max_length=150,
        help_text=_("Empty: the host's own name."),
    )
    label = LabelsField(
        separator=None,
        label=_("Labels"),
        max_length=500,
        help_text=_("Separated by spaces, such as site=berlin disk=ssd; pipelines may ask for them."),
    )
    user = forms.ChoiceField(
        label=_("The service runs as"),
        choices=USERS,
        required=False,
        help_text=_("On a host without this project, where the line installs a service."),
    )
    uses = forms.IntegerField(label=_("Hosts that may use the line"), min_value=1, max_value=1000, initial=1)
    hours = forms.TypedChoiceField(label=_("Valid for"), choices=HOURS, coerce=int, initial=24)

    def clean(self) -> dict[str, Any]:
        """One name is for one host."""
        values = super().clean() or {}
        if values.get("name") and values.get("uses", 1) > 1:
            self.add_error("uses", _("With a name it is for one host: two hosts cannot have the same name."))
        taken = Node.objects.filter(name=values.get("name") or "").exclude(public_key=None)
        if self.node is None and taken.exists():
            self.add_error("name", _("A node of this name has joined already. To let it join again, open its page."))
        return values


def page(request: HttpRequest, site: dict[str, Any], node: Node | None) -> HttpResponse:
    """``node``: the one that is to join again, None for a new one. The token is in this answer and nowhere else."""
    form = JoinForm(request.POST or None)
    form.node = node
    context = {**site, "form": form, "node": node, "title": _("Add a node")}
    if request.method == "POST" and form.is_valid():
        wish = form.cleaned_data
        token, row = enrolment.make_token(
            now=timezone.now(),
            node=node.pk if node else None,
            uses=1 if node else wish["uses"],
            expires_in=3600 * wish["hours"],
            user=request.user,
        )
        options = _options(request.build_absolute_uri("/").rstrip("/"), wish, node)
        context |= {
            "row": row,
            "line": f"ECTS_ENROLMENT_TOKEN={token} .venv/bin/python manage.py runworker {shlex.join(options)}",
            "bare": _bare(request.build_absolute_uri(reverse("worker-program")), token, [*options, *_user(wish)]),
            "is_plain": not request.is_secure(),
            "lonely_etcd": ", ".join(settings.ECTS_ETCD.endpoints) if settings.ECTS_ETCD.is_local else "",
        }
    return TemplateResponse(request, "admin/workers/node/join.html", context)


def _bare(address: str, token: str, options: list[str]) -> str:
    """Gets the program and compares it with what this console has; then it installs the service. With curl or wget,
    as root or by sudo."""
    get = shlex.quote(address)
    steps = [
        "f=$(mktemp)",
        f"{{ curl -fsSo $f {get} || wget -qO $f {get}; }}",
        f'echo "{program().digest}  $f" | sha256sum -c --quiet',
        f"$(command -v sudo) mkdir -p {DIRECTORY}",
        f"$(command -v sudo) tar -xzf $f -C {DIRECTORY}",
        f"ECTS_ENROLMENT_TOKEN={token} {DIRECTORY}/scripts/join {shlex.join(options)}",
    ]
    return " && ".join(steps)


def _user(wish: dict[str, Any]) -> list[str]:
    return ["--user", wish["user"]] if wish["user"] else []


def _options(server: str, wish: dict[str, Any], node: Node | None) -> list[str]:
    words = ["--server", server]
    if node is not None:
        words += ["--rejoin"]
    elif wish["name"]:
        words += ["--name", wish["name"]]
    words += [word for name, text in wish["label"].items() for word in ("--label", f"{name}={text}")]
    return words


def arrivals(request: HttpRequest, token: int) -> HttpResponse:
    """Who has come with this token, as a part that the page asks for again and again."""
    row = EnrolmentToken.objects.filter(pk=token).first()
    nodes = Node.objects.filter(enrolled_by_id=token).order_by("-enrolled_at")[:20]
    is_waiting = row is not None and row.expires_at > timezone.now()
    return render(request, "admin/workers/node/arrivals.html", {"nodes": nodes, "is_waiting": is_waiting})


def node_of(text: str) -> Node | None:
    """The node of a parameter that may be anything."""
    try:
        return Node.objects.filter(pk=UUID(text), mode=Node.Mode.WORKER).first()
    except ValueError:
        return None
