"""Requests made up from the API's own OpenAPI document, right ones and wrong ones: never a 500, and no answer of a kind
that the document does not name."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from django.contrib.auth import get_user_model
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
def token(console: Console, settings: Any) -> str:
    """An administrator's, on a console that holds one of everything."""
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
    boss = get_user_model().objects.create_superuser("boss", "boss@example.org", "secret")
    return str(AuthToken.objects.create(boss)[1])


def signed_in(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
schema.app = application


def test_no_request_is_an_error_of_ours(token: str) -> None:
    """One operation after the other on the same console, so that what one has made or broken meets the next."""
    asked = 0

    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        case.call_and_validate(checks=[not_a_server_error, content_type_conformance], headers=signed_in(token))

    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        oddly(given(case=operation.as_strategy())(ask))()
    assert asked > 3 * len(operations) > 100
