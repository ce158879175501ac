"""The token that is kept in a file for the hosts that are set up with the console: there while one is missing."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from workers import enrolment, lifecycle, token_file
from workers.enrolment import Applicant, Refused
from workers.models import EnrolmentToken, Node

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token"


def offer(path: Path) -> EnrolmentToken | None:
    return token_file.offer(path, NOW, hosts=2, expires_in=60)


def join(token: str, name: str) -> Node:
    return enrolment.enrol(token, Applicant(name, name.encode().ljust(32), name), NOW).node


def test_it_is_good_for_the_hosts_and_for_its_time(path: Path) -> None:
    row = offer(path)
    assert row is not None
    assert (row.uses, row.expires_at) == (2, NOW + timedelta(seconds=60))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for name in ("one", "two"):
        join(path.read_text(), name)
    with pytest.raises(Refused, match="used up"):
        join(path.read_text(), "three")


def test_another_one_takes_the_place_of_the_first(path: Path) -> None:
    offer(path)
    first = path.read_text()
    offer(path)
    assert EnrolmentToken.objects.count() == 1
    with pytest.raises(Refused, match="not known"):
        join(first, "one")
    join(path.read_text(), "one")


def test_it_is_good_for_no_more_hosts_than_are_missing(path: Path) -> None:
    offer(path)
    join(path.read_text(), "one")
    row = offer(path)
    assert row is not None
    assert row.uses == 1


def test_there_is_none_when_no_host_is_missing(path: Path) -> None:
    offer(path)
    used_up = path.read_text()
    for name in ("one", "two"):
        join(used_up, name)
    for _ in range(2):
        assert offer(path) is None
        assert not path.exists()
        assert not EnrolmentToken.objects.exists()
    with pytest.raises(Refused, match="not known"):
        join(used_up, "one")


def test_a_host_that_was_made_beforehand_or_is_retired_has_not_joined(path: Path) -> None:
    Node.objects.create(name="beforehand")
    offer(path)
    for name in ("one", "two"):
        join(path.read_text(), name)
    lifecycle.retire(Node.objects.get(name="two").pk, NOW)
    row = offer(path)
    assert row is not None
    assert row.uses == 1


def test_tokens_of_the_console_stay(path: Path) -> None:
    text, _row = enrolment.make_token(now=NOW)
    offer(path)
    offer(path)
    join(text, "one")


@pytest.mark.parametrize("held", [b"mine", b"\xff\xfe\x00", b"ects2.a.b"])
def test_a_file_of_somebody_s_is_left_alone(path: Path, held: bytes) -> None:
    path.write_bytes(held)
    with pytest.raises(token_file.Unusable, match="holds no enrolment token"):
        offer(path)
    assert path.read_bytes() == held
    assert not EnrolmentToken.objects.exists()


def test_what_an_interrupted_start_left_is_no_hindrance(path: Path) -> None:
    path.touch()
    assert offer(path)


def test_a_place_that_cannot_be_written_is_told(path: Path) -> None:
    with pytest.raises(token_file.Unusable, match="No such file"):
        offer(path / "none")
    path.mkdir()
    with pytest.raises(token_file.Unusable, match="directory"):
        offer(path)
    assert not EnrolmentToken.objects.exists()


AMOUNTS = [("--uses", "0"), ("--uses", "9" * 20), ("--expires-in", "-5"), ("--expires-in", "inf")]


@pytest.mark.parametrize("words", AMOUNTS)
def test_amounts_that_make_no_sense_are_refused(words: tuple[str, str]) -> None:
    with pytest.raises(CommandError, match="must be"):
        call_command("setup", *words)
