"""The history: Run, StepRun, Output, and the streams they come in by.

Nothing here points at pipelines or nodes by foreign key: history outlives what it is about, so ids and names are
kept side by side. A fire that did not run (skipped, missed) is a Run row too: the table is the ledger.
"""

from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Run(models.Model):
    """One firing of a pipeline on one node. ``count`` above 1: a gap of so many fires, up to ``until``."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        SUCCEEDED = "succeeded", _("Succeeded")
        FAILED = "failed", _("Failed")
        TIMED_OUT = "timed_out", _("Timed out")
        KILLED = "killed", _("Killed")
        SKIPPED = "skipped", _("Skipped")
        MISSED = "missed", _("Missed")
        LOST = "lost", _("Lost")

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule", _("Schedule")
        MANUAL = "manual", _("Manual")
        CATCH_UP = "catch_up", _("Catch-up")
        RERUN = "rerun", _("Rerun")

    uuid = models.UUIDField(unique=True)
    pipeline = models.UUIDField(_("pipeline id"))
    pipeline_name = models.CharField(_("pipeline"), max_length=150)
    node = models.UUIDField(_("node id"))
    node_name = models.CharField(_("node"), max_length=150)
    trigger = models.CharField(_("trigger"), max_length=10, choices=Trigger, default=Trigger.SCHEDULE)
    state = models.CharField(_("state"), max_length=10, choices=State)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    scheduled_at = models.DateTimeField(_("scheduled"))
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    attempt = models.PositiveIntegerField(_("attempt"), default=1)
    generation = models.BigIntegerField(_("generation"), default=0)
    count = models.PositiveIntegerField(_("fires"), default=1)
    until = models.DateTimeField(_("until"), null=True)
    shared = models.BooleanField(_("shared"), default=False)
    requested_by = models.CharField(_("requested by"), max_length=150, blank=True, default="", db_default="")
    """Who had it run by hand."""
    provisional = models.BooleanField(default=False)
    """Written by the console (a command sent, a node given up): what the worker says replaces it."""
    expires_at = models.DateTimeField(null=True, editable=False)
    """Until when the command that asked for a provisional run can be taken."""

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["pipeline", "state", "id"], name="run_pipeline_state"),
            models.Index(fields=["pipeline", "id"], name="run_pipeline"),
            models.Index(fields=["node", "id"], name="run_node"),
            models.Index(fields=["state", "id"], name="run_state"),
            models.Index(fields=["finished_at"], name="run_finished"),
            models.Index(fields=["scheduled_at"], name="run_scheduled"),
            models.Index(fields=["state", "scheduled_at"], name="run_state_scheduled"),
            models.Index(fields=["pipeline", "scheduled_at"], name="run_pipeline_scheduled"),
            models.Index(fields=["node", "scheduled_at"], name="run_node_scheduled"),
            models.Index(fields=["provisional", "expires_at"], name="run_provisional"),
        ]

    def __str__(self) -> str:
        return f"{self.pipeline_name} {timezone.localtime(self.scheduled_at):%Y-%m-%d %H:%M:%S}"


class StepRun(models.Model):
    """One step of a run as it stands; joined to its run by uuid, so that either may arrive first."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        SUCCEEDED = "succeeded", _("Succeeded")
        FAILED = "failed", _("Failed")
        TIMED_OUT = "timed_out", _("Timed out")
        KILLED = "killed", _("Killed")
        SKIPPED = "skipped", _("Skipped")
        LOST = "lost", _("Lost")

    class Role(models.TextChoices):
        STEP = "step", _("Step")
        ON_SUCCESS = "on_success", _("On success")
        ON_FAILURE = "on_failure", _("On failure")

    run = models.ForeignKey(
        Run, to_field="uuid", on_delete=models.DO_NOTHING, db_constraint=False, related_name="steps"
    )
    index = models.PositiveIntegerField()
    position = models.IntegerField(_("position"))
    role = models.CharField(_("role"), max_length=10, choices=Role, default=Role.STEP)
    task = models.BigIntegerField(_("task id"))
    task_name = models.CharField(_("task"), max_length=150)
    kind = models.CharField(_("kind"), max_length=10)
    state = models.CharField(_("state"), max_length=10, choices=State)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    exit_code = models.IntegerField(_("exit code"), null=True)
    http_status = models.PositiveIntegerField(_("HTTP status"), null=True)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    output_bytes = models.BigIntegerField(_("output bytes"), default=0)
    output_dropped = models.BigIntegerField(_("output bytes dropped"), default=0)
    tries = models.JSONField(_("tries"), null=True)
    """Of a step that was tried again: ``coordination.records.Try`` as JSON, the last ones."""
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    """When it came. What belongs to no run stays for a while: its run may be on the way."""

    class Meta:
        verbose_name = _("step run")
        verbose_name_plural = _("step runs")
        ordering = ["run", "index"]
        constraints = [models.UniqueConstraint(fields=["run", "index"], name="one_row_per_step")]

    def __str__(self) -> str:
        return self.task_name


class Output(models.Model):
    """A piece of a step's output, exactly as the job wrote it (masked), in the order of ``number``."""

    run = models.UUIDField()
    index = models.PositiveIntegerField()
    number = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    data = models.BinaryField()
    received_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "index", "number"], name="one_row_per_piece")]

    def __str__(self) -> str:
        return f"{self.run}/{self.index}/{self.number}"


class Retention(models.Model):
    """How much of a pipeline's history is kept. Blank: as for all (``ECTS_KEEP_…``); 0: without a limit."""

    MOST_DAYS = 36_500

    pipeline = models.UUIDField(_("pipeline id"), unique=True)
    pipeline_name = models.CharField(_("pipeline"), max_length=150, editable=False)
    days = models.PositiveIntegerField(
        _("days"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(MOST_DAYS)],
        help_text=_("Runs that ended longer ago are deleted. Empty: as for all pipelines; 0: no limit."),
    )
    runs = models.PositiveIntegerField(
        _("runs"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(2**31 - 1)],
        help_text=_("Only so many of the newest are kept. Empty: as for all pipelines; 0: no limit."),
    )
    output_bytes = models.PositiveBigIntegerField(
        _("bytes of output"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(2**63 - 1)],
        help_text=_("Older output is deleted; its runs stay. Empty: as for all pipelines; 0: no limit."),
    )

    class Meta:
        verbose_name = _("retention")
        verbose_name_plural = _("retention")
        ordering = ["pipeline_name"]

    def __str__(self) -> str:
        return self.pipeline_name


class Rollup(models.Model):
    """What came of the fires of one pipeline on one node that were due in one hour or day (UTC).

    Kept in the transaction that writes the runs (``logs.rollups``), and kept when these are deleted. The rows of the
    nil pipeline are the sums of the node's pipelines: pages about everything read these few. A gap counts as many
    fires. Durations, in milliseconds, are of runs whose end the worker saw: one is in the first of ``up_to_…``
    that it does not exceed. ``running`` counts those that have no end yet, ``late`` those that began more than a second
    late.
    """

    class Span(models.TextChoices):
        HOUR = "hour", _("Hour")
        DAY = "day", _("Day")

    pk = models.CompositePrimaryKey("pipeline", "span", "begins_at", "node")
    pipeline = models.UUIDField()
    span = models.CharField(max_length=4, choices=Span)
    begins_at = models.DateTimeField()
    node = models.UUIDField()
    running = models.BigIntegerField(default=0, db_default=0)
    succeeded = models.BigIntegerField(default=0, db_default=0)
    failed = models.BigIntegerField(default=0, db_default=0)
    timed_out = models.BigIntegerField(default=0, db_default=0)
    killed = models.BigIntegerField(default=0, db_default=0)
    skipped = models.BigIntegerField(default=0, db_default=0)
    missed = models.BigIntegerField(default=0, db_default=0)
    lost = models.BigIntegerField(default=0, db_default=0)
    late = models.BigIntegerField(default=0, db_default=0)
    duration_sum = models.BigIntegerField(default=0, db_default=0)
    duration_min = models.BigIntegerField(null=True)
    duration_max = models.BigIntegerField(null=True)
    up_to_100ms = models.BigIntegerField(default=0, db_default=0)
    up_to_500ms = models.BigIntegerField(default=0, db_default=0)
    up_to_1s = models.BigIntegerField(default=0, db_default=0)
    up_to_5s = models.BigIntegerField(default=0, db_default=0)
    up_to_10s = models.BigIntegerField(default=0, db_default=0)
    up_to_30s = models.BigIntegerField(default=0, db_default=0)
    up_to_1m = models.BigIntegerField(default=0, db_default=0)
    up_to_5m = models.BigIntegerField(default=0, db_default=0)
    up_to_15m = models.BigIntegerField(default=0, db_default=0)
    up_to_1h = models.BigIntegerField(default=0, db_default=0)
    up_to_4h = models.BigIntegerField(default=0, db_default=0)
    over_4h = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        indexes = [
            models.Index(fields=["span", "begins_at"], name="rollup_span"),
            models.Index(fields=["node", "span", "begins_at"], name="rollup_node"),
        ]

    def __str__(self) -> str:
        return f"{self.pipeline} {self.span} {self.begins_at:%Y-%m-%d %H:%M}"


class Stream(models.Model):
    """How far a node's stream of records has been taken in. Its row is locked while a batch is written."""

    node = models.UUIDField()
    stream = models.UUIDField()
    kind = models.CharField(max_length=10)
    sequence = models.BigIntegerField(default=0)
    lost = models.BigIntegerField(default=0)
    """Records of this stream that could not be kept or taken."""
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "stream"], name="one_row_per_stream")]

    def __str__(self) -> str:
        return f"{self.stream} at {self.sequence}"
