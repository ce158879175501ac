"""Tokens of the API come to an end: by whoever holds one, and by an administrator."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken
from rest_framework.test import APIClient

from audit.models import Entry

pytestmark = pytest.mark.django_db

TOKEN = "/api/v1/auth/token/"


@pytest.fixture
def robot() -> User:
    return User.objects.create_user("robot", is_superuser=True)


def _holder(user: User) -> APIClient:
    _row, token = AuthToken.objects.create(user)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    assert client.get("/api/v1/tasks/").status_code == 200
    return client


def _left() -> list[tuple[str, str, str]]:
    """Who ended whose tokens, and from where."""
    return list(Entry.objects.filter(what=Entry.What.SIGNED_OUT).values_list("by", "name", "via"))


def test_whoever_holds_one_ends_it(robot: User) -> None:
    """And no other."""
    ended, other = _holder(robot), _holder(robot)
    assert ended.delete(TOKEN).status_code == 204
    assert ended.get("/api/v1/tasks/").status_code == 401
    assert ended.delete(TOKEN).status_code == 401
    assert other.get("/api/v1/tasks/").status_code == 200
    assert _left() == [("robot", "robot", "api")]


def test_nothing_ends_without_one(robot: User) -> None:
    """A session of the console is none: a foreign page could use it."""
    _holder(robot)
    client = APIClient()
    client.force_login(robot)
    assert client.delete(TOKEN).status_code == 401
    assert AuthToken.objects.count() == 1


def test_an_administrator_ends_those_of_a_user(robot: User, admin_client: Client, admin_user: User) -> None:
    holders, own = [_holder(robot), _holder(robot)], _holder(admin_user)
    page = f"/admin/auth/user/{robot.pk}/change/"
    assert "Revoke API tokens" in admin_client.get(page).content.decode()
    reply = admin_client.post(reverse("admin:auth_user_revoke_tokens", args=[robot.pk]), {"_form_submitted": "True"})
    assert reply.headers["HX-Redirect"] == page
    assert [holder.get("/api/v1/tasks/").status_code for holder in holders] == [401, 401]
    assert own.get("/api/v1/tasks/").status_code == 200
    assert _left() == [("admin", "robot", "console")]
    left = admin_client.get(page).content.decode()
    assert "2 tokens were revoked." in left
    assert "Revoke API tokens" not in left


@pytest.mark.parametrize("key", ["nobody", "999"])
def test_of_a_user_who_is_none_nothing_ends(admin_client: Client, key: str) -> None:
    page = reverse("admin:auth_user_revoke_tokens", args=[key])
    assert admin_client.get(page).status_code == 403
    assert admin_client.post(page, {"_form_submitted": "True"}).status_code == 404
