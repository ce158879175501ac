"""Steps that are not about a fire: a new epoch, a changed document, a mark from a fast clock. Pure."""

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from coordination import fires
from coordination.fires import Decision, Epoch, FireRecord
from workers.engine.claims_scene import CHUNK, Scene, Step, gathered
from workers.engine.standing import BLANK, SKEW_LIMIT

CHANGED = "the pipeline was changed before this fire was claimed"

AHEAD = timedelta(seconds=2 * SKEW_LIMIT + 1)
"""Two clocks within their limits differ by less than this, so a mark further ahead comes from a bad one."""


def inherited(known: FireRecord | None, seen: FireRecord | None, epoch: Epoch) -> FireRecord | None:
    """The record that a new epoch inherits from this node's memory, or from what an older epoch has left in etcd; None
    when the one of this epoch is as good or has moved on.

    Knowledge is spread over the nodes: the one that remembers the latest version wins, until the first transition. Of
    two that remember the same, the one that was carried over later knows where its runs have gone since.
    """
    old = [record for record in (known, seen) if record is not None and record.epoch < epoch.id]
    if not old:
        return None
    best = max(old, key=lambda record: (record.lineage, record.epoch, record.version))
    begun = seen if seen is not None and seen.epoch == epoch.id else None
    if begun is not None and (begun.inherited is None or best.lineage <= begun.inherited):
        return None
    return fires.inherit(best, epoch.id, begun)


def first_record(epoch: Epoch, at: datetime) -> FireRecord:
    """A pipeline's first record: it expects nothing up to ``at``, nor from before the epoch."""
    return fires.begin(epoch.id, max(at, epoch.created + BLANK))


def needs_adoption(scene: Scene) -> bool:
    """The record was moved under an older document than the one that holds now."""
    timing = scene.record.timing
    if scene.phase.document is None:
        return timing is not None and timing.generation < scene.phase.generation
    return timing is None or timing.generation < scene.phase.generation


def adopt_step(scene: Scene) -> Step | None:
    """The document that holds now takes effect in the record. What the old one expected and nobody claimed is over:
    nothing before an edit is caught up."""
    if not needs_adoption(scene):
        return None
    record, phase = scene.record, scene.phase
    before = scene.fires(record.timing).between(record.mark, phase.at, CHUNK) if record.timing else []
    if len(before) == CHUNK:
        passed = fires.advance(record, before[-1], before)
        return Step(fires.decide(passed, _closed(scene, passed, lambda _: False)))
    after = _newly_expected(scene)
    moved = fires.advance(record, max(phase.at, record.mark), before)
    still_expected = _still_expected(scene)
    adopted = fires.adopt(
        record,
        generation=phase.generation,
        timing=fires.timing_of(scene.document) if phase.document else None,
        at=phase.at,
        before=before,
        after=after,
        closed=_closed(scene, moved, still_expected),
    )
    return Step(fires.bound(adopted, scene.me))


def repair_step(scene: Scene) -> Step | None:
    """Takes back a mark that somebody's fast clock has moved ahead."""
    if scene.record.mark <= scene.now.wall + AHEAD or scene.standing.skew(scene.now) is None:
        return None
    if scene.phase.at >= scene.now.wall or scene.cutoff >= scene.now.wall:
        return None
    return Step(fires.repair_mark(scene.record, scene.now.wall))


def _closed(scene: Scene, moved: FireRecord, stays: Callable[[datetime], bool]) -> list[Decision]:
    reason = CHANGED if scene.phase.document else scene.phase.reason
    return gathered([None if stays(instant) else scene.fate(instant, "missed", reason) for instant in moved.open])


def _newly_expected(scene: Scene) -> list[datetime]:
    """Instants from the change up to the mark that the new timing expects and the old one did not."""
    record, phase = scene.record, scene.phase
    if phase.document is None or record.timing is None or record.mark <= phase.at or _same_timing(scene):
        return []
    old = set(scene.fires(record.timing).between(phase.at, record.mark, CHUNK))
    new = scene.fires(fires.timing_of(phase.document)).between(phase.at, record.mark, CHUNK)
    return [instant for instant in new if instant not in old]


def _still_expected(scene: Scene) -> Callable[[datetime], bool]:
    """Whether an open instant of the old timing is one of the new timing as well."""
    phase = scene.phase
    if phase.document is None:
        return lambda _: False
    if _same_timing(scene):
        return lambda instant: instant > phase.at
    new = set(scene.fires(fires.timing_of(phase.document)).between(phase.at, scene.record.mark, CHUNK))
    return lambda instant: instant in new


def _same_timing(scene: Scene) -> bool:
    """The change is none of the instants: then ``not_before`` may be long ago, and nothing is newly expected."""
    phase, timing = scene.phase, scene.record.timing
    if phase.document is None or timing is None:
        return False
    return replace(fires.timing_of(phase.document), generation=timing.generation) == timing
