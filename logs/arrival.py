"""Whether what ended steps wrote has come in: a worker with much to deliver sends endings first, output later."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import BigIntegerField, ExpressionWrapper, F, Max
from django.db.models.functions import Length
from django.utils.translation import gettext as _

from logs.models import Output, Run, StepRun

PATIENCE = timedelta(minutes=5)
"""How long after a step's end has come in the rest of its output is waited for. It may come later still, when a worker
was away with a large backlog, or never, when its disk was full or its journal damaged."""


def on_the_way(run: Run, steps: Sequence[StepRun], now: datetime, cursor: int) -> set[int]:
    """The indexes of the ended steps whose output was not all in up to this cursor (``logs.tail``), and may be soon."""
    wrote = [step for step in steps if step.output_bytes and now - step.received_at < PATIENCE]
    if not wrote:
        return set()
    end = ExpressionWrapper(F("offset") + Length("data"), output_field=BigIntegerField())
    pieces = Output.objects.filter(run=run.uuid, pk__lte=cursor, index__in=[step.index for step in wrote])
    ends = dict(pieces.values_list("index").annotate(end=Max(end)))
    return {step.index for step in wrote if ends.get(step.index, 0) < step.output_bytes}


def silence(step: StepRun, is_on_the_way: bool) -> str:
    """What is said in the place of output that is not there."""
    if step.state == StepRun.State.RUNNING:
        return _("It has written nothing yet.")
    if step.state == StepRun.State.SKIPPED:
        return "" if step.reason else _("It did not run.")
    if not step.output_bytes:
        return _("It wrote nothing.")
    if is_on_the_way:
        return _("What it wrote has not come in yet.")
    if step.output_bytes > step.output_dropped:
        return _("What it wrote is not here: it was deleted to keep the history small, or was never delivered.")
    return ""
