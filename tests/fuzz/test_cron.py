"""Cron text from anywhere: a schedule with instants in order, or a sentence; never another error, and no memory."""

import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.amount import oddly
from workers.engine.cron import ScheduleError
from workers.engine.schedule import Schedule, next_fires

NOW = datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC)

PIECE = st.one_of(
    st.sampled_from(
        ["*", "?", "L", "LW", "W", "H", "#", "-", "/", ",", "mon", "FRI", "jan", "5L", "15W", "5#2", "@", "H(0-7)"]
    ),
    st.integers(-5, 3000).map(str),
    st.text(alphabet="*/-,#LWH?@0123456789 \tmonjan()", max_size=12),
)
FIELD = st.lists(PIECE, min_size=1, max_size=4).map("".join)
LIKE_CRON = st.lists(FIELD, min_size=1, max_size=8).map(" ".join)
NAMED = st.builds("{}{}".format, st.sampled_from(["@every ", "@at ", "@", "@reboot", "@daily"]), st.text(max_size=20))
ZONE = st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Mars/Base", "", "../etc/passwd", "\x00"])


@oddly
@given(text=st.one_of(LIKE_CRON, NAMED, st.text(max_size=300)), zone=ZONE, key=st.text(max_size=10))
def test_any_text_is_a_schedule_or_a_sentence(text: str, zone: str, key: str) -> None:
    fires: list[datetime] = []
    with suppress(ScheduleError):
        fires = next_fires(Schedule.parse(text, timezone=zone, key=key), NOW, 5)
    assert fires == sorted(set(fires))
    assert all(fire > NOW for fire in fires)


@oddly
@given(piece=st.sampled_from(["*,", "1-59/2,", "H,", "mon,", "9" * 50, "*/1", "L-", "# ", "@every "]))
def test_a_long_text_takes_no_memory(piece: str) -> None:
    text = piece * 20_000
    tracemalloc.start()
    with pytest.raises(ScheduleError) as refusal:
        Schedule.parse(text)
    _size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(str(refusal.value)) < 1000
    assert peak < 40 * len(text), f"{peak} bytes for a text of {len(text)}"
