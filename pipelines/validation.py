"""What makes a pipeline usable, for the admin's forms and for the API. Every message says what to do."""

import math
import re
from collections.abc import Iterable, Mapping
from copy import copy
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from pipelines.calendars import MAX_CALENDARS
from pipelines.models import Calendar, Pipeline, Step
from pipelines.schedule_errors import sentence
from pipelines.schedules import is_silenced, observed, schedule_of
from tasks.references import missing_secrets, secret_names, secrets_of_task
from tasks.validation import Errors, text_map_error
from workers.engine.schedule import ScheduleError

DAY = 86_400.0

LIMITS: Mapping[str, tuple[float, float]] = {
    "timeout": (0, 30 * DAY),
    "jitter": (0, DAY),
    "misfire_grace": (0, 7 * DAY),
    "misfire_window": (0, 366 * DAY),
    "misfire_cap": (1, 10_000),
}
"""Lowest and highest value of a pipeline's numbers; durations in seconds."""

STEP_LIMITS: Mapping[str, tuple[float, float]] = {
    "position": (0, 10_000),
    "timeout": (0, 30 * DAY),
    "retries": (0, 1000),
    "interval": (0, DAY),
    "nice": (-20, 19),
    "memory": (0, 2**50),
    "cpu_seconds": (0, 2**31 - 1),
    "open_files": (0, 2**20),
    "processes": (0, 2**22),
}
"""Likewise of a step's numbers."""

LEAST_MEMORY = 4 << 20
"""Bytes with which a shell can start."""

MAX_STEPS = 200

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?")
_UMASK = re.compile(r"0?[0-7]{3}")
_SCHEDULE_FIELDS = {
    "timezone": "timezone", "dst_gap": "dst_gap", "dst_repeat": "dst_repeat", "jitter": "jitter",
    "start": "starts_at", "end": "ends_at",
}  # fmt: skip
"""Our fields by the engine's names; whatever else it names is a part of the schedule's text."""


def pipeline_errors(pipeline: Pipeline, now: datetime, calendars: Iterable[Calendar] | None = None) -> Errors:
    """What is wrong with a pipeline's own fields. ``calendars``: as for ``schedule_of``."""
    found = numbers_errors(pipeline, LIMITS)
    if not found.get("jitter"):
        found |= schedule_errors(pipeline, now, calendars)
    if pipeline.is_shared:
        found |= shared_errors(pipeline)
    if wrong_labels := text_map_error(pipeline.node_labels):
        found["node_labels"] = [wrong_labels]
    return found


def shared_errors(pipeline: Pipeline) -> Errors:
    """What one node cannot do for all of them."""
    found: Errors = {}
    if pipeline.overlap not in (Pipeline.Overlap.ALLOW, Pipeline.Overlap.SKIP):
        found["overlap"] = [_("With one node for each fire, choose skip or allow.")]
    if pipeline.schedule.strip().lower() == "@reboot":
        found["schedule"] = [_("@reboot is each node's own: choose every bound node, or another schedule.")]
    return found


def schedule_errors(pipeline: Pipeline, now: datetime, calendars: Iterable[Calendar] | None = None) -> Errors:
    """Why there is no such schedule; one that is over may stand while disabled."""
    chosen = observed(pipeline) if calendars is None else list(calendars)
    if len(chosen) > MAX_CALENDARS:
        return {"calendars": [_("Choose at most %(count)d calendars.") % {"count": MAX_CALENDARS}]}
    try:
        schedule = schedule_of(pipeline, now if pipeline.enabled else None, chosen)
    except ScheduleError as error:
        found = {_SCHEDULE_FIELDS.get(error.field, "schedule"): [sentence(error)]}
        if error.field == "timezone" and pipeline.timezone != "UTC":
            # The engine looks at it first, and says nothing of a text that is wrong in every zone.
            elsewhere = copy(pipeline)
            elsewhere.timezone, elsewhere.enabled = "UTC", False
            found |= {name: wrong for name, wrong in schedule_errors(elsewhere, now, []).items() if name == "schedule"}
        return found
    if pipeline.enabled and is_silenced(schedule, now):
        return {"calendars": [_("It would never fire: the calendars cover every time to come. Take one out.")]}
    return {}


def step_errors(step: Step) -> Errors:
    """What is wrong with one step's own fields."""
    found = numbers_errors(step, STEP_LIMITS)
    if step.task_id is None:
        found["task"] = [_("Choose a task for this step.")]
    if problem := environment_error(step.environment):
        found["environment"] = [problem]
    if step.directory and ("\0" in step.directory or not step.directory.startswith("/")):
        found["directory"] = [_("Give an absolute path, beginning with /.")]
    if step.user and not _USER.fullmatch(step.user):
        found["user"] = [_("This is no user name.")]
    if step.group and not _USER.fullmatch(step.group):
        found["group"] = [_("This is no group name.")]
    if step.umask and not _UMASK.fullmatch(step.umask):
        found["umask"] = [_("Give three octal digits, such as 027.")]
    if not found.get("memory") and 0 < step.memory < LEAST_MEMORY:
        found["memory"] = [
            _("No program starts with so little: give 4194304 bytes (4 MiB) or more, or 0 for no limit.")
        ]
    return found


def enabling_errors(pipeline: Pipeline, steps: Iterable[Step]) -> Errors:
    """What stands against enabling a pipeline with these steps, or keeping it enabled."""
    steps = list(steps)
    if not pipeline.enabled:
        return {}
    if not steps:
        return {"enabled": [_("A pipeline without steps cannot be enabled: add a step first.")]}
    endings = [task for task in (pipeline.on_success, pipeline.on_failure) if task is not None]
    names = {name for task in [*(step.task for step in steps), *endings] for name in secrets_of_task(task)}
    names |= {name for step in steps for name in secret_names(step.environment.values())}
    if missing := missing_secrets(names):
        text = _("There is no secret named %(names)s: add it under Secrets, or correct the name in the task or step.")
        return {"enabled": [text % {"names": ", ".join(missing)}]}
    return {}


def environment_error(value: Any) -> str:
    """Why these are no environment variables; empty when they are."""
    if problem := text_map_error(value):
        return problem
    for name in value:
        if not _VARIABLE.fullmatch(name):
            return _(
                "%(name).100r is no name of a variable: use letters, digits and _, not beginning with a digit."
            ) % {"name": name}
        if name.startswith("ECTS_"):
            return _("%(name).100s: names that begin with ECTS_ are set by the system; choose another.") % {
                "name": name
            }
    return ""


def numbers_errors(instance: Any, limits: Mapping[str, tuple[float, float]]) -> Errors:
    """Numbers that are negative, absurd, or none."""
    found: Errors = {}
    for name, (lowest, highest) in limits.items():
        value = getattr(instance, name)
        if value is None or not math.isfinite(value) or not lowest <= value <= highest:
            found[name] = [_("Give a number from %(low)d to %(high)d.") % {"low": lowest, "high": highest}]
    return found
