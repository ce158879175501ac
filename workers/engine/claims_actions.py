"""What a ``SharedPlan`` asks for. See ``workers.engine.claims``."""

from dataclasses import dataclass
from datetime import datetime

from coordination.documents import PipelineDocument
from coordination.fires import FireRecord, Transaction
from coordination.records import Trigger
from workers.engine.claims_scene import Job
from workers.engine.plan import Kill, Note


@dataclass(frozen=True, slots=True)
class Send:
    """Commit this; one at a time."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Start:
    """Run this. ``deadline`` is on CLOCK_BOOTTIME; ``fence`` is what the job gets as ``ECTS_FENCE``."""

    run: str
    document: PipelineDocument
    scheduled_at: datetime
    attempt: int
    trigger: Trigger
    fence: int
    session: str
    deadline: float


@dataclass(frozen=True, slots=True)
class Reattached:
    """A living run belongs to this session from now on."""

    run: str
    session: str
    deadline: float


@dataclass(frozen=True, slots=True)
class Remember:
    """The latest record known, to be kept durably."""

    record: FireRecord


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that the console should know."""

    text: str


@dataclass(frozen=True, slots=True)
class Wake:
    """When to poll at the latest, on the wall clock or on CLOCK_BOOTTIME, whichever comes first; None: no need."""

    wall: datetime | None
    boot: float | None


Action = Send | Start | Reattached | Kill | Note | Remember | Incident | Wake


def begin(job: Job, run: str, deadline: float) -> Start:
    """The order to start a granted claim."""
    entry = job.claim
    return Start(
        run=run,
        document=job.document,
        scheduled_at=entry.instant,
        attempt=entry.attempt,
        trigger=job.trigger,
        fence=job.fence,
        session=entry.session,
        deadline=deadline,
    )
