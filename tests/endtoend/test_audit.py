"""What was changed in a form is read behind its History button, and found in the audit."""

from playwright.sync_api import Page, expect

from tests.endtoend.installation import Installation


def test_a_change_is_read_where_it_was_made(ects: Installation, page: Page) -> None:
    task = ects.task("shell", "echo audited", name="audited task")
    pipeline = ects.pipeline("0 0 * * *", [{"task": task}], name="audited-nightly", enabled=False)
    form = f"/admin/pipelines/pipeline/{pipeline}/change/"
    page.goto(ects.url + form)
    page.locator("#id_schedule").fill("30 0 * * *")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("body")).to_contain_text("was changed successfully")
    page.get_by_role("link", name="History").click()
    newest = page.locator(".ects-journal > li").first
    expect(newest).to_contain_text("admin")
    expect(newest).to_contain_text("Changed")
    expect(newest.locator("dt")).to_have_text(["Schedule"])
    expect(newest.locator("dd")).to_have_text("0 0 * * * → 30 0 * * *")
    expect(page.locator(".ects-journal > li")).to_have_count(2)
    page.locator("select[name=what]").select_option(label="Added")
    page.get_by_role("button", name="Show").click()
    added = page.locator(".ects-journal > li")
    expect(added).to_have_count(1)
    expect(added).to_contain_text("Step: 1. audited task")
    page.get_by_role("link", name="Open it").click()
    page.wait_for_url(f"**{form}")


def test_an_earlier_version_is_brought_back(ects: Installation, page: Page) -> None:
    task = ects.task("http", url="http://127.0.0.1/one", name="brought back")
    ects.api.patch(f"{ects.url}/api/v1/tasks/{task}/", json={"url": "http://127.0.0.1/two"}).raise_for_status()
    page.goto(f"{ects.url}/admin/tasks/task/{task}/change/")
    page.get_by_role("link", name="History").click()
    page.get_by_role("link", name="Versions", exact=True).click()
    page.get_by_role("link", name="brought back").last.click()
    expect(page.get_by_label("Url")).to_have_value("http://127.0.0.1/one")
    expect(page.get_by_label("Recipients")).to_be_hidden()
    expect(page.get_by_role("link", name="History")).to_have_attribute("href", f"/admin/tasks/task/{task}/history/")
    page.get_by_role("button", name="Revert").click()
    page.wait_for_url("**/admin/tasks/task/")
    assert ects.get(f"tasks/{task}/")["url"] == "http://127.0.0.1/one"
