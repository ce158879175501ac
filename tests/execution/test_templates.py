"""What ``{{ name }}`` means where."""

import pytest

from coordination.documents import TaskDocument
from tests.execution.bench import Bench, pipeline, step
from workers.engine.templates import TemplateError, Templates

VALUES = {"node": "alpha", "outputs.size": "3", "size": "3", "tricky": "{{ secrets.KEY }} \\1"}


@pytest.fixture
def templates() -> Templates:
    """Those of a run with one secret that opens and one that does not."""
    return Templates(lambda: VALUES, {"KEY": "geheim", "EMPTY": ""}, {"KEY", "EMPTY", "LOCKED"})


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("on {{ node }}", "on alpha"),
        ("{{node}}{{  size  }}", "alpha3"),
        ("{{ outputs.size }}", "3"),
        ("{{ secrets.KEY }}", "geheim"),
        ("{{ secrets.EMPTY }}", ""),
        ("{{ tricky }}", "{{ secrets.KEY }} \\1"),
        ("${{ node }} {{ .Names }} {{ node | upper }} {{json .}} {{}} {{ a.b.c }}",) * 2,
        ('{"a": {"b": {"c": 1}}}',) * 2,
    ],
)
def test_filling(templates: Templates, text: str, filled: str) -> None:
    assert templates.fill(text) == filled


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{{ unknown }}", "Nothing is known under the name {{ unknown }}"),
        ("{{ secrets.MISSING }}", "There is no secret named MISSING"),
        ("{{ secrets.LOCKED }}", "The secret LOCKED could not be opened with this node's key"),
    ],
)
def test_what_is_missing_is_named(templates: Templates, text: str, sentence: str) -> None:
    with pytest.raises(TemplateError, match=sentence):
        templates.fill(text)


def test_a_script_keeps_what_may_be_another_programs(templates: Templates) -> None:
    assert templates.fill("{{ unknown }} {{ node }}", lenient=True) == "{{ unknown }} alpha"
    with pytest.raises(TemplateError):
        templates.fill("{{ secrets.MISSING }}", lenient=True)


def test_every_text_of_a_task_is_filled(templates: Templates) -> None:
    text = "{{ node }}"
    task = TaskDocument(
        id=1, name=text, kind="http", content=text, url=text, headers={text: text}, recipients=(text,), subject=text
    )
    filled = templates.task(task)
    assert (filled.name, filled.headers) == (text, {text: "alpha"})
    assert [filled.content, filled.url, *filled.recipients, filled.subject] == ["alpha"] * 4


@pytest.mark.anyio
async def test_a_missing_secret_fails_the_step_at_once(bench: Bench) -> None:
    done = await bench.run(pipeline(step("echo never {{ secrets.TOKEN }}", 1, retries=3)))
    assert done.record.state == "failed"
    assert done.journal.steps()[0].attempts == 1
    assert done.journal.steps()[0].reason == "There is no secret named TOKEN: add it under Secrets."
    assert done.text() == ""


@pytest.mark.anyio
async def test_a_sealed_secret_fails_the_step_with_the_mend(bench: Bench) -> None:
    document = pipeline(step("true", 1, environment={"A": "{{ secrets.TOKEN }}"}), secrets={"TOKEN": "c2VhbGVk"})
    done = await bench.run(document)
    assert "could not be opened with this node's key" in done.record.reason


@pytest.mark.anyio
async def test_secrets_reach_the_script_and_nobody_else(bench: Bench) -> None:
    script = 'printf "%s" "$TOKEN" | wc -c; echo "{{ secrets.TOKEN }}"; exit 1'
    done = await bench.run(pipeline(step(script, 1, environment={"TOKEN": "{{ secrets.TOKEN }}"})), {"TOKEN": "geheim"})
    assert done.text() == "6\n***\n"


@pytest.mark.anyio
async def test_the_facts_of_the_run(bench: Bench) -> None:
    script = "echo {{ scheduled_at }} {{ run_id }} {{ pipeline }} {{ node }} {{ attempt }} {{ BY_HAND }} {{ else }}"
    done = await bench.run(pipeline(script), environment={"BY_HAND": "yes"}, attempt=2)
    assert done.text() == f"2026-03-01T12:30:00Z {done.run} Nightly alpha 2 yes {{{{ else }}}}\n"
