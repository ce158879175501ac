"""Instants and durations as people read them."""

from datetime import datetime, timedelta
from math import floor

from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

MINUTE = timedelta(minutes=1)


def duration(took: timedelta) -> str:
    """0.42 s, 17.3 s, 3 min 20 s, 2 h 05 min."""
    seconds = max(took.total_seconds(), 0)
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def signed_seconds(seconds: float | None) -> str:
    """+0.013 s, −2.500 s; a dash for what is not known."""
    return "–" if seconds is None else f"{seconds:+.3f} s".replace("-", "−")


def ago(instant: datetime, now: datetime) -> str:
    """12 s ago, 3 hours ago, in 5 minutes."""
    passed = now - instant
    if abs(passed) < MINUTE:
        few = {"seconds": abs(floor(passed.total_seconds()))}
        return _("in %(seconds)d s") % few if passed < timedelta() else _("%(seconds)d s ago") % few
    if passed < timedelta():
        return _("in %(time)s") % {"time": timesince(now, instant, depth=1)}
    return _("%(time)s ago") % {"time": timesince(instant, now, depth=1)}


def when(instant: datetime, now: datetime) -> SafeString:
    """How long ago, and below it the instant to the second in the viewer's zone."""
    return format_html(
        '<time class="ects-when" datetime="{}" title="{}">{}<br><span class="ects-faint">{}</span></time>',
        instant.isoformat(),
        exact(instant),
        ago(instant, now),
        date_format(localtime(instant), "Y-m-d H:i:s"),
    )


def exact(instant: datetime) -> str:
    """To the millisecond, with the zone: what stands behind the mouse."""
    local = localtime(instant)
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03} {local:%Z}"
