"""Charts in templates."""

from collections.abc import Sequence

from django import template
from django.utils.safestring import SafeString

from logs import charts
from logs.models import Run

register = template.Library()


@register.simple_tag
def sparkline(runs: Sequence[Run]) -> SafeString:
    """The last runs as bars."""
    return charts.sparkline(runs)


@register.simple_tag
def columns(chart: Sequence[charts.Column], words: str) -> SafeString:
    """Stacked columns."""
    return charts.columns(chart, words)


@register.filter
def short(value: float) -> str:
    """A number in few characters."""
    return charts.short(value)


@register.filter
def count(value: int) -> str:
    """A number to the last digit, while it is one that can be read."""
    return charts.count(value)
