"""Receivers that mark: which pipelines does a change concern? They only mark; ``publishing`` is the door."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Model, Q
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from logs.signals import documents_applied
from pipelines import outbox, publishing
from pipelines.models import Binding, Pipeline, Step
from tasks.definitions import definitions_changed
from tasks.models import Secret, Task
from tasks.references import secret_names, secrets_of_task
from workers.models import Node

NODE_FIELDS = ("mode", "labels", "public_key")
"""What of a node decides which documents it holds, and how they are sealed."""


def concerned(model: type[Model], instances: Sequence[Any]) -> set[UUID]:
    """The pipelines whose documents depend on these instances."""
    if model is Pipeline:
        return {pipeline.pk for pipeline in instances}
    if model is Step or model is Binding:
        return {part.pipeline_id for part in instances}
    if model is Task:
        return using_tasks(task.pk for task in instances)
    if model is Secret:
        return using_secrets({secret.name for secret in instances})
    return set()


def using_tasks(tasks: Iterable[int]) -> set[UUID]:
    """Pipelines that have one of the tasks as a step or at their end."""
    ids = list(tasks)
    uses = Q(steps__task__in=ids) | Q(on_success__in=ids) | Q(on_failure__in=ids)
    return set(Pipeline.objects.filter(uses).values_list("pk", flat=True))


def using_secrets(names: set[str]) -> set[UUID]:
    """Pipelines one of whose texts mentions one of the secrets. Reads all texts: secrets change rarely."""
    tasks = [task.pk for task in Task.objects.iterator() if secrets_of_task(task) & names]
    steps = Step.objects.values_list("pipeline", "environment").iterator()
    return using_tasks(tasks) | {pipeline for pipeline, texts in steps if secret_names(texts.values()) & names}


@receiver(definitions_changed)
def mark_changed(sender: type[Model], instances: Sequence[Any], **kwargs: Any) -> None:
    """Bulk writes."""
    publishing.mark(concerned(sender, instances))


@receiver(pre_save, sender=Task)
def lock_users(instance: Task, **kwargs: Any) -> None:
    """Pipelines before tasks, as when a pipeline is saved with its steps: else two editors lock in a circle."""
    outbox.lock(using_tasks([instance.pk] if instance.pk else []))


@receiver(post_save, sender=Task)
@receiver(post_save, sender=Secret)
@receiver(post_save, sender=Pipeline)
@receiver(post_save, sender=Step)
@receiver(post_save, sender=Binding)
def mark_saved(sender: type[Model], instance: Any, **kwargs: Any) -> None:
    """One saved definition."""
    publishing.mark(concerned(sender, [instance]))


@receiver(post_delete, sender=Secret)
@receiver(post_delete, sender=Step)
@receiver(post_delete, sender=Binding)
def mark_part_deleted(sender: type[Model], instance: Any, origin: Any, **kwargs: Any) -> None:
    """A part was taken out; when the whole pipeline goes, its own receiver does it all. (A used task cannot go.)"""
    whole = origin.model if hasattr(origin, "model") else type(origin)
    if whole is not Pipeline:
        publishing.mark(concerned(sender, [instance]))


@receiver(post_delete, sender=Pipeline)
def mark_pipeline_deleted(instance: Pipeline, **kwargs: Any) -> None:
    """Every node is to forget it."""
    outbox.mark_deleted(instance.pk, instance.generation)
    publishing.relay_on_commit([instance.pk])


@receiver(pre_save, sender=Node)
def remember_node(instance: Node, **kwargs: Any) -> None:
    """A node is saved often for what it says of itself; only a few fields concern pipelines."""
    before = Node.objects.filter(pk=instance.pk).values(*NODE_FIELDS).first()
    after = {name: getattr(instance, name) for name in NODE_FIELDS}
    instance.concerns_pipelines = _comparable(before) != _comparable(after)  # type: ignore[attr-defined]


@receiver(post_save, sender=Node)
@receiver(post_delete, sender=Node)
def mark_node(instance: Node, **kwargs: Any) -> None:
    """A node that changed its labels or its key, came, or went."""
    if getattr(instance, "concerns_pipelines", True):
        publishing.mark(outbox.concerned_by(instance))


@receiver(documents_applied)
def take_applied(node: UUID, records: Sequence[Any], **kwargs: Any) -> None:
    """What a worker reports, in the transaction of ingest."""
    outbox.applied(node, records)


def _comparable(fields: dict[str, Any] | None) -> Any:
    return fields and {**fields, "public_key": bytes(fields["public_key"] or b"")}
