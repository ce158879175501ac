"""Keeps what pipelines were at each generation that workers were told, so that runs can be compared with today."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef
from msgspec import Struct, structs

from pipelines.models import Edition
from pipelines.rendering import Source

KEPT = timedelta(days=180)
"""For how long an edition is kept once there is a newer one."""

BATCH = 2000
"""Rows deleted in one statement."""


def keep(sources: Iterable[Source]) -> None:
    """Those that are not kept yet."""
    by_key = {(source.pipeline.pk, source.generation): source for source in sources}
    generations = [generation for _pipeline, generation in by_key]
    there = Edition.objects.filter(pipeline__in={pipeline for pipeline, _generation in by_key}).filter(
        generation__in=generations
    )
    new = by_key.keys() - set(there.values_list("pipeline", "generation"))
    # Another relay may keep the same one just now.
    Edition.objects.bulk_create(
        [Edition(pipeline=key[0], generation=key[1], document=content(by_key[key])) for key in new],
        ignore_conflicts=True,
    )


def content(source: Source) -> dict[str, Any]:
    """What is compared: all that someone defined."""
    found: dict[str, Any] = _plain(structs.replace(source.document, mail=None, digest="", secrets={}))
    return found


def _plain(value: Any) -> Any:
    """As JSON has it, with the defaults, which may be others one day."""
    if isinstance(value, Struct):
        return {name: _plain(one) for name, one in structs.asdict(value).items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, datetime) else value


def at(pipeline: UUID, generation: int) -> dict[str, Any] | None:
    """None when it was never kept, or not for so long."""
    return Edition.objects.filter(pipeline=pipeline, generation=generation).values_list("document", flat=True).first()


def prune(now: datetime) -> None:
    """Deletes those that have been replaced long ago."""
    before = now - KEPT
    newer = Edition.objects.filter(
        kept_at__lt=before, pipeline=OuterRef("pipeline"), generation__gt=OuterRef("generation")
    )
    old = Edition.objects.filter(Exists(newer), kept_at__lt=before)
    while found := list(old.values_list("pk", flat=True)[:BATCH]):
        Edition.objects.filter(pk__in=found).delete()
