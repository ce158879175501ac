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

WIDTH, HEIGHT = 600, 180
LEFT, RIGHT, BOTTOM, TOP = 44, 16, 20, 8


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


def columns(chart: Sequence[Column], words: str, *, unit: str = "") -> SafeString:
    """Stacked columns with an axis. ``words``: what the chart shows, for those who do not see it."""
    top = _ceiling(max((sum(value for _class, value in column.parts) for column in chart), default=0))
    step = (WIDTH - LEFT - RIGHT) / max(len(chart), 1)
    body = format_html_join(
        "", "{}", ((_column(column, LEFT + place * step, step, top),) for place, column in enumerate(chart))
    )
    return format_html(
        '<svg class="ects-chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>',
        *(WIDTH, HEIGHT, words, _axis(top, unit), body),
    )


def _column(column: Column, x: float, step: float, top: float) -> SafeString:
    y, rectangles = float(HEIGHT - BOTTOM), []
    for name, value in column.parts:
        if value:
            height = max((HEIGHT - BOTTOM - TOP) * value / top, 1)
            y -= height
            rectangles.append((round(x + step * 0.1, 1), round(y, 1), round(step * 0.8, 1), round(height, 1), name))
    drawn = format_html_join(
        "", '<rect x="{}" y="{}" width="{}" height="{}" rx="1" class="ects-fill-{}"></rect>', rectangles
    )
    return format_html(
        '<g><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" class="ects-hover"></rect>{}'
        '<text x="{}" y="{}" text-anchor="middle">{}</text></g>',
        *(column.title, round(x, 1), TOP, round(step, 1), HEIGHT - BOTTOM - TOP, drawn),
        *(round(x + step / 2, 1), HEIGHT - 5, column.label),
    )


def _axis(top: float, unit: str) -> SafeString:
    lines = []
    for number in range(GRID + 1):
        y = round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * number / GRID, 1)
        lines.append((LEFT, y, WIDTH - RIGHT, y, LEFT - 6, y + 4, f"{short(top * number / GRID)}{unit}"))
    return format_html_join(
        "",
        '<line x1="{}" y1="{}" x2="{}" y2="{}" class="ects-grid"></line>'
        '<text x="{}" y="{}" text-anchor="end">{}</text>',
        lines,
    )


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


def _seconds(run: Run) -> float:
    if run.started_at is None or run.finished_at is None:
        return 0
    return max((run.finished_at - run.started_at).total_seconds(), 0)
