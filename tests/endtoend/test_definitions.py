"""What people do with definitions in a browser beside filling in their forms: make, choose, narrow, leave, delete."""

import secrets

import pytest
from playwright.sync_api import Page, expect

from tests.endtoend.installation import Installation

LIST = "/admin/pipelines/pipeline/"


@pytest.fixture
def pipeline(ects: Installation) -> str:
    return ects.pipeline("@manual", [{"task": ects.task("shell", "true")}], name=f"defined-{secrets.token_hex(3)}")


def test_what_is_not_saved_is_not_left_unasked(ects: Installation, page: Page, pipeline: str) -> None:
    page.goto(f"{ects.url}{LIST}{pipeline}/change/")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.get_by_label("Description").click()
    page.keyboard.type("not saved yet")
    page.locator("a[href='/admin/tasks/task/']").first.click()
    expect(page.get_by_label("Description")).to_have_value("not saved yet")
    assert asked == ["beforeunload"]
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(f"**{LIST}")
    assert asked == ["beforeunload"]


def test_a_task_is_made_from_within_a_step(ects: Installation, page: Page) -> None:
    name = f"made-inside-{secrets.token_hex(3)}"
    page.goto(f"{ects.url}{LIST}add/")
    page.locator("#steps-group .form-group:not(.empty-form)").get_by_text("more_vert").first.click()
    with page.expect_popup() as opened:
        page.locator("#add_id_steps-0-task").click()
    popup = opened.value
    popup.get_by_label("Name").fill(name)
    popup.get_by_label("Kind").select_option("mail")
    expect(popup.get_by_label("Recipients")).to_be_visible()
    expect(popup.get_by_label("Interpreter")).to_be_hidden()
    popup.get_by_label("Kind").select_option("shell")
    popup.get_by_role("textbox", name="Content").fill("true")
    popup.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".ects-board-card")).to_contain_text(name)
    expect(page.locator("#steps-data h3 strong").first).to_have_text(f"1. {name}")


def test_chosen_pipelines_are_paused_and_found_by_that(ects: Installation, page: Page, pipeline: str) -> None:
    name = ects.get(f"pipelines/{pipeline}/")["name"]
    row = page.locator("#result_list tbody tr", has_text=name)
    page.goto(f"{ects.url}{LIST}?q={name}")
    row.locator(".action-select").check()
    page.select_option("select[name=action]", "pause_selected")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".ects-confirm")).to_contain_text(name)
    page.locator(".ects-confirm").get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("Paused")
    page.get_by_text("Filters").first.click()
    page.locator("#changelist-filter a[href*='paused__exact=0']").click()
    expect(page.locator("body")).to_contain_text("Nothing matches")


def test_a_mistake_behind_a_tab_is_shown(ects: Installation, page: Page, pipeline: str) -> None:
    page.goto(f"{ects.url}{LIST}{pipeline}/change/")
    grace = page.get_by_label("Misfire grace")
    expect(grace).to_be_hidden()
    page.get_by_text("Missed fires", exact=True).first.click()
    grace.fill("-5")
    page.get_by_text("Publication", exact=True).first.click()
    expect(grace).to_be_hidden()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("body")).to_contain_text("Give a number from 0 to 604800")
    expect(grace).to_have_value("-5")
    expect(grace).to_be_visible()


def test_a_pipeline_is_deleted_after_a_question(ects: Installation, page: Page, pipeline: str) -> None:
    page.goto(f"{ects.url}{LIST}{pipeline}/change/")
    page.get_by_role("link", name="Delete pipeline").click()
    expect(page.locator("body")).to_contain_text("Are you sure you want to delete")
    assert ects.get(f"pipelines/{pipeline}/")
    page.get_by_role("button", name="Yes, I’m sure").click()
    expect(page.locator("body")).to_contain_text("was deleted successfully")
    assert not [one for one in ects.listed("pipelines/") if one["id"] == pipeline]


def test_the_weekdays_of_a_calendar_fit_a_phone(ects: Installation, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{ects.url}/admin/pipelines/calendar/add/")
    page.get_by_role("link", name="Add another Calendar entry").click()
    page.select_option("#id_entries-0-kind", "weekly")
    for name in ("Mon", "Sun"):
        place = page.get_by_role("checkbox", name=name).bounding_box()
        assert place is not None
        assert place["x"] + place["width"] < 374, "within the frame of the entry"
