"""Instants, durations and reasons in templates, as people read them."""

from datetime import datetime

from django import template
from django.utils.timezone import now

from logs import reasons, run_page, run_times
from logs.models import Run

register = template.Library()


@register.filter
def ago(instant: datetime) -> str:
    """12 s ago, 3 hours ago."""
    return run_times.ago(instant, now())


@register.filter
def lasting(instant: datetime) -> str:
    """How long since then: 17.3 s, 3 min 20 s."""
    return run_times.duration(now() - instant)


@register.filter
def localized(reason: str) -> str:
    """A reason in the viewer's language."""
    return reasons.localized(reason)


@register.filter
def why(run: Run) -> str:
    """The reason of a run, without what it says of who asked for it."""
    return run_page.reason(run)
