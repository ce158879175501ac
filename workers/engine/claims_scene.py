"""What a step of the claim protocol looks at, and what it proposes. See ``workers.engine.claims``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Literal

from coordination.documents import PipelineDocument
from coordination.fires import Claim, Decision, Epoch, FireRecord, Timing, Transaction
from coordination.gateway import Compare
from coordination.keys import Keys
from coordination.records import RunState, Trigger
from workers.engine.placement import rank
from workers.engine.plan import Fires
from workers.engine.standing import BLANK, Now, Right, Standing

CHUNK = 2_000
"""The most expected instants that one step looks at."""

SINGLY = 20
"""A stretch of so many decisions or fewer is written one by one, a longer one as a gap with a count."""

LOST_DATA = "coordination data lost"

MakeFires = Callable[[PipelineDocument, Timing], Fires]
"""Compiles a timing of this pipeline; the document gives what is not timing (its id). Cached by the caller."""


@dataclass(frozen=True, slots=True)
class Phase:
    """From ``at`` on this document holds, or, when it is None, the pipeline is gone from here for ``reason``.

    ``elsewhere``: only from here; the nodes that are still bound decide what becomes of its fires.
    """

    generation: int
    at: datetime
    document: PipelineDocument | None
    reason: str = ""
    elsewhere: bool = False


@dataclass(slots=True)
class Job:
    """A claim of this process. ``granted``: claimed, not started yet; ``lost``: taken over by another node, killed.
    ``session`` is the one whose right it runs under; a record that was inherited may name an earlier one.
    ``fence`` is the claim's revision, or, when that is not known, one above the record's before it: a fence, too."""

    claim: Claim
    document: PipelineDocument
    trigger: Trigger
    session: str
    fence: int = 0
    state: Literal["claiming", "granted", "running", "lost", "ended"] = "claiming"
    ending: tuple[RunState, str] = ("failed", "")

    def may_move(self, epoch: int, standing: Standing, now: Now) -> bool:
        """Whether it may go on under another session: its right to run is not over, or, while it has not begun, the
        record of the epoch it was claimed in shows that nobody has taken it over. A machine that stood still may wake
        before its guard has killed what it runs, and find an etcd that knows nothing of a takeover."""
        if self.state not in ("granted", "running"):
            return False
        return standing.outlives(self.session, now) or (self.state == "granted" and self.claim.epoch == epoch)


@dataclass(frozen=True, slots=True)
class Step:
    """A proposed transition. ``also`` are further compares, ``reads`` keys to look at when it is refused; ``job`` is
    the run it claims. ``settles`` False keeps an inherited record open to better memories. ``orphaned_by`` is the
    session key that a takeover wants absent."""

    record: FireRecord
    also: tuple[Compare, ...] = ()
    reads: tuple[str, ...] = ()
    job: Job | None = None
    settles: bool = True
    orphaned_by: str = ""


@dataclass(slots=True)
class Flight:
    """A transaction that is not answered yet. ``after`` None: a mere look. ``before`` is the revision it builds on,
    which a watch may have shown to be outdated in the meantime."""

    transaction: Transaction
    after: FireRecord | None = None
    step: Step | None = None
    before: int = 0
    repeat_at: float | None = None


@dataclass(slots=True)
class Scene:
    """Everything a step may know. ``waits`` collects the instants at which it would have something to do."""

    keys: Keys
    phase: Phase
    document: PipelineDocument
    record: FireRecord
    epoch: Epoch
    right: Right
    standing: Standing
    now: Now
    jobs: Mapping[str, Job]
    make_fires: MakeFires
    new_nonce: Callable[[], str]
    waits: list[datetime] = field(default_factory=list)

    @property
    def me(self) -> str:
        """This node."""
        return self.standing.node

    @property
    def cutoff(self) -> datetime:
        """Instants up to here are not decided in this epoch by anybody: their fate is not known."""
        return self.epoch.created + BLANK

    def fires(self, timing: Timing) -> Fires:
        """The instants that a timing expects."""
        return self.make_fires(self.document, timing)

    def rank(self, instant: datetime) -> int:
        """This node's place in the line for an instant."""
        return rank(self.document, instant, self.me, self.standing.members)

    def session_key(self, claim: Claim) -> str:
        """The key whose absence says that a run is orphaned."""
        return self.keys.session(claim.node, claim.session)

    def fate(self, instant: datetime, state: RunState, reason: str) -> Decision:
        """A decision against running. What may have run before the data were lost is left to the console to write,
        since it alone can know whether there is a row already."""
        if instant <= self.cutoff:
            return Decision(instant=instant, state="missed", reason=LOST_DATA)
        return Decision(instant=instant, state=state, reason=reason, node=self.me)


def gathered(fates: Sequence[Decision | None]) -> list[Decision]:
    """Long stretches of neighbours with one fate become one gap with a count. ``fates`` follows the open instants in
    their order, with None for each one that stays undecided: no stretch goes over it."""
    decisions: list[Decision] = []
    for _, members in groupby(fates, key=lambda fate: fate and (fate.state, fate.reason, fate.node)):
        stretch = [fate for fate in members if fate is not None]
        decisions += [_gap(stretch)] if len(stretch) > SINGLY else stretch
    return decisions


def _gap(stretch: Sequence[Decision]) -> Decision:
    first, last = stretch[0], stretch[-1]
    return Decision(
        instant=first.instant,
        state=first.state,
        reason=first.reason,
        node=first.node,
        count=len(stretch),
        until=last.instant,
    )
