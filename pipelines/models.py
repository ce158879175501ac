"""Pipeline, its steps, bindings and calendars; Publication, the outbox by which every change reaches the workers."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Value
from django.db.models.functions import Greatest
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from tasks.definitions import Definition, DefinitionQuerySet
from tasks.models import Task
from workers.models import Node

TIMING = ("schedule", "timezone", "dst_gap", "dst_repeat", "starts_at", "ends_at", "jitter")
"""Fields whose change gives a pipeline new instants: those before the change are nobody's to catch up."""

CHANGEOVER = timedelta(seconds=30)
"""A change between every node and one of them takes effect so much later, when all nodes know of it."""


class Calendar(Definition):
    """Times at which the pipelines that use it do not fire. Its entries say which."""

    class Policy(models.TextChoices):
        SKIP = "skip", _("Skip the fires")
        END = "end", _("Run once at the end")

    name = models.CharField(_("name"), max_length=150, unique=True)
    description = models.CharField(_("description"), max_length=500, blank=True)
    timezone = models.CharField(_("time zone"), max_length=64, default="UTC")
    policy = models.CharField(_("fires inside"), max_length=10, choices=Policy, default=Policy.SKIP)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = _("calendar")
        verbose_name_plural = _("calendars")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def dates(self) -> list["CalendarEntry"]:
        """The single days, in an order that does not depend on when they were entered. So are the other two."""
        return self._entries(CalendarEntry.Kind.DATE)

    @property
    def ranges(self) -> list["CalendarEntry"]:
        """From a day or an instant to another."""
        return self._entries(CalendarEntry.Kind.RANGE)

    @property
    def weekly(self) -> list["CalendarEntry"]:
        """From a time to another on some days of every week."""
        return self._entries(CalendarEntry.Kind.WEEKLY)

    def _entries(self, kind: str) -> list["CalendarEntry"]:
        return sorted((one for one in self.entries.all() if one.kind == kind), key=CalendarEntry.content)


class CalendarEntry(Definition):
    """One line of a calendar. What ``start`` and ``end`` hold depends on the kind; see ``engine.calendars``.

    A date: ``start`` only, ``2026-12-25`` or ``12-25`` for every year. A range: days, both included, or ISO instants.
    A weekly window: times of day such as ``09:00`` and ``24:00``, on ``days`` (``mon`` to ``sun``).
    """

    class Kind(models.TextChoices):
        DATE = "date", _("Date")
        RANGE = "range", _("Range")
        WEEKLY = "weekly", _("Weekly")

    calendar = models.ForeignKey(Calendar, on_delete=models.CASCADE, related_name="entries")
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.DATE)
    name = models.CharField(_("name"), max_length=150, blank=True)
    start = models.CharField(_("from"), max_length=40)
    end = models.CharField(_("to"), max_length=40, blank=True)
    days = models.JSONField(_("weekdays"), default=list, blank=True)

    class Meta:
        verbose_name = _("calendar entry")
        verbose_name_plural = _("calendar entries")
        ordering = ["id"]

    def __str__(self) -> str:
        return " ".join(filter(None, [",".join(self.days), self.start, self.end and f"– {self.end}", self.name]))

    def content(self) -> tuple[str, str, list[str], str]:
        """All that it says beside its kind: equal entries have equal contents."""
        return self.start, self.end, self.days, self.name


class PipelineQuerySet(DefinitionQuerySet):
    """Bulk writes that hold back what would otherwise be caught up."""

    def update(self, **values: Any) -> int:
        """As ``DefinitionQuerySet.update``; new instants, enabling and unpausing begin now."""
        if "placement" in values:
            values.setdefault("not_before", now() + CHANGEOVER)
        elif values.get("enabled") or values.get("paused") is False or not values.keys().isdisjoint(TIMING):
            values.setdefault("not_before", Greatest("not_before", Value(now())))
        return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]


class Pipeline(Definition):
    """An ordered set of steps with a schedule. Its uuid never changes; it is part of etcd keys and run ids."""

    class Overlap(models.TextChoices):
        SKIP = "skip", _("Skip")
        ALLOW = "allow", _("Allow")
        QUEUE = "queue", _("Queue one")
        REPLACE = "replace", _("Replace the running one")

    class Misfire(models.TextChoices):
        SKIP = "skip", _("Skip")
        LATEST = "latest", _("Run the latest")
        ALL = "all", _("Run all")

    class Placement(models.TextChoices):
        EVERY = "every", _("Every bound node")
        ONE_STICKY = "one_sticky", _("One node, sticky")
        ONE_SPREAD = "one_spread", _("One node, spread")

    class OnNodeLoss(models.TextChoices):
        ABANDON = "abandon", _("Abandon (at most once)")
        RERUN = "rerun", _("Rerun elsewhere (at least once)")

    class DstGap(models.TextChoices):
        SHIFT = "shift", _("Run right after the gap")
        SKIP = "skip", _("Skip")

    class DstRepeat(models.TextChoices):
        FIRST = "first", _("Run once")
        BOTH = "both", _("Run both times")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=150, unique=True)
    description = models.CharField(_("description"), max_length=500, blank=True)
    enabled = models.BooleanField(_("enabled"), default=False)
    paused = models.BooleanField(_("paused"), default=False)
    schedule = models.CharField(_("schedule"), max_length=250, default="@manual")
    timezone = models.CharField(_("time zone"), max_length=64, default="UTC")
    dst_gap = models.CharField(_("in a DST gap"), max_length=10, choices=DstGap, default=DstGap.SHIFT)
    dst_repeat = models.CharField(_("in a repeated hour"), max_length=10, choices=DstRepeat, default=DstRepeat.FIRST)
    starts_at = models.DateTimeField(_("starts"), null=True, blank=True)
    ends_at = models.DateTimeField(_("ends"), null=True, blank=True)
    jitter = models.FloatField(_("jitter (s)"), default=0)
    calendars = models.ManyToManyField(Calendar, related_name="pipelines", blank=True, verbose_name=_("calendars"))
    misfire = models.CharField(_("missed fires"), max_length=10, choices=Misfire, default=Misfire.SKIP)
    misfire_grace = models.FloatField(_("misfire grace (s)"), default=60)
    misfire_window = models.FloatField(_("catch-up window (s)"), default=86400)
    misfire_cap = models.PositiveIntegerField(_("catch-up cap"), default=100)
    overlap = models.CharField(_("overlap"), max_length=10, choices=Overlap, default=Overlap.SKIP)
    placement = models.CharField(_("placement"), max_length=10, choices=Placement, default=Placement.EVERY)
    on_node_loss = models.CharField(_("on node loss"), max_length=10, choices=OnNodeLoss, default=OnNodeLoss.ABANDON)
    timeout = models.FloatField(_("time limit (s)"), default=0)
    on_success = models.ForeignKey(
        Task, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("on success")
    )
    on_failure = models.ForeignKey(
        Task, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("on failure")
    )
    node_labels = models.JSONField(_("bound by labels"), default=dict, blank=True)
    generation = models.BigIntegerField(default=0, editable=False)
    not_before = models.DateTimeField(default=now, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)
    history = HistoricalRecords(excluded_fields=["generation", "not_before"], m2m_fields=["calendars"])

    objects = PipelineQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("pipeline")
        verbose_name_plural = _("pipelines")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, update_fields: Any = None, **kwargs: Any) -> None:
        """Never takes the generation back, and moves ``not_before`` when there are new instants."""
        with transaction.atomic():
            before = Pipeline.objects.select_for_update().filter(pk=self.pk).first()
            if before is not None:
                self.generation = before.generation
                self.not_before = self._next_not_before(before)
                if update_fields is not None:
                    update_fields = {*update_fields, "not_before"}
            super().save(*args, update_fields=update_fields, **kwargs)

    def is_published(self) -> bool:
        """Whether etcd shows every change of it."""
        behind = Publication.objects.filter(pipeline=self.pk, published__lt=models.F("wanted"))
        return not behind.exists()

    @property
    def is_shared(self) -> bool:
        """One of its nodes runs each fire, not every one."""
        return self.placement != self.Placement.EVERY

    def _next_not_before(self, before: "Pipeline") -> datetime:
        """Never earlier than before: a change of placement may be on its way to the nodes."""
        if before.enabled and self.is_shared != before.is_shared:
            return max(before.not_before, now() + CHANGEOVER)
        if self._has_new_instants(before):
            return max(before.not_before, now())
        return before.not_before

    def _has_new_instants(self, before: "Pipeline") -> bool:
        retimed = any(getattr(self, name) != getattr(before, name) for name in TIMING)
        return retimed or (self.enabled and not before.enabled) or (before.paused and not self.paused)


class Step(Definition):
    """A task placed in a pipeline. Steps that share a position run side by side. Durations are seconds, 0 = none."""

    class Dependence(models.TextChoices):
        STRONG = "strong", _("Strong")
        WEAK = "weak", _("Weak")

    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="steps")
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="steps", verbose_name=_("task"))
    position = models.PositiveIntegerField(_("position"), default=0)
    dependence = models.CharField(_("dependence"), max_length=10, choices=Dependence, default=Dependence.STRONG)
    timeout = models.FloatField(_("timeout (s)"), default=0)
    retries = models.PositiveIntegerField(_("retries"), default=0)
    interval = models.FloatField(_("interval (s)"), default=0)
    directory = models.CharField(_("directory"), max_length=500, blank=True)
    user = models.CharField(_("user"), max_length=64, blank=True)
    environment = models.JSONField(_("environment"), default=dict, blank=True)
    group = models.CharField(_("group"), max_length=64, blank=True)
    umask = models.CharField(_("umask"), max_length=4, blank=True)
    nice = models.SmallIntegerField(_("niceness"), default=0)
    memory = models.PositiveBigIntegerField(_("memory (bytes)"), default=0)
    cpu_seconds = models.PositiveIntegerField(_("processor time (s)"), default=0)
    open_files = models.PositiveIntegerField(_("open files"), default=0)
    processes = models.PositiveIntegerField(_("processes"), default=0)

    class Meta:
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return f"{self.pipeline}: {self.position}. {self.task}"

    def get_inline_title(self) -> str:
        """Inside its pipeline's form."""
        return f"{self.position}. {self.task}"


class Binding(Definition):
    """A pipeline bound to a node by name."""

    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="bindings")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="bindings", verbose_name=_("node"))

    class Meta:
        verbose_name = _("binding")
        verbose_name_plural = _("bindings")
        constraints = [models.UniqueConstraint(fields=["pipeline", "node"], name="bound_once")]

    def __str__(self) -> str:
        return f"{self.pipeline} → {self.node}"

    def get_inline_title(self) -> str:
        """Inside its pipeline."""
        return str(self.node)


class Publication(models.Model):
    """The outbox: one row per pipeline and node, kept when the pipeline is deleted.

    ``wanted`` is the generation that etcd should hold, ``published`` the one it holds, ``applied`` the one the node
    has reported. Rows change by conditional updates only. No foreign keys: the row outlives what it speaks of.
    """

    pipeline = models.UUIDField()
    node = models.UUIDField()
    wanted = models.BigIntegerField()
    published = models.BigIntegerField(default=0)
    applied = models.BigIntegerField(default=0)
    removal = models.CharField(max_length=10, blank=True)
    """Why the node should forget the pipeline (deleted, disabled, unbound); empty: it should hold it."""
    not_before = models.DateTimeField(default=now)
    """When the node was bound: it catches up nothing before."""
    pending = models.BooleanField(default=True)
    """There is something to do in etcd; a column, so that the relay finds its work by an index."""
    error = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(null=True)
    wanted_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pipeline", "node"], name="one_publication_per_node")]
        indexes = [models.Index(fields=["pending", "retry_at"], name="publication_pending")]

    def __str__(self) -> str:
        return f"{self.pipeline} on {self.node}: {self.published} of {self.wanted}"


class Edition(models.Model):
    """What a pipeline was at one of its generations, as workers were told: runs outlive the definition they ran on.

    ``document`` is the JSON of ``coordination.documents.PipelineDocument`` for no node in particular, without secrets.
    """

    pipeline = models.UUIDField()
    generation = models.BigIntegerField()
    document = models.JSONField()
    kept_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pipeline", "generation"], name="one_edition_per_generation")]
        indexes = [models.Index(fields=["kept_at"], name="edition_kept")]

    def __str__(self) -> str:
        return f"{self.pipeline} at {self.generation}"


class LostEdit(models.Model):
    """A change that this database does not have, while a node or etcd does: the database was restored from a backup
    that is older. The change is undone everywhere; this row tells of it. ``generation`` is when it was made, in Unix
    milliseconds."""

    pipeline = models.UUIDField(_("pipeline id"))
    pipeline_name = models.CharField(_("pipeline"), max_length=150)
    generation = models.BigIntegerField(_("generation"))
    found_at = models.DateTimeField(_("found"), default=now)

    class Meta:
        verbose_name = _("lost change")
        verbose_name_plural = _("lost changes")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["pipeline", "generation"], name="one_row_per_lost_edit")]

    def __str__(self) -> str:
        return f"{self.pipeline_name} at {self.made_at:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def made_at(self) -> datetime:
        """When the change was made."""
        return datetime.fromtimestamp(self.generation / 1000, UTC)


class Control(models.Model):
    """The one row of cluster-wide switches; published to every worker as ``/ects/config``.

    ``pipelines.outbox.set_paused`` changes it.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    paused = models.BooleanField(_("pause everything"), default=False)
    generation = models.BigIntegerField(default=0, editable=False)
    published = models.BigIntegerField(default=0, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("global pause")
        verbose_name_plural = _("global pause")

    def __str__(self) -> str:
        return str(_("everything is paused") if self.paused else _("running"))
