"""Which secrets a text uses, by the same grammar as the worker's (``workers.engine.templates``)."""

import re
from collections.abc import Iterable, Iterator

from tasks.models import Secret, Task

_REFERENCE = re.compile(r"(?<!\$)\{\{\s*secrets\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def secret_names(texts: Iterable[str]) -> set[str]:
    """Names used as ``{{ secrets.NAME }}``."""
    return {name for text in texts for name in _REFERENCE.findall(text)}


def secrets_of_task(task: Task) -> set[str]:
    """Names of the secrets that a worker needs to run the task."""
    names = secret_names(_texts(task))
    if task.kind == Task.Kind.HOOK and task.signing_secret:
        names.add(task.signing_secret)
    return names


def missing_secrets(names: Iterable[str]) -> list[str]:
    """Those of the names that no secret has, sorted."""
    wanted = set(names)
    return sorted(wanted.difference(Secret.objects.filter(name__in=wanted).values_list("name", flat=True)))


def _texts(task: Task) -> Iterator[str]:
    yield from (task.content, task.url, task.subject, *task.headers.values(), *task.recipients)
