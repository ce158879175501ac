"""Small charts as inline SVG: no script, every bar with its text in a ``<title>``. Colours are classes of the style
sheet, so that they follow light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import get_current_timezone
from django.utils.translation import gettext as _

from logs.models import Run

SPARK_PLACES, SPARK_STEP, SPARK_HEIGHT, SPARK_LEAST = 30, 6, 22, 6
"""Bars, and units of the drawing."""

GRID = 4
"""Lines above the axis."""

STEP, TALL = 10, 100
"""Units of a column's place and of the drawing's height. It is stretched to its frame; its texts are not in it."""


@dataclass(frozen=True)
class Column:
    """One column of a chart: what stands under it (may be empty), what it says, and (class, value) from the bottom."""

    label: str
    title: str
    parts: tuple[tuple[str, float], ...]


def sparkline(runs: Sequence[Run]) -> SafeString:
    """The runs, oldest first, as bars: the colour is the state, the height the duration beside the longest."""
    if not runs:
        return format_html('<span class="ects-faint">{}</span>', _("no runs yet"))
    shown = list(runs)[-SPARK_PLACES:]
    longest = max((_seconds(run) for run in shown), default=0) or 1
    labels = {state.value: escape(state.label) for state in Run.State}
    states = {state.value: state.value for state in Run.State}
    zone = get_current_timezone()
    # Put together by hand: a list has thousands of bars, and of all their parts only the labels are foreign text.
    bars = []
    for place, run in enumerate(shown, SPARK_PLACES - len(shown)):
        took = _seconds(run)
        height = round(SPARK_LEAST + (SPARK_HEIGHT - SPARK_LEAST) * took / longest, 1)
        told = f"{labels.get(run.state)} · {run.scheduled_at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
        told += f" · {took:.1f} s" if took else ""
        at = f'x="{place * SPARK_STEP}" y="{SPARK_HEIGHT - height:.1f}" height="{height}"'
        bars.append(f'<rect {at} class="ects-fill-{states.get(run.state)}"><title>{told}</title></rect>')
    bad = sum(run.state not in ("succeeded", "running", "skipped") for run in shown)
    words = _("Last %(runs)d runs, %(bad)d of them not well") % {"runs": len(shown), "bad": bad}
    return format_html(
        '<svg class="ects-spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}</svg>',
        *(SPARK_PLACES * SPARK_STEP, SPARK_HEIGHT, SPARK_PLACES * SPARK_STEP, SPARK_HEIGHT, words),
        mark_safe("".join(bars)),  # noqa: S308 - escaped above
    )


def columns(chart: Sequence[Column], words: str) -> SafeString:
    """Stacked columns with an axis. ``words``: what the chart shows, for those who do not see it.

    The bars stretch with the frame; the labels stand beside them as text, so that they are as large on a phone.
    """
    top = _ceiling(max((sum(value for _class, value in column.parts) for column in chart), default=0))
    levels = ((short(top * number / GRID),) for number in reversed(range(GRID + 1)))
    bars = format_html_join("", "{}", ((_column(column, place, top),) for place, column in enumerate(chart)))
    return format_html(
        '<div class="ects-plot"><div class="ects-plot-y" aria-hidden="true">{}</div>'
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}{}</svg>'
        '<div class="ects-plot-x" aria-hidden="true">{}</div></div>',
        *(format_html_join("", "<span>{}</span>", levels), STEP * len(chart), TALL, words, _grid(len(chart)), bars),
        format_html_join("", "<span>{}</span>", ((column.label,) for column in chart)),
    )


def _column(column: Column, place: int, top: float) -> SafeString:
    y, rectangles = float(TALL), []
    for name, value in column.parts:
        if value:
            height = max(TALL * value / top, 1)
            y -= height
            rectangles.append(
                (round(STEP * (place + 0.1), 1), round(y, 1), round(STEP * 0.8, 1), round(height, 1), name)
            )
    drawn = format_html_join("", '<rect x="{}" y="{}" width="{}" height="{}" class="ects-fill-{}"></rect>', rectangles)
    return format_html(
        '<g><title>{}</title><rect x="{}" width="{}" height="{}" class="ects-hover"></rect>{}</g>',
        *(column.title, STEP * place, STEP, TALL, drawn),
    )


def _grid(places: int) -> SafeString:
    lines = ((y, STEP * places, y) for y in (TALL * number / GRID for number in range(GRID + 1)))
    return format_html_join("", '<line y1="{}" x2="{}" y2="{}" class="ects-grid"></line>', lines)


def _ceiling(value: float) -> float:
    """The next number whose quarters are easy to read."""
    if value <= GRID:
        return GRID
    power = 10 ** int(log10(value / GRID))
    return float(next(GRID * power * step for step in (1, 2, 3, 4, 5, 10) if GRID * power * step >= value))


def short(value: float) -> str:
    """A number in few characters: 950, 1.2k, 34M."""
    for bound, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= bound:
            return f"{value / bound:.1f}".rstrip("0").rstrip(".") + letter
    return f"{value:.1f}".rstrip("0").rstrip(".")


def count(value: int) -> str:
    """1,682; from a million on in few characters."""
    return f"{value:,}" if value < 1_000_000 else short(value)


def _seconds(run: Run) -> float:
    if run.started_at is None or run.finished_at is None:
        return 0
    return max((run.finished_at - run.started_at).total_seconds(), 0)
