"""The API's documentation in a real browser: nothing is forbidden by our own policy, nothing comes from elsewhere."""

import pytest
from playwright.sync_api import Browser, Page


@pytest.fixture
def page(browser: Browser) -> Page:
    return browser.new_page()


@pytest.mark.django_db(transaction=True)
def test_the_documentation_of_the_api(live_server, page: Page) -> None:
    trouble: list[str] = []
    elsewhere: list[str] = []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: elsewhere.append(request.url))
    reply = page.goto(f"{live_server.url}/api/v1/docs/")
    assert reply is not None
    assert "'unsafe-inline'" not in reply.headers["content-security-policy"].partition("script-src")[2].split(";")[0]
    page.get_by_text("/api/v1/pipelines/{id}/run/").first.wait_for(timeout=20_000)
    assert trouble == []
    assert [url for url in elsewhere if not url.startswith((live_server.url, "data:"))] == []
