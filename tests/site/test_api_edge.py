"""The edge of the API: signing in by token and by session, and errors that programs can read."""

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import caches
from rest_framework.test import APIClient

from ects_site.tokens import TokenView

TOKEN = "/api/v1/auth/token/"


@pytest.fixture(autouse=True)
def quick(settings) -> None:
    """Throttling begins anew, and passwords are cheap."""
    caches["process"].clear()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def client() -> APIClient:
    return APIClient(raise_request_exception=False)


@pytest.fixture
def boss(db):
    return get_user_model().objects.create_superuser("boss", "boss@example.org", " right $ ")


def _sign_in(client: APIClient, password: str, name: str = "boss"):
    return client.post(TOKEN, {"username": name, "password": password}, format="json")


def test_a_token_opens_the_api(client: APIClient, boss) -> None:
    reply = _sign_in(client, " right $ ")
    assert reply.status_code == 200
    assert list(reply.json()) == ["token"]
    assert client.get("/api/v1/tasks/").status_code == 401
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {reply.json()['token']}")
    assert client.get("/api/v1/tasks/").status_code == 200
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {reply.json()['token'][:-1]}")
    assert client.get("/api/v1/tasks/").status_code == 401


@pytest.mark.parametrize(("name", "password"), [("boss", "wrong"), ("nobody", " right $ "), ("boss", "right $")])
def test_a_wrong_password_is_401(client: APIClient, boss, name: str, password: str) -> None:
    reply = _sign_in(client, password, name)
    assert reply.status_code == 401
    assert reply["WWW-Authenticate"] == "Bearer"


def test_one_who_has_left_gets_no_token(client: APIClient, boss) -> None:
    boss.is_active = False
    boss.save()
    assert _sign_in(client, " right $ ").status_code == 401


@pytest.mark.parametrize("body", [{}, {"username": "boss"}, {"username": "boss", "password": ""}, [], "x", None])
def test_bad_input_is_400(client: APIClient, boss, body) -> None:
    assert client.post(TOKEN, body, format="json").status_code == 400


def test_guessing_is_stopped(client: APIClient, boss, settings) -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert _sign_in(client, "wrong").status_code == 401
    assert _sign_in(client, "wrong").status_code == 429
    reply = _sign_in(client, " right $ ")
    assert reply.status_code == 429
    assert reply.json()["detail"].startswith("Too many wrong passwords")
    page = client.post("/admin/login/", {"username": "boss", "password": " right $ "})
    assert page.status_code == 429
    assert "<h1>You may not sign in now</h1>" in page.content.decode()
    assert int(page.headers["Retry-After"]) > 0


def test_the_session_of_the_admin_works_too(client: APIClient, boss) -> None:
    signed_in = client.post("/admin/login/", {"username": "boss", "password": " right $ "})
    assert signed_in.status_code == 302
    assert client.get("/api/v1/tasks/").status_code == 200
    strict = APIClient(enforce_csrf_checks=True)
    strict.force_login(boss)
    assert strict.post("/api/v1/tasks/", {}, format="json").status_code == 403


def test_a_browser_gets_a_page(client: APIClient, boss) -> None:
    client.force_login(boss)
    reply = client.get("/api/v1/", HTTP_ACCEPT="text/html,application/xhtml+xml,*/*;q=0.8")
    assert reply["Content-Type"].startswith("text/html")
    for text in ("<title>API | ECTS</title>", 'href="/admin/"', 'href="/api/v1/docs/"'):
        assert text in reply.content.decode()
    assert set(client.get("/api/v1/").json()) >= {"tasks", "pipelines", "nodes", "runs", "secrets", "enrolment-tokens"}


def test_what_is_not_there_is_json_below_the_api(client: APIClient, db) -> None:
    reply = client.get("/api/v1/nothing/")
    assert reply.status_code == 404
    assert "/api/v1/" in reply.json()["detail"]
    assert client.get("/nothing/")["Content-Type"].startswith("text/html")


def test_an_error_of_ours_is_json_below_the_api(client: APIClient, monkeypatch: pytest.MonkeyPatch, db) -> None:
    monkeypatch.setattr(TokenView, "post", lambda *arguments: 1 / 0)
    reply = client.post(TOKEN, {}, format="json")
    assert reply.status_code == 500
    assert list(reply.json()) == ["detail"]


def test_the_root_leads_to_the_admin(client: APIClient) -> None:
    assert client.get("/")["Location"] == "/admin/"


def test_chinese(client: APIClient, boss, settings) -> None:
    client.force_login(boss)
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/admin/"})
    assert 'lang="zh-hans"' in client.get("/admin/").content.decode()
    assert "历史" in client.get(f"/admin/auth/user/{boss.pk}/change/").content.decode()
