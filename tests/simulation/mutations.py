"""The protocol, broken on purpose: each mutation takes one thing away that a rule demands.

The checker has to catch every one of them, or it could not be trusted about the protocol as it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from msgspec.structs import replace

from coordination import fires
from coordination.gateway import Compare, Outcome
from tests.simulation import executions, host
from tests.simulation.host import KEYS
from workers.engine import claims, claims_change, claims_fire, claims_runs, standing


def _trusting(self: standing.Standing, now: standing.Now) -> str:
    return ""


def _nothing(scene: Any) -> None:
    return None


def _never(self: claims.SharedPlan, record: fires.FireRecord) -> bool:
    return False


def _patched(owner: Any, name: str, value: Any) -> Callable[[], Any]:
    return lambda: mock.patch.object(owner, name, value)


def _write(keep: Callable[[Compare], bool]) -> Callable[[], Any]:
    """Transactions without some of their compares."""
    original = fires.write

    def write(*arguments: Any, **named: Any) -> fires.Transaction:
        whole = original(*arguments, **named)
        return fires.Transaction(tuple(filter(keep, whole.compares)), whole.then, whole.otherwise)

    return _patched(fires, "write", write)


def _is_session(compare: Compare) -> bool:
    return compare.key.startswith(KEYS.sessions())


def _forget_open() -> Callable[[], Any]:
    original = fires.advance

    def advance(record: fires.FireRecord, mark: datetime, expected: list[datetime]) -> fires.FireRecord:
        """What the mark passes on its way to the instant it is moved to is not kept."""
        return original(record, mark, [instant for instant in expected if instant == mark])

    return _patched(fires, "advance", advance)


def _read_back() -> Callable[[], Any]:
    """After a timeout: look once, and believe what is seen."""

    def unanswered(self: claims.SharedPlan, now: standing.Now) -> None:
        flight = self._flight
        if flight is not None and flight.after is not None:
            self._flight = None
            self._fly(claims._Flight(fires.read(self._keys, self._pipeline)))
        elif flight is not None:
            flight.repeat_at = now.boot + claims.RETRY

    return _patched(claims.SharedPlan, "unanswered", unanswered)


def _run_before_answer() -> Callable[[], Any]:
    """The run begins when its claim is sent."""
    original = claims.SharedPlan._fly

    def fly(self: claims.SharedPlan, flight: Any) -> None:
        original(self, flight)
        job = flight.step.job if flight.step else None
        if job is not None and self._standing.right is not None:
            job.state = "running"
            self._actions.append(claims.begin(job, self._run_id(job.claim), self._standing.right.deadline))

    return _patched(claims.SharedPlan, "_fly", fly)


def _give_up() -> Callable[[], Any]:
    """After a timeout the claim counts as refused."""

    def unanswered(self: claims.SharedPlan, now: standing.Now) -> None:
        self._flight = None
        self._jobs = {nonce: job for nonce, job in self._jobs.items() if job.state != "claiming"}
        self._seen = None

    return _patched(claims.SharedPlan, "unanswered", unanswered)


def _new_nonce_on_repeat() -> Callable[[], Any]:
    """The repeated transaction is another one."""
    original = claims.SharedPlan.poll

    def poll(self: claims.SharedPlan, now: standing.Now) -> list[Any]:
        flight = self._flight
        if flight is not None and flight.repeat_at is not None and now.boot >= flight.repeat_at:
            self._flight, self._jobs = None, {n: job for n, job in self._jobs.items() if job.state != "claiming"}
        return original(self, now)

    return _patched(claims.SharedPlan, "poll", poll)


def _no_fence() -> Callable[[], Any]:
    return _patched(executions.Guard, "extend", lambda self, session, _: self.deadlines.update({session: 1e9}))


def _outlasts() -> Callable[[], Any]:
    """The right to run is counted from the answer to a keep-alive instead of its sending, and without a margin."""
    original = host.Host._kept

    def kept(self: host.Host, session: str, sent: float, ttl: float) -> None:
        original(self, session, self.world.now + 2 * standing.FENCE_MARGIN, ttl)

    return _patched(host.Host, "_kept", kept)


def _takeover_on_presence() -> Callable[[], Any]:
    """A node without presence counts as dead: nobody asks whether its session lives."""
    original = claims_runs._taken_over

    def taken_over(scene: Any, run: Any, orphaned_by: str) -> Any:
        return original(scene, run, "")

    return _patched(claims_runs, "_taken_over", taken_over)


def _no_takeover() -> Callable[[], Any]:
    return _patched(claims, "takeover_step", lambda scene, probes: None)


def _epoch_ignored() -> Callable[[], Any]:
    """The first epoch seen counts for ever."""
    original = standing.Standing.epoch_seen

    def epoch_seen(self: standing.Standing, value: bytes | None) -> None:
        if self.epoch is None:
            original(self, value)

    def is_rolled_back(self: claims.SharedPlan) -> bool:
        return False

    @contextmanager
    def both() -> Iterator[None]:
        with (
            mock.patch.object(standing.Standing, "epoch_seen", epoch_seen),
            mock.patch.object(claims.SharedPlan, "_is_rolled_back", is_rolled_back),
            _write(lambda compare: compare.key != KEYS.epoch())(),
        ):
            yield

    return both


def _no_settling() -> Callable[[], Any]:
    return _patched(fires, "SETTLING", timedelta(0))


def _claims_old_instants() -> Callable[[], Any]:
    """Instants from before the epoch are claimed like any other."""
    return _patched(claims_fire, "_verdict", _verdict_without_cutoff(claims_fire._verdict))


def _verdict_without_cutoff(original: Callable[..., Any]) -> Callable[..., Any]:
    def verdict(scene: Any, schedule: Any, instant: datetime) -> Any:
        if instant <= scene.cutoff:
            return "schedule"
        return original(scene, schedule, instant)

    return verdict


def _void_is_forgotten() -> Callable[[], Any]:
    """Nothing of an earlier epoch is carried over."""
    return _patched(claims, "inherited", lambda known, seen, epoch: None)


def _other_epochs_count() -> Callable[[], Any]:
    """A remembered record is written into a new epoch as if it were of it, whatever stands there."""

    def inherited(known: Any, seen: Any, epoch: Any) -> Any:
        return fires.inherit(known, epoch.id) if known is not None and known.epoch != epoch.id else None

    return _patched(claims, "inherited", inherited)


def _any_clock() -> Callable[[], Any]:
    return _patched(standing.Standing, "clock_trouble", _trusting)


def _no_repair() -> Callable[[], Any]:
    @contextmanager
    def both() -> Iterator[None]:
        with (
            mock.patch.object(standing.Standing, "clock_trouble", _trusting),
            mock.patch.object(claims, "repair_step", _nothing),
        ):
            yield

    return both


def _any_generation() -> Callable[[], Any]:
    """A document that is out of date claims as before, and puts its own timing back."""

    def needs_adoption(scene: Any) -> bool:
        timing = scene.record.timing
        if scene.phase.document is None:
            return timing is not None
        return timing is None or timing.generation != scene.phase.generation

    @contextmanager
    def both() -> Iterator[None]:
        with (
            mock.patch.object(claims_change, "needs_adoption", needs_adoption),
            mock.patch.object(claims, "needs_adoption", needs_adoption),
            mock.patch.object(claims.SharedPlan, "_is_outdated", _never),
        ):
            yield

    return both


def _edits_drop() -> Callable[[], Any]:
    """An edit moves the mark, and what was pending is gone."""
    original = fires.adopt

    def adopt(record: fires.FireRecord, **named: Any) -> fires.FireRecord:
        emptied = replace(record, open=())
        return original(emptied, **{**named, "before": [], "closed": []})

    return _patched(fires, "adopt", adopt)


def _edits_replay() -> Callable[[], Any]:
    """An edit sets the mark to where it was a minute ago."""
    original = fires.adopt

    def adopt(record: fires.FireRecord, **named: Any) -> fires.FireRecord:
        adopted = original(record, **named)
        return replace(adopted, mark=adopted.mark - timedelta(seconds=60), recent=())

    return _patched(fires, "adopt", adopt)


def _no_recent() -> Callable[[], Any]:
    return _patched(fires, "_kept", lambda recent: ())


def _trims_unread() -> Callable[[], Any]:
    return _patched(fires, "trim", lambda record, ingested, now: replace(record, recent=()))


def _no_standby() -> Callable[[], Any]:
    """Whoever is not first never acts."""
    return _patched(claims_fire, "acts_at", lambda document, instant, place: instant + timedelta(hours=place))


def _overlap_unseen() -> Callable[[], Any]:
    original = claims_fire._taken

    def taken(scene: Any, verdicts: Any) -> Any:
        mine = tuple(run for run in scene.record.runs if run.node == scene.me)
        hidden = replace(scene.record, runs=mine)
        real, scene.record = scene.record, hidden
        try:
            return original(scene, verdicts)
        finally:
            scene.record = real

    return _patched(claims_fire, "_taken", taken)


def _late_is_lost() -> Callable[[], Any]:
    """What is late vanishes without a decision."""
    original = claims_fire.fire_step

    def fire_step(scene: Any) -> Any:
        late = scene.now.wall - timedelta(seconds=30)
        if scene.record.mark < late:
            kept = tuple(instant for instant in scene.record.open if instant > late)
            scene.record = replace(scene.record, mark=late, open=kept)
        return original(scene)

    return _patched(claims, "fire_step", fire_step)


def _starts_twice() -> Callable[[], Any]:
    """An outcome that comes with a record not our own is believed to be our success."""
    original = claims.SharedPlan.answered

    def answered(self: claims.SharedPlan, outcome: Outcome, now: standing.Now) -> None:
        flight = self._flight
        if flight is not None and flight.after is not None and not outcome.succeeded:
            outcome = Outcome(True, self._seen.mod_revision if self._seen else 0, ())
        original(self, outcome, now)

    return _patched(claims.SharedPlan, "answered", answered)


@dataclass(frozen=True)
class Mutation:
    """``patch`` breaks the protocol while it is entered; ``focus`` are the faults under which that shows soonest."""

    patch: Callable[[], Any]
    focus: tuple[str, ...] = ()


SLOW = ("flaky", "crash")
FADING = ("fading",)
NEW_EPOCH = ("wipe", "pause", "partition", "half_partition")

MUTATIONS: dict[str, Mutation] = {
    "the record is not compared": Mutation(_write(lambda compare: compare.target != "mod_revision")),
    "the session is not compared": Mutation(_write(lambda compare: not _is_session(compare))),
    "the epoch is ignored": Mutation(_epoch_ignored()),
    "open is forgotten": Mutation(_forget_open()),
    "an ambiguous claim is read back, not repeated": Mutation(_read_back(), SLOW),
    "an ambiguous claim counts as refused": Mutation(_give_up(), SLOW),
    "an ambiguous claim is repeated as another": Mutation(_new_nonce_on_repeat(), SLOW),
    "a run begins before its claim is answered": Mutation(_run_before_answer()),
    "a refused claim counts as granted": Mutation(_starts_twice()),
    "nothing is killed at the deadline": Mutation(_no_fence(), FADING),
    "the right to run outlasts the session": Mutation(_outlasts(), FADING),
    "absence of presence counts as absence of session": Mutation(_takeover_on_presence()),
    "orphans are left": Mutation(_no_takeover()),
    "a new epoch claims at once": Mutation(_no_settling(), NEW_EPOCH),
    "instants from before the epoch are claimed": Mutation(_claims_old_instants(), NEW_EPOCH),
    "nothing is carried into a new epoch": Mutation(_void_is_forgotten()),
    "a memory overwrites a record that has moved on": Mutation(_other_epochs_count()),
    "any clock may claim": Mutation(_any_clock()),
    "a mark from the future stays": Mutation(_no_repair()),
    "any generation may claim": Mutation(_any_generation(), ("edit", "slow_watch", "partition")),
    "an edit drops what was pending": Mutation(_edits_drop()),
    "an edit replays": Mutation(_edits_replay()),
    "decisions are not kept for the ledger": Mutation(_no_recent()),
    "decisions are trimmed before they are ingested": Mutation(_trims_unread()),
    "standbys never act": Mutation(_no_standby(), ("stop", "nothing", "nothing", "nothing")),
    "overlap looks at this node only": Mutation(_overlap_unseen()),
    "what is late vanishes": Mutation(_late_is_lost()),
}
