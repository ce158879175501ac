"""Counters, gauges and histograms of one small process, in Prometheus' text format 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/. Workers and masters use this, each from one event
loop: ``prometheus_client`` would cost a worker 2 MB. The web server, which is several processes, uses that one.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class _Family:
    """One metric and its samples, by the values of its labels."""

    kind: str

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a metric")
        self.name = name
        self.text = text
        self._labels = tuple(labels)
        self._samples: dict[tuple[str, ...], float] = {}

    def lines(self) -> Iterator[str]:
        """The family as it is scraped."""
        yield f"# HELP {self.name} {_escaped(self.text)}\n"
        yield f"# TYPE {self.name} {self.kind}\n"
        yield from self._sample_lines()

    def _sample_lines(self) -> Iterator[str]:
        for values, number in self._samples.items():
            yield f"{self.name}{_labelled(zip(self._labels, values, strict=True))} {_number(number)}\n"

    def _put(self, number: float, values: tuple[str, ...]) -> None:
        if len(values) != len(self._labels):
            raise ValueError(f"{self.name}: labels are {self._labels}, got {values}")
        self._samples[values] = number


class Counter(_Family):
    """Only grows. ``known``: values of its label that begin with 0, so that their first increase shows as one."""

    kind = "counter"

    def __init__(self, name: str, text: str, labels: Sequence[str] = (), known: Sequence[str] = ()) -> None:
        super().__init__(name, text, labels)
        for values in [(value,) for value in known] if labels else [()]:
            self._put(0, values)

    def add(self, number: float, *values: str) -> None:
        """So many more, of these values of its labels."""
        self._put(self._samples.get(values, 0) + number, values)

    def reach(self, total: float) -> None:
        """For what is counted elsewhere: the count now."""
        self._put(total, ())


class Gauge(_Family):
    """Goes up and down."""

    kind = "gauge"

    def set(self, number: float | None, *values: str) -> None:
        """As it is now; None: it is not known, and not shown."""
        if number is None:
            self._samples.pop(values, None)
        else:
            self._put(number, values)


class Histogram(_Family):
    """How often something took how long. ``bounds`` are ascending; a last one without limit is added."""

    kind = "histogram"

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        super().__init__(name, text)
        self._bounds = (*bounds, math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Once more."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def _sample_lines(self) -> Iterator[str]:
        total = 0
        for bound, count in zip(self._bounds, self._counts, strict=True):
            total += count
            yield f"{self.name}_bucket{_labelled([('le', _number(bound))])} {total}\n"
        yield f"{self.name}_sum {_number(self._sum)}\n"
        yield f"{self.name}_count {total}\n"


F = TypeVar("F", bound=_Family)


class Registry:
    """The metrics of a process, each under its name once."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    def counter(self, name: str, text: str, labels: Sequence[str] = (), known: Sequence[str] = ()) -> Counter:
        """A new counter. Raises ValueError for a name that is taken, or is none."""
        return self._kept(Counter(name, text, labels, known))

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        """A new gauge. Raises ValueError as ``counter`` does."""
        return self._kept(Gauge(name, text, labels))

    def histogram(self, name: str, text: str, bounds: Sequence[float]) -> Histogram:
        """A new histogram. Raises ValueError as ``counter`` does."""
        return self._kept(Histogram(name, text, bounds))

    def render(self) -> bytes:
        """All of them, for ``CONTENT_TYPE``."""
        return "".join(line for family in self._families.values() for line in family.lines()).encode()

    def _kept(self, family: F) -> F:
        if family.name in self._families:
            raise ValueError(f"there is a metric {family.name} already")
        self._families[family.name] = family
        return family


def _labelled(pairs: Iterable[tuple[str, str]]) -> str:
    inner = ",".join(f'{name}="{_escaped(value, quoted=True)}"' for name, value in pairs)
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str, *, quoted: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quoted else text


def _number(number: float) -> str:
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return str(int(number)) if float(number).is_integer() else repr(float(number))
