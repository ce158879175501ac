"""What is exposed is what was counted, as another reader of the format understands it."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from coordination.exposition import Registry


def read(registry: Registry) -> dict[tuple[str, ...], float]:
    """Each sample by its name and its labels' values in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(registry.render().decode())
        for sample in family.samples
    }


def test_counters_begin_with_what_is_known() -> None:
    registry = Registry()
    plain = registry.counter("ects_a_total", "A.")
    labelled = registry.counter("ects_b_total", "B.", ["result"], ["won", "lost"])
    assert read(registry) == {("ects_a_total",): 0, ("ects_b_total", "won"): 0, ("ects_b_total", "lost"): 0}
    plain.add(2)
    labelled.add(1, "won")
    labelled.add(0.5, "other")
    found = read(registry)
    assert found["ects_a_total",] == 2
    assert found["ects_b_total", "won"] == 1
    assert found["ects_b_total", "other"] == 0.5
    plain.reach(7)
    assert read(registry)["ects_a_total",] == 7


def test_what_is_not_known_is_not_shown() -> None:
    registry = Registry()
    gauge = registry.gauge("ects_g", "G.")
    assert read(registry) == {}
    gauge.set(True)
    assert read(registry) == {("ects_g",): 1}
    gauge.set(-1.25)
    assert read(registry) == {("ects_g",): -1.25}
    gauge.set(None)
    assert read(registry) == {}


def test_a_histogram_counts_up_to_each_bound() -> None:
    registry = Registry()
    histogram = registry.histogram("ects_h_seconds", "H.", (0.1, 1, 60))
    for value in (0.05, 0.1, 0.5, 61, -0.001):
        histogram.observe(value)
    found = read(registry)
    buckets = [found["ects_h_seconds_bucket", bound] for bound in ("0.1", "1", "60", "+Inf")]
    assert buckets == [3, 4, 4, 5]
    assert found["ects_h_seconds_count",] == 5
    assert math.isclose(found["ects_h_seconds_sum",], 61.649)


def test_text_of_any_kind() -> None:
    registry = Registry()
    value = 'back\\slash "quoted"\nnew line'
    registry.gauge("ects_g", "Help with \\ and\nnew line.", ["label"]).set(math.inf, value)
    [family] = text_string_to_metric_families(registry.render().decode())
    assert family.documentation == "Help with \\ and\nnew line."
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"label": value}, math.inf)]


def test_names_are_taken_once_and_labels_are_complete() -> None:
    registry = Registry()
    counter = registry.counter("ects_a_total", "A.", ["result"], ["won"])
    with pytest.raises(ValueError, match="ects_a_total already"):
        registry.gauge("ects_a_total", "A.")
    with pytest.raises(ValueError, match="no name"):
        registry.gauge("ects a", "A.")
    with pytest.raises(ValueError, match="labels are"):
        counter.add(1)
