"""Receivers that mark: which pipelines does a change concern? They only mark; ``publishing`` is the door."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Model, ProtectedError, Q
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.dispatch import receiver

from logs.signals import documents_applied
from pipelines import closing, outbox, publishing
from pipelines.models import Binding, Calendar, CalendarEntry, Pipeline, Step
from tasks.definitions import definitions_changed
from tasks.models import Secret, Task
from tasks.references import secret_names, secrets_of_task
from workers.models import Node
from workers.signals import node_retired

NODE_FIELDS = ("mode", "labels", "public_key", "retired_at")
"""What of a node decides which documents it holds, and how they are sealed."""

CALENDAR_TIMING = ("timezone", "policy")
"""What of a calendar, beside its entries, decides about instants."""


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
    if model is Calendar:
        return using_calendars(calendar.pk for calendar in instances)
    if model is CalendarEntry:
        return using_calendars(entry.calendar_id for entry in instances)
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


def using_calendars(calendars: Iterable[int]) -> set[UUID]:
    """Pipelines that observe one of the calendars."""
    return set(Pipeline.objects.filter(calendars__in=list(calendars)).values_list("pk", flat=True))


@receiver(definitions_changed)
def mark_changed(sender: type[Model], instances: Sequence[Any], **kwargs: Any) -> None:
    """Bulk writes."""
    publishing.mark(concerned(sender, instances), retimed=sender in (Calendar, CalendarEntry))


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


@receiver(pre_save, sender=Calendar)
def remember_calendar(instance: Calendar, **kwargs: Any) -> None:
    """Pipelines before calendars, as when a pipeline is saved; and whether there will be other instants."""
    outbox.lock(concerned(Calendar, [instance]))
    before = Calendar.objects.filter(pk=instance.pk).values(*CALENDAR_TIMING).first()
    after = {name: getattr(instance, name) for name in CALENDAR_TIMING}
    instance.retimes = before != after  # type: ignore[attr-defined]


@receiver(post_save, sender=Calendar)
def mark_calendar(instance: Calendar, **kwargs: Any) -> None:
    """Its name is in the documents too."""
    publishing.mark(concerned(Calendar, [instance]), retimed=instance.retimes)  # type: ignore[attr-defined]


@receiver(pre_save, sender=CalendarEntry)
def lock_observers(instance: CalendarEntry, **kwargs: Any) -> None:
    """Pipelines before their calendar's entries."""
    outbox.lock(concerned(CalendarEntry, [instance]))


@receiver(post_save, sender=CalendarEntry)
@receiver(post_delete, sender=CalendarEntry)
def mark_entry(instance: CalendarEntry, **kwargs: Any) -> None:
    """One entry came, changed or went."""
    publishing.mark(concerned(CalendarEntry, [instance]), retimed=True)


@receiver(pre_delete, sender=Calendar)
def protect_calendar(instance: Calendar, **kwargs: Any) -> None:
    """Who deletes a calendar that is in use would have pipelines fire in its blackouts."""
    users: set[Model] = set(instance.pipelines.all())
    if users:
        raise ProtectedError(f"Pipelines use the calendar {instance.name}: take it out of them first.", users)


@receiver(m2m_changed, sender=Pipeline.calendars.through)
def mark_observers(instance: Any, action: str, reverse: bool, pk_set: set[Any] | None, **kwargs: Any) -> None:
    """Before the change, so that the pipelines' rows are locked first; what is published is read after the commit."""
    if not action.startswith("pre_") or pk_set == set():
        return
    if not reverse:
        publishing.mark([instance.pk], retimed=True)
    else:
        publishing.mark(pk_set or using_calendars([instance.pk]), retimed=True)


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


@receiver(node_retired)
def take_out_of_service(node: Node, at: datetime, **kwargs: Any) -> None:
    """The ledger says what is not known of it, and it is to forget everything. (By labels it is bound no more.)"""
    closing.retire(node, at)
    Binding.objects.filter(node=node).delete()


@receiver(documents_applied)
def take_applied(node: UUID, records: Sequence[Any], **kwargs: Any) -> None:
    """What a worker reports, in the transaction of ingest."""
    outbox.applied(node, records)


def _comparable(fields: dict[str, Any] | None) -> Any:
    return fields and {**fields, "public_key": bytes(fields["public_key"] or b"")}
