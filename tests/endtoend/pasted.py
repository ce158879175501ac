"""The line that the page of adding a node gives to paste on a bare host."""

import re
from html import unescape

import httpx

from tests.endtoend.installation import Installation


def pasted_line(ects: Installation, query: str = "", **wish: str) -> str:
    """``query`` goes to the page, such as ``?node=…``; ``wish`` fills its form."""
    with httpx.Client(base_url=ects.url, follow_redirects=True, timeout=30) as browser:

        def post(path: str, **form: str) -> str:
            found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(path).text)
            assert found
            return browser.post(path, data={"csrfmiddlewaretoken": found[1], **form}).text

        post("/admin/login/?next=/admin/", username="admin", password=ects.password)
        page = post(f"/admin/workers/node/add/{query}", uses="1", hours="1", **wish)
    line = re.search(r'<code id="bare"[^>]*>(.*?)</code>', page)
    assert line
    return unescape(line[1])
