"""What a new installation needs before anything can run, and which of it comes next."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from pipelines.models import Pipeline
from tasks.models import Task
from workers.models import Node


@dataclass(frozen=True)
class Step:
    """``url`` is empty where the viewer may not do it. ``is_next``: the first that is not done."""

    title: str
    text: str
    icon: str
    url: str
    is_done: bool
    is_next: bool


def first_steps(user: User | AnonymousUser) -> list[Step]:
    """All of them, in their order."""
    pipelines, nodes = Pipeline.objects.all(), Node.objects.serving()
    live = pipelines.filter(enabled=True).filter(Q(bindings__isnull=False) | ~Q(node_labels={}))
    told = [
        (_("Add a node"), _("A host that executes: one line to paste there."), "dns"),
        (_("Define a task"), _("A script, an HTTP request, a webhook or a mail."), "terminal"),
        (_("Make a pipeline"), _("Tasks in their order, a schedule, and the nodes it runs on."), "account_tree"),
        (_("Let it fire"), _("Bind it to a node and enable it: what comes of it appears here."), "play_circle"),
    ]
    urls = [
        _url(user, "workers.add_node", "workers_node_add"),
        _url(user, "tasks.add_task", "tasks_task_add"),
        _url(user, "pipelines.add_pipeline", "pipelines_pipeline_add"),
        _url(user, "pipelines.change_pipeline", "pipelines_pipeline_changelist"),
    ]
    done = [nodes.exists(), Task.objects.exists(), pipelines.exists(), live.exists()]
    following = _first_false(done)
    return [
        Step(*words, url, is_done, number == following)
        for number, (words, url, is_done) in enumerate(zip(told, urls, done, strict=True))
    ]


def _url(user: User | AnonymousUser, permission: str, page: str) -> str:
    return reverse(f"admin:{page}") if user.has_perm(permission) else ""


def _first_false(values: Iterable[bool]) -> int | None:
    return next((number for number, value in enumerate(values) if not value), None)
