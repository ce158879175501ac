"""What the console leads to at its side, and where it leaves those who sign out."""

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

pytestmark = pytest.mark.django_db


def _led_to(client: Client) -> list[str]:
    page = client.get("/admin/").content.decode()
    side = page[page.index('id="nav-sidebar"') : page.index('id="main"')]
    return [address for address in re.findall(r'href="([^"]+)"', side) if re.match(r"/(admin/\w+/\w+|api)/", address)]


def test_the_administrator_is_led_to_every_page(admin_client: Client) -> None:
    kinds = ["logs/run", "logs/retention", "workers/node", "pipelines/control", "pipelines/pipeline"]
    kinds += ["pipelines/calendar", "tasks/task", "tasks/secret", "auth/user", "auth/group", "audit/entry"]
    led = _led_to(admin_client)
    assert led == [*(f"/admin/{kind}/" for kind in kinds), "/api/v1/"]
    assert [admin_client.get(address, follow=True).status_code for address in led] == [200] * 12


def test_a_user_is_led_only_to_what_may_be_seen(client: Client) -> None:
    """Each other page would answer that it is not allowed."""
    user = User.objects.create_user("otto", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_run"))
    client.force_login(user)
    led = _led_to(client)
    assert led == ["/admin/logs/run/", "/admin/audit/entry/", "/api/v1/"]
    assert [client.get(address).status_code for address in led] == [200] * 3


def test_who_signs_out_is_at_the_sign_in(admin_client: Client) -> None:
    """A page that is good for something, in the frame and the languages of the console."""
    reply = admin_client.post("/admin/logout/")
    assert (reply.status_code, reply.headers["Location"]) == (302, "/admin/login/")
    assert admin_client.get("/admin/").status_code == 302


def test_who_is_added_can_sign_in(admin_client: Client, client: Client) -> None:
    """The form offers it; without it the sign-in would call the right password wrong."""
    address = "/admin/auth/user/add/"
    page = admin_client.get(address).content.decode()
    [field] = re.findall(r"<input[^>]*name=\"is_staff\"[^>]*>", page)
    assert "checked" in field
    form = {"username": "eva", "usable_password": "true", "password1": "Abendrot-55x", "password2": "Abendrot-55x"}
    assert admin_client.post(address, {**form, "is_staff": "on"}).status_code == 302
    reply = client.post("/admin/login/", {"username": "eva", "password": "Abendrot-55x"})
    assert (reply.status_code, reply.headers.get("Location")) == (302, "/admin/")


def test_a_form_from_before_another_sign_in_says_what_to_do(admin_user: User) -> None:
    """As when one signs out and in again in another tab."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    reply = client.post("/admin/tasks/task/add/", {"name": "long"}, headers={"Accept-Language": "zh-hans"})
    assert reply.status_code == 403
    page = reply.content.decode()
    assert "没有保存任何内容" in page
    assert "ects/favicon" in page


def test_an_error_of_ours_is_told_in_the_console_s_look(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ects_site.dashboard.page.last_day", lambda instant: 1 / 0)
    admin_client.raise_request_exception = False
    reply = admin_client.get("/admin/", headers={"Accept-Language": "zh-hans"})
    assert reply.status_code == 500
    assert "<h1>服务器出现错误</h1>" in reply.content.decode()
    assert "ects/favicon" in reply.content.decode()
