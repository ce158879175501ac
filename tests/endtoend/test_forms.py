"""The pipeline's form in a browser: presets, the builder, steps dragged, where it will run."""

import secrets

from playwright.sync_api import Page, expect

from tests.endtoend.installation import Installation


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


def test_the_next_fires_follow_the_limits_of_the_schedule(ects: Installation, page: Page) -> None:
    page.goto(f"{ects.url}/admin/pipelines/pipeline/add/")
    page.get_by_role("button", name="Daily at 03:00").click()
    page.get_by_text("Limits of the schedule").click()
    page.locator("#id_starts_at_0").fill("2035-06-01")
    page.locator("#id_starts_at_1").fill("12:00:00")
    preview = page.locator("#schedule-preview")
    expect(preview.locator(".ects-fire").first).to_contain_text("2035-06-02 03:00:00")
    page.locator("#id_timezone").fill("Europe/Paris")
    page.locator("#id_schedule").fill("30 2 30 3 *")
    expect(preview.locator(".ects-fire").first).to_contain_text("2036-03-30 03:00:00")
    page.locator("#id_dst_gap").select_option("skip")
    expect(preview.locator(".ects-fire").first).to_contain_text("2037-03-30 02:30:00")


def _stages(ects: Installation, pipeline: str) -> list[list[int]]:
    """The tasks by stages, as they are saved."""
    found: dict[int, list[int]] = {}
    for step in ects.get(f"pipelines/{pipeline}/")["steps"]:
        found.setdefault(step["position"], []).append(step["task"])
    return [found[position] for position in sorted(found)]


def _board(ects: Installation, page: Page) -> tuple[str, list[int]]:
    """The form of a pipeline with three steps, one after the other: its id, and their tasks."""
    tasks = [ects.task("shell", "true", name=f"{name}-{ects.port}-{secrets.token_hex(2)}") for name in "abc"]
    pipeline = ects.pipeline("@manual", [{"task": task, "position": place} for place, task in enumerate(tasks)])
    page.goto(f"{ects.url}/admin/pipelines/pipeline/{pipeline}/change/")
    expect(page.locator(".ects-board-stage")).to_have_count(3)
    return pipeline, tasks


def _save(page: Page) -> None:
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("body")).to_contain_text("was changed successfully")


def test_a_double_click_saves_once_and_asks_nothing(ects: Installation, page: Page) -> None:
    _board(ects, page)
    page.get_by_label("Description").fill("clicked twice")
    page.get_by_role("button", name="Save and continue editing").dblclick()
    expect(page.locator("body")).to_contain_text("was changed successfully")
    expect(page.locator("body")).not_to_contain_text("changed after you opened this page")


def test_steps_are_dragged_into_their_order_and_side_by_side(ects: Installation, page: Page) -> None:
    pipeline, (a, b, c) = _board(ects, page)
    cards = page.locator(".ects-board-card")
    cards.nth(2).drag_to(page.locator(".ects-board-gap").first)
    cards.nth(2).drag_to(page.locator(".ects-board-stage").nth(1))
    expect(page.locator(".ects-board-stage")).to_have_count(2)
    _save(page)
    assert _stages(ects, pipeline) == [[c], [a, b]]
    page.locator(".ects-board-card").nth(1).drag_to(page.locator(".ects-board-gap").last)
    _save(page)
    assert _stages(ects, pipeline) == [[c], [b], [a]]


def test_steps_are_moved_by_the_keyboard(ects: Installation, page: Page) -> None:
    pipeline, (a, b, c) = _board(ects, page)
    first = page.locator(".ects-board-card").first.get_by_role("button").nth(1)
    first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-told]")).to_contain_text("stage 1, side by side with b-")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-told]")).to_contain_text("stage 2, by itself")
    later = page.locator(".ects-board-card").first.get_by_role("button", name="Later: b-")
    later.press("Enter")
    _save(page)
    assert _stages(ects, pipeline) == [[a, b], [c]]


def test_a_new_step_finds_its_place(ects: Installation, page: Page) -> None:
    pipeline, (a, b, c) = _board(ects, page)
    name = f"new-{secrets.token_hex(2)}"
    added = ects.task("shell", "true", name=name)
    page.get_by_text("Add another Step").click()
    _choose(page, "#steps-group .form-group:not(.empty-form) .select2-selection", name)
    expect(page.locator(".ects-board-stage")).to_have_count(4)
    page.locator(".ects-board-card").last.drag_to(page.locator(".ects-board-stage").first)
    _save(page)
    assert _stages(ects, pipeline) == [[a, added], [b], [c]]


def test_what_stood_beside_a_step_that_is_removed_does_not_join_the_stage_before(
    ects: Installation, page: Page
) -> None:
    pipeline, (a, _b, c) = _board(ects, page)
    page.locator(".ects-board-card").nth(2).get_by_role("button", name="Earlier: c-").click()
    expect(page.locator(".ects-board-stage")).to_have_count(2)
    expect(page.locator("#steps-data h3 strong").nth(1)).to_contain_text("2. b-")
    page.locator("#steps-data .form-group", has=page.locator("[name=steps-1-task]")).get_by_label(
        "Delete", exact=True
    ).click()
    expect(page.locator(".ects-board-card")).to_have_count(2)
    expect(page.locator(".ects-board-stage")).to_have_count(2)
    _save(page)
    assert _stages(ects, pipeline) == [[a], [c]]


def test_the_form_shows_where_it_will_run(ects: Installation, page: Page) -> None:
    page.goto(f"{ects.url}/admin/pipelines/pipeline/add/")
    expect(page.locator("#places")).to_contain_text("Nowhere yet")
    page.locator("#id_node_labels").fill("site=nowhere")
    expect(page.locator("#places")).to_contain_text("it will run nowhere")
    page.locator("#id_node_labels").fill("")
    page.select_option("#id_bindings-0-node", index=1)
    expect(page.locator("#places")).to_contain_text("Each fire on one node")


def _choose(page: Page, box: str, name: str) -> None:
    """In the last of a kind of boxes that search."""
    page.locator(box).last.click()
    page.locator(".select2-dropdown .select2-search__field").fill(name)
    page.locator(".select2-results__option", has_text=name).click()


def test_a_task_is_tried_on_a_node(ects: Installation, page: Page) -> None:
    task = ects.task("shell", "echo tried by $ECTS_PIPELINE_NAME")
    page.goto(f"{ects.url}/admin/tasks/task/{task}/change/")
    page.get_by_role("link", name="Try it").click()
    page.locator("#modal-content").get_by_role("button", name="Try it").click()
    expect(page.locator("[data-run-state]")).to_have_text("Succeeded")
    expect(page.locator("[data-step-output]")).to_contain_text("tried by")
    assert "/logs/run/" in page.url
