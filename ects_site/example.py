"""What a new installation holds: an administrator, and an example pipeline with all its parts."""

import secrets

from django.contrib.auth import get_user_model
from django.db import transaction

from ects_site.environment import secret_from
from pipelines.models import Binding, Pipeline, Step
from tasks.models import Secret, Task
from workers.models import Node

ADMIN = "admin"
CHECK = "example: check the console"


def make_admin() -> str | None:
    """The password of the new administrator; None when there are users already."""
    users = get_user_model().objects
    if users.exists():
        return None
    password = secret_from("ECTS_ADMIN_PASSWORD") or secrets.token_urlsafe(12)
    users.create_superuser(ADMIN, "admin@localhost", password)
    return password


@transaction.atomic
def make_example(server_url: str, node: Node) -> None:
    """A pipeline that fires every ten seconds on ``node``."""
    Secret.objects.get_or_create(name="HOOK_SIGNING_KEY", defaults={"ciphertext": _secret(secrets.token_hex(32))})
    Secret.objects.get_or_create(
        name="EXAMPLE", defaults={"ciphertext": _secret("open sesame"), "description": "Used by the example."}
    )
    measure = _task("example: measure", SHELL, "Looks at the host and hands a value on to the later steps.")
    check = _task(
        CHECK,
        "",
        "Asks the console whether it is alive.",
        kind=Task.Kind.HTTP,
        url=f"{server_url}/healthz",
        expect_status="200",
        expect_text="ok",
    )
    tidy = _task("example: tidy up", "echo 'nothing to tidy up today'; exit 1", "Fails, and may: its step is weak.")
    report = _task("example: report", REPORT, "Uses what the first step handed on, and a secret, which is masked.")
    done = _task("example: done", 'echo "all is well: $ECTS_RUN_STATE"', "Runs after a success.")
    failed = _task("example: failed", 'echo "it failed: $ECTS_RUN_REASON"', "Runs after a failure.")
    pipeline = Pipeline.objects.create(
        name="example",
        description="Shows all the parts. Edit it, disable it, or delete it with its tasks.",
        schedule="*/10 * * * * *",
        on_success=done,
        on_failure=failed,
        timeout=30,
    )
    steps = [
        Step(pipeline=pipeline, task=measure, position=1, timeout=5, retries=1, interval=1),
        Step(pipeline=pipeline, task=check, position=2, timeout=5),
        Step(pipeline=pipeline, task=tidy, position=2, dependence=Step.Dependence.WEAK, timeout=5),
        Step(pipeline=pipeline, task=report, position=3, environment={"WORD": "{{ secrets.EXAMPLE }}"}, timeout=5),
    ]
    for step in steps:
        step.save()
    Binding.objects.create(pipeline=pipeline, node=node)
    pipeline.enabled = True
    pipeline.save()


def follow_port(server_url: str) -> None:
    """The example asks the console where it is now; a task that somebody has changed is left alone."""
    for task in Task.objects.filter(name=CHECK, url__regex=r"^http://127\.0\.0\.1:[0-9]+/healthz$"):
        if task.url != f"{server_url}/healthz":
            task.url = f"{server_url}/healthz"
            task.save()


SHELL = """echo "scheduled for $ECTS_SCHEDULED_AT, running on $(hostname)"
echo "load: $(cut -d' ' -f1-3 /proc/loadavg)"
echo "load=$(cut -d' ' -f1 /proc/loadavg)" >> "$ECTS_OUTPUT"
"""

REPORT = """echo "the first step measured a load of {{ load }}"
echo "the word is $WORD"
"""


def _secret(value: str) -> bytes:
    secret = Secret()
    secret.set_value(value)
    return bytes(secret.ciphertext)


def _task(name: str, content: str, description: str, **more: object) -> Task:
    return Task.objects.create(name=name, content=content, description=description, **more)
