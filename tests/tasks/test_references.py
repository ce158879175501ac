"""The console and the worker read the texts of tasks by the same grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.references import secret_names, secrets_of_task
from tasks.validation import expect_status_error
from tests.pipelines import makers
from workers.engine.runners.http import expected_statuses
from workers.engine.templates import Templates


class Asked(dict):
    """Secrets of any name, which remember who was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return True

    def __getitem__(self, name: str) -> str:
        return "value"


def asked_by_the_worker(text: str) -> set[str]:
    asked = Asked()
    Templates(dict, asked, set()).fill(text, lenient=True)
    return asked.names


PIECES = ["{{", "}}", "secrets.", "A", "b_1", " ", "\n", "$", "1", ".", "{", "x"]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_the_worker_is_sent_exactly_the_secrets_it_will_ask_for(text):
    assert secret_names([text]) == asked_by_the_worker(text)


def test_all_texts_of_a_task_are_looked_at(db):
    every = makers.task(
        kind="hook", content="{{secrets.A}}", url="http://{{ secrets.B }}", headers={"X": "{{ secrets.C }}"},
        subject="{{ secrets.D }}", recipients=["{{ secrets.E }}"], signing_secret="F",
    )  # fmt: skip
    assert secrets_of_task(every) == set("ABCDEF")


@pytest.mark.parametrize("text", ["", "200", "2xx", "2XX", "200-299,304", " 200 , 404 ", "1xx,500-599"])
def test_statuses_that_both_sides_take(text):
    assert expect_status_error(text.strip()) == ""
    assert expected_statuses(text)


@pytest.mark.parametrize("text", ["20", "6000", "abc", "200;300", "200-", "-200", ",", "200,,300", "2x", "299-200"])
def test_statuses_that_the_console_refuses(text):
    assert expect_status_error(text)
