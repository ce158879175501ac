"""The pipeline's form in a browser: presets, the builder, steps dragged, where it will run; and a newcomer's way."""

import re

from playwright.sync_api import Page, expect

from tests.endtoend.installation import Installation
from tests.endtoend.test_browser import page

__all__ = ["page"]


def test_a_schedule_is_built_from_choices(ects: Installation, page: Page) -> None:
    page.goto(f"{ects.url}/admin/pipelines/pipeline/add/")
    preview = page.locator("#schedule-preview")
    page.get_by_role("button", name="Weekdays at 08:00").click()
    expect(page.locator("#id_schedule")).to_have_value("0 8 * * 1-5")
    expect(preview).to_contain_text("Monday through Friday")
    expect(preview.locator(".ects-fire")).to_have_count(5)
    page.select_option("[data-part=kind]", "weekly")
    page.get_by_role("checkbox", name="Sat").check()
    page.get_by_role("checkbox", name="Mon").uncheck()
    page.get_by_label("At", exact=True).fill("17:45")
    expect(page.locator("#id_schedule")).to_have_value("45 17 * * 6")
    expect(preview).to_contain_text("At 17:45, only on Saturday")
    page.select_option("[data-part=kind]", "minutes")
    page.get_by_label("Number").fill("7")
    expect(page.locator("#id_schedule")).to_have_value("@every 7m")
    page.get_by_label("Number").fill("15")
    expect(page.locator("#id_schedule")).to_have_value("*/15 * * * *")
    page.locator("#id_schedule").fill("61 * * * *")
    expect(preview).to_contain_text("61")
    expect(preview.locator(".ects-fire")).to_have_count(0)


def test_steps_are_dragged(ects: Installation, page: Page) -> None:
    tasks = [ects.task("shell", f"echo {number}") for number in range(3)]
    pipeline = ects.pipeline("@manual", [{"task": task, "position": place} for place, task in enumerate(tasks)])
    page.goto(f"{ects.url}/admin/pipelines/pipeline/{pipeline}/change/")
    rows = page.locator("#steps-group .form-group.original")
    expect(rows).to_have_count(3)
    last, first = rows.nth(2).locator(".cursor-move").first, rows.nth(0).locator(".cursor-move").first
    last.scroll_into_view_if_needed()
    last.hover()
    page.mouse.down()
    box = first.bounding_box()
    assert box is not None
    for step in range(1, 11):
        start = last.bounding_box() or box
        page.mouse.move(box["x"] + 5, start["y"] + (box["y"] - 30 - start["y"]) * step / 10, steps=3)
    page.mouse.up()
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("body")).to_contain_text("was changed successfully")
    saved = [step["task"] for step in ects.get(f"pipelines/{pipeline}/")["steps"]]
    assert saved == [tasks[2], tasks[0], tasks[1]]


def test_the_form_shows_where_it_will_run(ects: Installation, page: Page) -> None:
    page.goto(f"{ects.url}/admin/pipelines/pipeline/add/")
    page.locator("#pipeline_form a", has_text=re.compile(r"^\s*Nodes\s*$")).click()
    expect(page.locator("#places")).to_contain_text("Nowhere yet")
    page.locator("#id_node_labels").fill("site=nowhere")
    expect(page.locator("#places")).to_contain_text("it will run nowhere")


def test_a_newcomer_gets_to_a_first_run(ects: Installation, page: Page) -> None:
    """From the sign-in on: a task, a pipeline, a run by hand, its output."""
    page.goto(f"{ects.url}/admin/tasks/task/add/")
    page.fill("#id_name", "hello task")
    page.fill("#id_content", "echo hello from the first run")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto(f"{ects.url}/admin/pipelines/pipeline/add/")
    page.fill("#id_name", "hello pipeline")
    page.get_by_text("Enabled", exact=True).click()
    page.get_by_text("Add another Step").click()
    page.locator("#steps-group .select2-selection").first.click()
    page.locator(".select2-dropdown .select2-search__field").fill("hello task")
    page.locator(".select2-results__option", has_text="hello task").click()
    page.get_by_text("Add another Binding").click()
    page.select_option("#id_bindings-0-node", index=1)
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("body")).to_contain_text("was added successfully")
    page.get_by_role("link", name="Run now").or_(page.get_by_role("button", name="Run now")).first.click()
    page.locator("#modal-content").get_by_role("button", name="Run now").click()
    expect(page.locator("body")).to_contain_text("sent to its nodes")
    page.goto(f"{ects.url}/admin/logs/run/?q=hello+pipeline")
    page.locator("#result_list th a").last.click()
    expect(page.locator("[data-run-state]")).to_have_text("Succeeded", timeout=20_000)
    expect(page.locator("[data-step-output]")).to_contain_text("hello from the first run")


def test_a_task_is_tried_on_a_node(ects: Installation, page: Page) -> None:
    task = ects.task("shell", "echo tried by $ECTS_PIPELINE_NAME")
    page.goto(f"{ects.url}/admin/tasks/task/{task}/change/")
    page.get_by_role("link", name="Try it").click()
    page.locator("#modal-content").get_by_role("button", name="Try it").click()
    expect(page.locator("[data-run-state]")).to_have_text("Succeeded", timeout=20_000)
    expect(page.locator("[data-step-output]")).to_contain_text("tried by")
    assert "/logs/run/" in page.url
