"""Reasons in Chinese: what workers and the master say is known, sentence by sentence."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
from django.utils import translation

from coordination import fires, upkeep
from logs import history
from logs.reasons import localized
from pipelines import closing
from workers.engine import (
    claims_change,
    claims_fire,
    claims_runs,
    claims_scene,
    definitions,
    dispatch,
    fence,
    plan,
    recovery,
    repetition,
    shared,
)
from workers.engine.capacity import Capacity
from workers.engine.runners import failures, mail, shell
from workers.models import Node

FIXED = [
    plan.DOWN, plan.LATE, plan.OVERLAP, plan.DRAINING, plan.PAUSED, recovery.LOST, recovery.NEVER_BEGUN, fence.OVER,
    dispatch.STOPPING, claims_change.CHANGED, claims_scene.LOST_DATA, shared.HAMPERED, definitions.EVERYWHERE,
    definitions.REMOVED, mail.NOT_SET, claims_runs.LOST, repetition.NOT_REPEATED, claims_fire.SUPERSEDED,
    claims_fire.TOO_OLD, claims_fire.BEYOND_CAP, upkeep.ABANDONED, fires.BACKLOG, history.NOT_TAKEN,
]  # fmt: skip

NAMES = re.compile(r"ECTS_EMAIL_HOST|_PORT|_USER|_PASSWORD|_TLS|_FROM|etcd")


@pytest.fixture(autouse=True)
def chinese() -> Iterator[None]:
    with translation.override("zh-hans"):
        yield


@pytest.mark.parametrize("reason", FIXED)
def test_what_is_always_said_alike_is_known(reason: str) -> None:
    assert not re.search("[A-Za-z]{2,}", NAMES.sub("", localized(reason)))


def _refused() -> str:
    error = httpx.ConnectError("refused")
    error.__cause__ = ConnectionRefusedError()
    return failures.in_plain_words(error, "http://example.org:8080/x?secret=1", 10)


def test_what_is_said_of_something_is_known_and_keeps_its_name() -> None:
    gone = Node(last_seen=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    said = {
        shell._exit_sentence(3): "退出码 3",
        shell._exit_sentence(-9): "SIGKILL",
        _refused(): "example.org:8080",
        closing.why(gone): "2026-01-02 03:04:05",
        Capacity(2).waiting_reason(): "2",
        "killed by admin": "admin",
        "blackout: Christmas at home": "Christmas at home",
    }
    for english, kept in said.items():
        assert kept in localized(english)
        assert not re.search(r"\b(ended|refused|heard|waiting|killed|blackout)\b", localized(english))


def test_sentences_that_follow_each_other_are_each_known() -> None:
    whole = 'Step 2 "load \\d" failed: It ended with exit code 2. ' + repetition.NOT_REPEATED
    assert (
        localized(whole)
        == "步骤 2“load \\d”失败： 以退出码 2 结束。 不再重试：它可能已经执行，重复执行可能比不执行更糟。"
    )


def test_what_is_not_known_stays_and_so_does_english() -> None:
    assert localized("50 % of it said so") == "50 % of it said so"
    assert localized("") == ""
    with translation.override("en"):
        assert localized(plan.DOWN) == plan.DOWN
