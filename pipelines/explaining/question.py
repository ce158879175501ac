"""What is asked, read from text."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from pipelines.models import Pipeline
from workers.models import Node


class NotUnderstood(ValueError):
    """``field`` is what is wrong, the message says how to put it right."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def pipeline_of(text: str) -> Pipeline:
    """By name or id. Raises NotUnderstood."""
    found = Pipeline.objects.filter(name=text).first() or Pipeline.objects.filter(pk=_uuid(text)).first()
    if found is None:
        raise NotUnderstood("pipeline", _("There is no pipeline with the name or id %(text)r.") % {"text": text[:150]})
    return found


def node_of(text: str) -> Node | None:
    """By name or id; None for an empty text. Raises NotUnderstood."""
    if not text:
        return None
    found = Node.objects.filter(name=text).first() or Node.objects.filter(pk=_uuid(text)).first()
    if found is None:
        raise NotUnderstood("node", _("There is no node with the name or id %(text)r.") % {"text": text[:150]})
    return found


def instant_of(text: str, pipeline: Pipeline) -> datetime:
    """ISO 8601, in the pipeline's zone without an offset. Raises NotUnderstood."""
    example = "2026-03-29T02:30:00"
    try:
        instant = datetime.fromisoformat(text.strip())
        aware = instant if instant.tzinfo else instant.replace(tzinfo=ZoneInfo(pipeline.timezone))
        if not 1971 <= aware.year <= 2198:
            raise ValueError
    except (ValueError, OverflowError):
        message = _("%(text)r is no instant: write one such as %(example)s, or with an offset.")
        raise NotUnderstood("at", message % {"text": text[:50], "example": example}) from None
    return aware


def _uuid(text: str) -> UUID:
    """The nil uuid, which nothing has, for what is none."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)
