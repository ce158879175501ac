"""Requests made up from the API's own OpenAPI document, right ones and wrong ones: never a 500, and no answer of a kind
that the document does not name."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.cache import caches
from drf_spectacular.generators import SchemaGenerator
from hypothesis import given
from knox.models import AuthToken
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance

from ects_site.wsgi import application
from logs.models import Run
from pipelines.models import Calendar
from tests.fuzz.amount import oddly
from tests.pipelines import makers
from tests.pipelines.makers import Console


@pytest.fixture
def boss(console: Console, settings: Any) -> User:
    """An administrator on a console that holds one of everything."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    caches["process"].clear()
    node, task = makers.node(), makers.task()
    pipeline = makers.pipeline(tasks=[task], nodes=[node])
    Calendar.objects.create(name="holidays")
    makers.secret("PASSWORD", "hidden")
    now = datetime.now(UTC)
    Run.objects.create(
        uuid=uuid.uuid4(), pipeline=pipeline.pk, pipeline_name="p1", node=node.pk, node_name="n1", state="running",
        scheduled_at=now, started_at=now,
    )  # fmt: skip
    return User.objects.create_superuser("boss", "boss@example.org", "secret")


def signed_in(user: User) -> dict[str, str]:
    """By a token of its own for each request: one of the operations ends it."""
    return {"Authorization": f"Bearer {AuthToken.objects.create(user)[1]}"}


schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
schema.app = application


def test_no_request_is_an_error_of_ours(boss: User) -> None:
    """One operation after the other on the same console, so that what one has made or broken meets the next."""
    asked = 0

    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        case.call_and_validate(checks=[not_a_server_error, content_type_conformance], headers=signed_in(boss))

    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        oddly(given(case=operation.as_strategy())(ask))()
    assert asked > 3 * len(operations) > 100
