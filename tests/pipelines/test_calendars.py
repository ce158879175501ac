"""Blackout calendars: what they do to instants, and that no change of them goes unnoticed."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import transaction
from django.db.models import ProtectedError
from django.utils.timezone import now

from coordination import documents
from pipelines import rendering
from pipelines.calendars import blackouts, entry_error, tidied, wire_form, wire_forms
from pipelines.models import Calendar, CalendarEntry, Pipeline, Publication
from pipelines.schedules import is_silenced, schedule_of, upcoming
from pipelines.validation import pipeline_errors
from tests.pipelines import makers
from workers.engine.occasions import occasions

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def calendar(name: str = "Freeze", *entries: dict, **fields) -> Calendar:
    made = Calendar.objects.create(name=name, **fields)
    CalendarEntry.objects.bulk_create(CalendarEntry(calendar=made, **entry) for entry in entries)
    return made


def date(start: str, name: str = "") -> dict:
    return {"kind": "date", "start": start, "name": name}


def span(start: str, end: str, name: str = "") -> dict:
    return {"kind": "range", "start": start, "end": end, "name": name}


def weekly(days: list[str], start: str = "00:00", end: str = "24:00", name: str = "") -> dict:
    return {"kind": "weekly", "days": days, "start": start, "end": end, "name": name}


def fires(pipeline: Pipeline, after: str, count: int) -> list[str]:
    found = upcoming(pipeline, datetime.fromisoformat(after), count)
    return [f"{instant:%m-%dT%H:%M}" for instant in found]


@pytest.fixture
def pipeline(db) -> Pipeline:
    return makers.pipeline(tasks=[makers.task()], nodes=[makers.node()], schedule="0 12 * * *")


def unmarked(pipeline: Pipeline) -> None:
    """As if all were published long ago."""
    Publication.objects.update(wanted=1, published=1, pending=False)
    Pipeline.objects.filter(pk=pipeline.pk).update_quietly(generation=1, not_before=LONG_AGO)


def is_marked(pipeline: Pipeline) -> bool:
    """Whether every node is to get it anew."""
    pipeline.refresh_from_db()
    rows = Publication.objects.filter(pipeline=pipeline.pk)
    assert {row.wanted for row in rows} == {pipeline.generation}
    assert {row.pending for row in rows} == {pipeline.generation > 1}
    return pipeline.generation > 1


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([date("2026-12-25")], ["12-24T12:00", "12-26T12:00", "12-27T12:00"]),
        ([date("12-25"), date("12-26")], ["12-24T12:00", "12-27T12:00", "12-28T12:00"]),
        ([span("2026-12-24", "2027-01-01")], ["01-02T12:00", "01-03T12:00", "01-04T12:00"]),
        ([span("2026-12-24T13:00", "2026-12-26T12:00")], ["12-24T12:00", "12-26T12:00", "12-27T12:00"]),
        ([weekly(["fri", "sat"], "11:00", "12:01")], ["12-24T12:00", "12-27T12:00", "12-28T12:00"]),
        ([weekly(["thu"], "23:00", "13:00")], ["12-24T12:00", "12-26T12:00", "12-27T12:00"]),
    ],
)
def test_fires_inside_are_skipped(pipeline, entries, expected):
    pipeline.calendars.add(calendar("c", *entries))
    assert fires(pipeline, "2026-12-24T00:00:00Z", 3) == expected


def test_fires_inside_become_one_at_the_end(pipeline):
    pipeline.calendars.add(calendar("c", span("2026-12-24", "2026-12-26"), policy="end"))
    assert fires(pipeline, "2026-12-24T00:00:00Z", 2) == ["12-27T00:00", "12-27T12:00"]


def test_dates_are_those_of_the_calendars_zone(pipeline):
    pipeline.calendars.add(calendar("c", date("2026-12-25"), timezone="Pacific/Auckland"))  # ends at 11:00 UTC
    assert fires(pipeline, "2026-12-24T00:00:00Z", 2) == ["12-25T12:00", "12-26T12:00"]


def document_of(pipeline: Pipeline) -> documents.PipelineDocument:
    """As a worker gets it: through its bytes."""
    node = pipeline.bindings.get().node
    source = rendering.read([pipeline.pk])[pipeline.pk]
    sent = rendering.document(source, node, LONG_AGO, b"k" * 32)
    document = documents.decode_document(documents.encode(sent))
    assert isinstance(document, documents.PipelineDocument)
    return document


def test_a_worker_skips_moves_and_says_why(pipeline):
    pipeline.calendars.add(
        calendar("Holidays", date("12-25", "Christmas")),
        calendar("Move", span("2026-12-27T06:00", "2026-12-28T18:00", "to the new rack"), policy="end"),
    )
    plan = occasions(document_of(pipeline))
    start = datetime(2026, 12, 24, 13, tzinfo=UTC)
    found = {
        f"{instant:%d %H:%M}": plan.blacked_out(instant) for instant in plan.between(start, start + timedelta(5), 99)
    }
    assert found == {
        "25 12:00": "Holidays: Christmas", "26 12:00": None, "27 12:00": "Move: to the new rack",
        "28 12:00": "Move: to the new rack", "28 18:00": None, "29 12:00": None,
    }  # fmt: skip


def digest_of(pipeline: Pipeline) -> str:
    """Of all but the moment of the change."""
    Pipeline.objects.filter(pk=pipeline.pk).update_quietly(not_before=LONG_AGO)
    source = rendering.read([pipeline.pk])[pipeline.pk]
    return rendering.digest(source, pipeline.bindings.get().node, LONG_AGO, b"k" * 32)


def test_the_order_of_entry_does_not_matter_to_the_digest(pipeline):
    entries = [date("12-25", "b"), date("01-01"), weekly(["sat"]), span("2026-03-01", "2026-03-02"), weekly(["mon"])]
    without = digest_of(pipeline)
    pipeline.calendars.add(calendar("b", *entries), calendar("a", date("05-01")))
    before = digest_of(pipeline)
    pipeline.calendars.clear()
    Calendar.objects.all().delete()
    assert digest_of(pipeline) == without
    pipeline.calendars.add(calendar("a", date("05-01")), calendar("b", *reversed(entries)))
    assert [form["name"] for form in document_of(pipeline).blackouts] == ["a", "b"]
    assert digest_of(pipeline) == before
    Calendar.objects.get(name="b").entries.first().delete()
    assert len({without, before, digest_of(pipeline)}) == 3


def test_the_order_of_choice_does_not_matter(db):
    chosen = [Calendar(pk=number, name=name) for number, name in enumerate("bca", 1)]
    assert [form["name"] for form in wire_forms(chosen)] == ["a", "b", "c"]


def test_the_wire_form_is_the_engines_own(db):
    made = calendar(
        "c", weekly(["mon", "fri"], name="w"), date("12-25"), span("2026-01-01", "2026-01-02"), timezone="Europe/Paris"
    )
    [compiled] = blackouts([made])
    assert compiled.to_dict() == {**wire_form(made), "weekly": compiled.to_dict()["weekly"]}
    assert compiled.to_dict()["weekly"] == wire_form(made)["weekly"]


CHANGES = {
    "its zone": lambda c: Calendar(pk=c.pk, name=c.name, timezone="Asia/Tokyo", created_at=c.created_at).save(),
    "its policy": lambda c: Calendar.objects.filter(pk=c.pk).update(policy="end"),
    "a new entry": lambda c: CalendarEntry.objects.create(calendar=c, **date("2026-01-01")),
    "new entries in bulk": lambda c: CalendarEntry.objects.bulk_create([CalendarEntry(calendar=c, **date("01-01"))]),
    "a saved entry": lambda c: c.entries.get().save(),
    "entries by a query": lambda c: c.entries.update(start="2026-01-02"),
    "entries updated in bulk": lambda c: CalendarEntry.objects.bulk_update(list(c.entries.all()), ["start"]),
    "an entry deleted": lambda c: c.entries.get().delete(),
    "entries deleted by a query": lambda c: CalendarEntry.objects.filter(calendar=c).delete(),
    "taken off by the pipeline": lambda c: Pipeline.objects.get().calendars.remove(c),
    "cleared by the pipeline": lambda c: Pipeline.objects.get().calendars.clear(),
    "taken off by the calendar": lambda c: c.pipelines.remove(Pipeline.objects.get()),
    "cleared by the calendar": lambda c: c.pipelines.clear(),
    "set by the pipeline": lambda c: Pipeline.objects.get().calendars.set([]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_instants_marks_and_replays_nothing(pipeline, change):
    used = calendar("used", date("12-25"))
    pipeline.calendars.add(used)
    unmarked(pipeline)
    before = now()
    CHANGES[change](used)
    assert is_marked(pipeline)
    assert pipeline.not_before >= before


@pytest.mark.parametrize("reverse", [False, True])
def test_a_new_calendar_marks(pipeline, reverse):
    used = calendar("used", date("12-25"))
    unmarked(pipeline)
    if reverse:
        used.pipelines.add(pipeline)
    else:
        pipeline.calendars.add(used)
    assert is_marked(pipeline)
    assert pipeline.not_before > LONG_AGO


def test_a_new_name_is_published_and_replaces_no_instants(pipeline):
    used = calendar("used", date("12-25"))
    pipeline.calendars.add(used)
    unmarked(pipeline)
    used.name = "renamed"
    used.save()
    assert is_marked(pipeline)
    assert pipeline.not_before == LONG_AGO


def test_other_calendars_and_no_change_mark_nothing(pipeline):
    used, other = calendar("used", date("12-25")), calendar("other", date("12-25"))
    pipeline.calendars.add(used)
    unmarked(pipeline)
    other.save()
    other.entries.update(start="01-01")
    other.delete()
    pipeline.calendars.add(used)
    pipeline.calendars.set([used])
    pipeline.calendars.add()
    assert not is_marked(pipeline)
    assert pipeline.not_before == LONG_AGO


def test_a_calendar_in_use_cannot_be_deleted(pipeline):
    used = calendar("used", date("12-25"))
    pipeline.calendars.add(used)
    for delete in (used.delete, Calendar.objects.all().delete):
        with pytest.raises(ProtectedError, match="take it out"), transaction.atomic():
            delete()
        assert used.entries.exists()
    pipeline.delete()
    used.delete()
    assert not CalendarEntry.objects.exists()


def test_what_was_chosen_is_kept_in_the_history(pipeline):
    used = calendar("used", date("12-25"))
    pipeline.calendars.add(used)
    pipeline.calendars.clear()
    chosen = [[row.calendar_id for row in record.calendars.all()] for record in pipeline.history.all()]
    assert chosen[:2] == [[], [used.pk]]
    used.policy = "end"
    used.save()
    assert [record.policy for record in used.history.all()] == ["end", "skip"]


def test_a_worker_has_it_after_the_commit(console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    used = calendar("used", date("12-25", "Christmas"))
    pipeline.calendars.add(used)
    [sent] = console.document(node, pipeline.pk).blackouts
    assert sent == wire_form(used)
    used.entries.update(start="12-26")
    [sent] = console.document(node, pipeline.pk).blackouts
    assert sent["dates"] == [{"date": "12-26", "name": "Christmas"}]
    pipeline.calendars.clear()
    assert console.document(node, pipeline.pk).blackouts == ()


def test_a_pipeline_that_would_never_fire_is_refused_while_enabled(pipeline):
    pipeline.calendars.add(calendar("c", weekly(["mon", "tue", "wed", "thu", "fri", "sat", "sun"])))
    assert is_silenced(schedule_of(pipeline), now())
    errors = pipeline_errors(pipeline, now())
    assert list(errors) == ["calendars"]
    assert "Take one out" in errors["calendars"][0]
    assert not pipeline_errors(pipeline, now(), [])
    pipeline.enabled = False
    assert not pipeline_errors(pipeline, now())
    pipeline.enabled, pipeline.schedule = True, "@manual"
    assert not pipeline_errors(pipeline, now())


def test_more_calendars_than_a_pipeline_may_have(pipeline):
    many = [Calendar(name=str(number)) for number in range(21)]
    assert list(pipeline_errors(pipeline, now(), many)) == ["calendars"]


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        (date(""), "date"),
        (date("25.12."), "date"),
        (date("02-30"), "date"),
        (date("2026-02-29"), "date"),
        (date("2026-12-25\0"), "date"),
        (span("12-24", "12-26"), "start"),
        (span("2026-12-24", ""), "end"),
        (span("2026-12-24", "2026-12-23"), "end"),
        (span("2026-12-24T12:00", "2026-12-24T12:00"), "end"),
        (weekly([]), "days"),
        (weekly(["monday"]), "days"),
        (weekly(["mon"], "25:00"), "start"),
        (weekly(["mon"], "9:00"), "start"),
        (weekly(["mon"], "09:00", "noon"), "end"),
    ],
)
def test_a_bad_entry_says_what_to_write(entry, field):
    found, message = entry_error(tidied(CalendarEntry(**entry)), "UTC") or ("", "")
    assert found == field
    assert "ive " in message


@pytest.mark.parametrize(
    "entry",
    [
        date("02-29"), date("0001-01-01"), date("9999-12-31"), span("2026-12-24", "2026-12-24"),
        span("2026-12-24 18:00", "2026-12-24T18:00:01"), span("2026-12-24T00:00+08:00", "2026-12-24T00:00Z"),
        weekly(["sun"], "", ""), weekly(["sun"], "22:00", "06:00"), weekly(["mon"], "00:00", "24:00"),
    ],
)  # fmt: skip
def test_a_good_entry(entry):
    assert entry_error(tidied(CalendarEntry(**entry)), "Europe/Paris") is None


def test_an_entry_is_stored_without_what_its_kind_does_not_have():
    day = tidied(CalendarEntry(kind="date", start="12-25", end="12-26", days=["mon"]))
    assert (day.start, day.end, day.days) == ("12-25", "", [])
    night = tidied(CalendarEntry(kind="weekly", days=["sun", "mon", "sun"]))
    assert (night.start, night.end, night.days) == ("00:00", "24:00", ["mon", "sun"])
    assert str(night) == "mon,sun 00:00 – 24:00"


def test_a_broken_calendar_breaks_no_list(pipeline):
    pipeline.calendars.add(calendar("c", date("nonsense")))
    assert upcoming(pipeline, now()) == []
    assert isinstance(rendering.read([pipeline.pk])[UUID(str(pipeline.pk))], rendering.Source)
