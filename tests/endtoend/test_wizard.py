"""``manage.py init --mode web`` in a browser: from the address in the terminal to a run that succeeded."""

from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.endtoend.axe import barriers
from tests.endtoend.client import wait_for
from tests.site.processes import wait_for_line
from tests.site.wizard import PASSWORD, Wizard, wizard

STEPS = ("etcd", "database", "keys", "administrator", "mail", "address")


def test_from_the_printed_address_to_a_run_that_succeeded(browser: Browser, tmp_path: Path) -> None:
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    with wizard(tmp_path) as it:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(it.address)
        assert page.url == f"{_url(it)}/setup/etcd/", "the token is gone from the address"
        _fill_in(page)
        plain = _without_scripts(browser, page, it)
        page.get_by_role("button", name="Set ECTS up").click()
        plain.goto(f"{_url(it)}/setup/progress/")
        # Both wait through the change of hands: neither is turned away, and neither sees an error.
        page.wait_for_url("**/admin/login/**", timeout=90_000)
        plain.wait_for_url("**/admin/login/**", timeout=90_000)
        page.fill("[name=username]", "boss")
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/admin/")
        wait_for_line(it.log, "ECTS is ready", 60)

        def has_succeeded() -> bool:
            page.goto(f"{_url(it)}/admin/logs/run/")
            return page.locator("#result_list", has_text="Succeeded").count() > 0

        wait_for("the example has run", has_succeeded, 120)
        page.goto(f"{_url(it)}/setup/etcd/")
        assert page.url == f"{_url(it)}/admin/", "the wizard's addresses lead to the console"
    assert complaints == []


def _url(it: Wizard) -> str:
    return f"http://127.0.0.1:{it.port}"


def _fill_in(page: Page) -> None:
    """By keyboard; each page, also with errors, is looked at by axe in a light and in a dark scheme."""
    for step in STEPS:
        expect(page.locator("nav [aria-current=step]")).to_have_attribute("href", f"/setup/{step}/")
        _look(page)
        if step == "administrator":
            page.keyboard.press("Tab")
            page.fill("[name=name]", "boss")
            page.fill("[name=email]", "boss@example.org")
            page.fill("[name=password]", "short")
            page.fill("[name=again]", "shorter")
            page.keyboard.press("Enter")
            expect(page.locator("#id_password_error")).to_contain_text("too short")
            expect(page.locator("[name=email]")).to_have_value("boss@example.org")
            _look(page)
            page.fill("[name=password]", PASSWORD)
            page.fill("[name=again]", PASSWORD)
            page.keyboard.press("Enter")
        elif step == "address":
            page.focus("[name=url]")
            page.keyboard.press("Enter")
        else:
            page.focus("[name=choice]:checked")
            page.keyboard.press("Enter")
        page.wait_for_url(lambda url, step=step: f"/{step}/" not in url)
    _look(page)


def _look(page: Page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert barriers(page) == [], (page.url, scheme)


def _without_scripts(browser: Browser, page: Page, it: Wizard) -> Page:
    """The same visitor in Chinese, on a phone, without scripts: the style sheet alone hides and shows."""
    plain = browser.new_context(
        java_script_enabled=False,
        locale="zh-CN",
        viewport={"width": 390, "height": 844},
        storage_state=page.context.storage_state(),
    ).new_page()
    plain.goto(f"{_url(it)}/setup/database/")
    expect(plain.locator("h1")).to_have_text("数据库")
    expect(plain.locator("[name=host]")).to_be_hidden()
    plain.check("[name=choice][value=given]")
    plain.fill("[name=host]", "/nowhere")
    plain.get_by_role("button", name="测试并继续").click()
    expect(plain.locator("#id_host_error")).to_contain_text("没有服务器监听套接字 /nowhere")
    plain.check("[name=choice][value=own]")
    plain.get_by_role("button", name="测试并继续").click()
    expect(plain.locator("h1")).to_have_text("安装")
    width = plain.evaluate("document.documentElement.scrollWidth")
    assert width == 390, "nothing is wider than the phone"
    return plain
