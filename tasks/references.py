"""Which secrets a text uses, by the same grammar as the worker's (``workers.engine.templates``)."""

import re
from collections.abc import Iterable, Iterator

from coordination.documents import DEFAULT_SIGNING_SECRET
from tasks.models import Secret, Task

_REFERENCE = re.compile(r"(?<!\$)\{\{\s*secrets\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def secret_names(texts: Iterable[str]) -> set[str]:
    """Names used as ``{{ secrets.NAME }}``."""
    return {name for text in texts for name in _REFERENCE.findall(text)}


def secrets_of_task(task: Task) -> set[str]:
    """Names of the secrets that a worker needs to run the task, or may use: every webhook can be signed."""
    names = secret_names(_texts(task))
    if task.kind == Task.Kind.HOOK:
        names.add(task.signing_secret or DEFAULT_SIGNING_SECRET)
    return names


def missing_secrets(names: Iterable[str]) -> list[str]:
    """Those of the names that no secret has and that are missed, sorted."""
    wanted = set(names) - {DEFAULT_SIGNING_SECRET}
    return sorted(wanted.difference(Secret.objects.filter(name__in=wanted).values_list("name", flat=True)))


def _texts(task: Task) -> Iterator[str]:
    yield from (task.content, task.url, task.subject, *task.headers.values(), *task.recipients)
