"""Renders what a node should hold: the pipeline as it is committed in the database, for that node's eyes.

A pipeline is read by several queries, between which others may commit. So the generation is read before and after,
and what moved in between is read again: every change bumps it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from django.conf import settings
from django.utils.timezone import now
from msgspec import structs

from coordination import crypto, documents
from coordination.documents import MAIL_PASSWORD, MailSettings, PipelineDocument, StepDocument, TaskDocument
from pipelines.calendars import wire_forms
from pipelines.models import Pipeline, Step
from pipelines.outbox import bound_nodes
from tasks.models import Secret, Task
from tasks.references import secret_names, secrets_of_task
from workers.models import Node

TRIALS = UUID("7d0bb7a5-53e7-4a0f-9d7b-6c1f0f3d0a11")
"""The name space of the ids under which tasks are tried (RFC 9562, version 5)."""

ATTEMPTS = 5
"""Readings of a pipeline that keeps moving before it is left for the next relay."""


@dataclass(frozen=True, slots=True)
class Source:
    """One pipeline as committed at ``generation``, with the secrets that it uses in plain."""

    pipeline: Pipeline
    document: PipelineDocument
    secrets: Mapping[str, str]

    @property
    def generation(self) -> int:
        return self.pipeline.generation


class Unreadable(Exception):
    """A pipeline that cannot be rendered; the sentence says what to do."""


def read(pipelines: Iterable[UUID]) -> dict[UUID, Source | Unreadable]:
    """The committed state of these pipelines. Deleted ones are missing, and so are those that would not stand still."""
    result: dict[UUID, Source | Unreadable] = {}
    left = set(pipelines)
    for _ in range(ATTEMPTS):
        if not left:
            break
        nodes = bound_nodes(Pipeline.objects.filter(pk__in=left).exclude(placement=Pipeline.Placement.EVERY))
        found = {source.pk: _source(source, nodes.get(source.pk, set())) for source in _query(left)}
        secrets, damaged = _open_secrets(found.values())
        generations = dict(Pipeline.objects.filter(pk__in=left).values_list("pk", "generation"))
        for pk, unsealed in found.items():
            if generations.get(pk) == unsealed.pipeline.generation:
                result[pk] = _with_secrets(unsealed, secrets, damaged)
        left = generations.keys() - result.keys()
    return result


def trial(task: Task) -> Source | Unreadable:
    """A pipeline of nothing but this task, as saved; it exists only in the order that carries it. All trials of a
    task have one id, so that its runs stand together."""
    pipeline = Pipeline(pk=uuid5(TRIALS, str(task.pk)), name=f"try: {task.name}"[:150], overlap=Pipeline.Overlap.ALLOW)
    pipeline.not_before = now()
    steps = [Step(pipeline=pipeline, task=task, position=1)]
    mail = mail_settings() if task.kind == Task.Kind.MAIL else None
    unsealed = _Unsealed(pipeline, _document(pipeline, steps, mail), frozenset(secrets_of_task(task)))
    return _with_secrets(unsealed, *_open_secrets([unsealed]))


def document(source: Source, node: Node, not_before: datetime, digest_key: bytes) -> PipelineDocument:
    """The document for one enrolled node, ready to be signed: secrets sealed to the node's key, digest filled in.

    ``not_before`` is the binding's; the later one of this and the pipeline's counts.
    """
    public_key = bytes(node.public_key)
    plain = _plain(source, node, not_before)
    sealed = {name: crypto.seal(public_key, value) for name, value in source.secrets.items()}
    return structs.replace(plain, secrets=sealed, digest=_digest(plain, source, public_key, digest_key))


def digest(source: Source, node: Node, not_before: datetime, digest_key: bytes) -> str:
    """The digest that ``document`` would have, without the cost of sealing."""
    return _digest(_plain(source, node, not_before), source, bytes(node.public_key), digest_key)


def _plain(source: Source, node: Node, not_before: datetime) -> PipelineDocument:
    """All nodes of a shared pipeline have the same ``not_before``: they must agree on what is expected."""
    own = source.pipeline.not_before if source.pipeline.is_shared else max(source.pipeline.not_before, not_before)
    return structs.replace(source.document, node=str(node.pk), not_before=own)


def _digest(plain: PipelineDocument, source: Source, public_key: bytes, key: bytes) -> str:
    """The node's key belongs in it: a node with a new key needs its secrets sealed anew."""
    revealed = structs.replace(plain, generation=0, secrets=dict(source.secrets))
    return crypto.digest(key, documents.encode(revealed) + public_key)


def _query(pipelines: Iterable[UUID]) -> Any:
    related = Pipeline.objects.select_related("on_success", "on_failure").prefetch_related(
        "steps__task", "calendars__entries"
    )
    return related.filter(pk__in=list(pipelines))


@dataclass(frozen=True, slots=True)
class _Unsealed:
    pipeline: Pipeline
    document: PipelineDocument
    names: frozenset[str]


def _source(pipeline: Pipeline, nodes: Collection[UUID]) -> _Unsealed:
    steps = list(pipeline.steps.all())
    endings = [task for task in (pipeline.on_success, pipeline.on_failure) if task is not None]
    tasks = [*(step.task for step in steps), *endings]
    names = {name for task in tasks for name in secrets_of_task(task)}
    names |= {name for step in steps for name in secret_names(step.environment.values())}
    mails = any(task.kind == Task.Kind.MAIL for task in tasks)
    document = _document(pipeline, steps, mail_settings() if mails else None)
    document = structs.replace(document, nodes=tuple(sorted(str(node) for node in nodes)))
    return _Unsealed(pipeline, document, frozenset(names))


def _open_secrets(found: Iterable[_Unsealed]) -> tuple[dict[str, str], set[str]]:
    """Values by name, and the names of those that the installation's key does not open."""
    names = {name for unsealed in found for name in unsealed.names}
    values: dict[str, str] = {}
    damaged: set[str] = set()
    for secret in Secret.objects.filter(name__in=names) if names else ():
        try:
            values[secret.name] = secret.value()
        except crypto.CannotOpen:
            damaged.add(secret.name)
    return values, damaged


def _with_secrets(unsealed: _Unsealed, values: Mapping[str, str], damaged: set[str]) -> Source | Unreadable:
    """A secret that does not exist is left out: the worker fails the step that needs it, and names it."""
    if lost := sorted(unsealed.names & damaged):
        return Unreadable(f"The secret {lost[0]} was encrypted under another key: enter its value again.")
    secrets = {name: values[name] for name in unsealed.names if name in values}
    if unsealed.document.mail is not None and (password := settings.ECTS_EMAIL["password"]):
        secrets[MAIL_PASSWORD] = password
    return Source(unsealed.pipeline, unsealed.document, secrets)


def mail_settings() -> MailSettings | None:
    """The installation's mail server without its password; None when there is none."""
    email = settings.ECTS_EMAIL
    if not email["host"]:
        return None
    named = {name: email[name] for name in ("host", "port", "user", "tls", "sender")}
    return MailSettings(**named)


def _document(pipeline: Pipeline, steps: list[Step], mail: MailSettings | None) -> PipelineDocument:
    """Everything but what differs from node to node."""
    return PipelineDocument(
        pipeline=str(pipeline.pk),
        node="",
        generation=pipeline.generation,
        not_before=pipeline.not_before,
        name=pipeline.name,
        schedule=pipeline.schedule,
        timezone=pipeline.timezone,
        dst_gap=pipeline.dst_gap,
        dst_repeat=pipeline.dst_repeat,
        starts_at=pipeline.starts_at,
        ends_at=pipeline.ends_at,
        jitter=pipeline.jitter,
        blackouts=wire_forms(pipeline.calendars.all()),
        misfire=pipeline.misfire,
        misfire_grace=pipeline.misfire_grace,
        misfire_window=pipeline.misfire_window,
        misfire_cap=pipeline.misfire_cap,
        overlap=pipeline.overlap,
        placement=pipeline.placement,
        on_node_loss=pipeline.on_node_loss,
        paused=pipeline.paused,
        timeout=pipeline.timeout,
        steps=tuple(_step(step) for step in steps),
        on_success=_task(pipeline.on_success),
        on_failure=_task(pipeline.on_failure),
        mail=mail,
    )


def _step(step: Step) -> StepDocument:
    task = _task(step.task)
    assert task is not None
    return StepDocument(
        task=task,
        position=step.position,
        dependence=step.dependence,
        timeout=step.timeout,
        retries=step.retries,
        interval=step.interval,
        directory=step.directory,
        user=step.user,
        environment=step.environment,
        group=step.group,
        umask=step.umask,
        nice=step.nice,
        memory=step.memory,
        cpu_seconds=step.cpu_seconds,
        open_files=step.open_files,
        processes=step.processes,
    )


def _task(task: Task | None) -> TaskDocument | None:
    if task is None:
        return None
    return TaskDocument(
        id=task.pk,
        name=task.name,
        kind=task.kind,
        content=task.content,
        interpreter=task.interpreter,
        url=task.url,
        method=task.method,
        headers=task.headers,
        expect_status=task.expect_status,
        expect_text=task.expect_text,
        verify_tls=task.verify_tls,
        follow_redirects=task.follow_redirects,
        signing_secret=task.signing_secret,
        recipients=tuple(task.recipients),
        subject=task.subject,
    )
