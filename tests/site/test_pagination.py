"""Lists over the API take any page that is asked for."""

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["tasks", "pipelines", "nodes", "secrets", "enrolment-tokens"])
@pytest.mark.parametrize("value", ["", "x", "-1", "0", "9" * 50])
def test_odd_pages_are_no_errors(client: Client, path: str, value: str) -> None:
    client.force_login(User.objects.create_superuser("admin"))
    for name in ("limit", "offset"):
        assert client.get(f"/api/v1/{path}/", {name: value}).status_code == 200
