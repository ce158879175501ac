"""The console of a run's page in a browser: colours, find, wrap, links to lines. (Following: tests/endtoend.)"""

import re
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from logs.models import Run
from tests.logs.test_run_page import AT, at, step, write
from tests.logs.test_runs_api import make

Open = Callable[..., Page]


@pytest.fixture
def opened(live_server: LiveServer, browser: Browser) -> Iterator[Open]:
    """The page of a run whose only step wrote this. What the page complains of fails the test."""
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("admin"))
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
    page = context.new_page()
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def go(*outputs: str, anchor: str = "") -> Page:
        run = make(Run.objects.count(), started_at=AT, finished_at=at(1))
        for index, text in enumerate(outputs):
            step(run, index, 0, 1)
            write(run, index, (0, text.encode()))
        page.goto(f"{live_server.url}/admin/logs/run/{run.pk}/change/{anchor}")
        return page

    yield go
    context.close()
    assert complaints == []


def pieces(page: Page) -> list[list[str]]:
    """Text, classes and colours of every coloured piece."""
    script = "all => all.map(e => [e.textContent, e.className, e.style.color, e.style.backgroundColor])"
    found: list[list[str]] = page.locator(".ects-log-line > span > span").evaluate_all(script)
    return found


def lines(page: Page) -> list[str]:
    return page.locator(".ects-log-line > span").all_text_contents()


def test_colours_are_classes_and_nothing_of_a_job_is_markup(opened: Open) -> None:
    page = opened(
        "\x1b[1;31mred\x1b[0m plain \x1b[94;48;5;3mblue\x1b[39;49m\x1b[0m\n"
        "\x1b[38;5;208morange\x1b[m \x1b[38;2;1;2;300mtrue\x1b[0m \x1b[38:5:244mgrey\x1b[0m\n"
        "<img src=x onerror=alert(1)>\x1b[3m</span><script>alert(2)</script>\x1b[23mend\n"
    )
    assert pieces(page) == [
        ["red", "ects-ansi-bold ects-ansi-front-1", "", ""],
        ["blue", "ects-ansi-front-12 ects-ansi-back-3", "", ""],
        ["orange", "", "rgb(255, 135, 0)", ""],
        ["true", "", "rgb(1, 2, 255)", ""],
        ["grey", "", "rgb(128, 128, 128)", ""],
        ["</span><script>alert(2)</script>", "ects-ansi-italic", "", ""],
    ]
    assert lines(page)[2] == "<img src=x onerror=alert(1)></span><script>alert(2)</script>end\n"
    assert page.locator("[data-step-output] :is(img, script)").count() == 0


def test_sequences_that_are_no_colours_are_not_shown(opened: Open) -> None:
    page = opened(
        "\x1b]0;a title\x07\x1b[2K\x1b[1Gone\x1b(B\x1b[?25l\n"
        "\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\ \x07bell\x00\n"
        "10 %\r50 %\r100 %\r\ntab\there\x1b[K\n\n \x1b[31"
    )
    assert lines(page) == ["one\n", "link bell\n", "100 %\n", "tab\there\n", "\n", " "]


def test_a_line_is_linked_to_and_shown(opened: Open) -> None:
    text = "".join(f"line {number}\n" for number in range(1, 3001))
    page = opened("short\n", text, anchor="#step-1-L2500")
    aimed = page.locator(".ects-aimed")
    expect(aimed).to_have_text("line 2500")
    expect(aimed).to_be_in_viewport()
    page.locator("#step-1-L2498 > a").click()
    expect(aimed).to_have_text("line 2498")
    assert page.url.endswith("#step-1-L2498")
    page = opened("one\ntwo\n", anchor="#L2")
    expect(page.locator(".ects-aimed")).to_have_text("two")


def test_find_goes_from_place_to_place(opened: Open) -> None:
    page = opened("Needle one\nnothing\na nee\x1b[31mdle and a needle\n", "x\n" * 500 + "NEEDLE\n")
    find, count = page.locator("[data-find]"), page.locator("[data-count]")
    find.fill("needle")
    expect(count).to_have_text("1 of 4")
    painted = "() => [...CSS.highlights.get('ects-found')].map(String)"
    assert page.evaluate(painted) == ["Needle", "needle", "needle", "NEEDLE"]
    find.press("Shift+Enter")
    expect(count).to_have_text("4 of 4")
    expect(page.locator("#step-1-L501")).to_be_in_viewport()
    page.locator("[data-find-go='1']").click()
    expect(count).to_have_text("1 of 4")
    find.fill("haystack")
    expect(count).to_have_text("nothing")
    find.fill("")
    expect(count).to_have_text("")
    assert page.evaluate(painted) == []


def test_wrap_is_remembered(opened: Open) -> None:
    page = opened("x" * 3000 + "\n")
    line, wrap = page.locator(".ects-log-line"), page.locator("[data-wrap]")
    expect(wrap).to_have_attribute("aria-pressed", "true")
    high = line.bounding_box()["height"]  # type: ignore[index]
    wrap.click()
    expect(wrap).to_have_attribute("aria-pressed", "false")
    assert line.bounding_box()["height"] < high / 4  # type: ignore[index]
    page = opened("x" * 3000 + "\n")
    expect(page.locator("[data-wrap]")).to_have_attribute("aria-pressed", "false")


def test_follow_shows_the_end(opened: Open) -> None:
    page = opened("".join(f"line {number}\n" for number in range(1, 501)))
    expect(page.locator("#step-0-L500")).not_to_be_in_viewport()
    page.locator("[data-follow]").click()
    page.locator("[data-step-output]").scroll_into_view_if_needed()
    expect(page.locator("#step-0-L500")).to_be_in_viewport()


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out(opened: Open, width: int) -> None:
    page = opened("y" * 500 + "\n", "z\n")
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_many_lines_are_one_each(opened: Open) -> None:
    page = opened("".join(f"{number}\n" for number in range(1, 10_001)))
    assert page.locator(".ects-log-line").count() == 10_000
    text = page.locator("[data-step-output]").text_content() or ""
    assert re.sub(r"\s+", ",", text) == ",".join(map(str, range(1, 10_001))) + ","
