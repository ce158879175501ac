"""One seed, from the beginning to the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

from coordination import fires
from coordination.documents import PipelineDocument
from coordination.fires import FireRecord
from coordination.gateway import Event
from tests.simulation.checker import Checker, History
from tests.simulation.console import Console
from tests.simulation.executions import Execution
from tests.simulation.faults import KINDS, QUIET, Faults, random_schedule
from tests.simulation.host import KEYS
from tests.simulation.ledger import Ledger
from tests.simulation.node import Node
from tests.simulation.world import Etcd, World, seconds, wall
from workers.engine.standing import BLANK

PIPELINE = "5c9aa1ce-0000-4000-8000-000000000001"

CHECKED = QUIET + 40
"""Instants up to this second must be decided and told at the end."""

STOP = CHECKED + 20


@dataclass(frozen=True)
class Result:
    seed: int
    violations: list[str]
    trace_hash: str
    executions: int
    latest_start: float
    lines: list[str]


def simulate(seed: int, *, focus: Sequence[str] = (), keep_trace: bool = False) -> Result:
    """The same seed gives the same trace hash, always. ``focus``: many faults, and of these kinds only."""
    world = World(seed, keep_trace=keep_trace)
    random = world.random
    etcd, ledger, executions = Etcd(world), Ledger(world), list[Execution]()
    names = [f"n{number}" for number in range(random.randint(2, 4))]
    nodes = [Node(world, etcd, ledger, name, executions) for name in names]
    document = _document(world, names)
    console = Console(world, etcd, ledger, nodes, document)
    history = History()
    etcd.watchers.append(lambda events: _note(world, nodes, history, console, events))
    longest = random.choice([0.5, 3.0, 12.0, 60.0])
    for node in nodes:
        node.duration = lambda: random.uniform(0.1, longest)
        node.sees_records = random.random() < 0.2
        world.at(random.uniform(0, 2), node.start)
    world.at(0.5, console.tick)
    world.at(1.0, etcd.tick)
    faults = Faults(world, etcd, console, nodes)
    faults.plan(8 if focus else random.choice([0, 1, 2, 3, 5, 8, 12]), focus or KINDS)
    world.run(STOP)
    for guard in (node.guard for node in nodes):
        guard.going.clear()
    Checker(
        world,
        document=document,
        versions=console.versions,
        history=history,
        executions=executions,
        ledger=ledger,
        troubles=faults.troubles,
        nodes=names,
        first=console.epochs[0].created + BLANK,
        until=wall(CHECKED),
    ).check()
    late = max((run.start - seconds(run.instant) for run in executions if seconds(run.instant) > 5), default=0.0)
    return Result(seed, world.violations, world.trace_hash, len(executions), late, world.lines)


def _document(world: World, names: list[str]) -> PipelineDocument:
    random = world.random
    return PipelineDocument(
        pipeline=PIPELINE,
        node="",
        generation=0,
        not_before=wall(0),
        name="shared",
        schedule=random_schedule(world),
        placement=random.choice(["one_sticky", "one_spread"]),
        on_node_loss=random.choice(["rerun", "abandon"]),
        overlap=random.choice(["allow", "skip"]),
        misfire=random.choice(["skip", "latest", "all"]),
        misfire_cap=random.choice([2, 100]),
        misfire_window=random.choice([40.0, 86400.0]),
        misfire_grace=random.choice([1.0, 30.0]),
        standby_delay=random.choice([2.0, 2.0, 8.0]),
        nodes=tuple(names),
    )


def _note(world: World, nodes: Sequence[Node], history: History, console: Console, events: tuple[Event, ...]) -> None:
    for event in events:
        if event.kind != "put" or event.item.key != KEYS.fires(PIPELINE):
            continue
        before, record = history.last, fires.decode(event.item.value)
        history.last = record
        if before is not None:
            _check_lost(world, nodes, before, record)
        _note_adoption(history, console, record)
        if record.inherited is None and len(console.epochs) > 1 and (before is None or before.epoch != record.epoch):
            created = console.epochs[-1].created
            history.blank.append((created, created + BLANK))


def _check_lost(world: World, nodes: Sequence[Node], before: FireRecord, record: FireRecord) -> None:
    """A run is orphaned if and only if its session's key is absent; then its right to run is over, too. A node itself
    may close what is under its own session and has no living job."""
    lost = {(entry.instant, entry.attempt) for entry in record.recent if entry.state == "lost"}
    for run in before.runs:
        if record.run(run.nonce) is not None or (run.instant, run.attempt) not in lost or record.epoch != before.epoch:
            continue
        holder = next(node for node in nodes if node.name == run.node)
        session_lives = holder.link.etcd.store.get(KEYS.session(run.node, run.session)) is not None
        if session_lives and not holder.guard.has_ended(run.instant, run.attempt):
            world.violate(f"{run.instant} was taken from {run.node} although its session lives")
        if holder.guard.has_right(run.instant, run.attempt):
            world.violate(f"{run.instant} was taken from {run.node} while it had the right to run")


def _note_adoption(history: History, console: Console, record: FireRecord) -> None:
    if record.inherited is not None:
        # What nobody remembers who was there after the wipe never took effect.
        timing = record.timing
        history.adopted = {
            version.generation
            for version in console.versions
            if (version.generation <= timing.generation if timing else version.at <= record.mark)
        } & history.ever_adopted
        return
    if record.timing is not None:
        history.adopted.add(record.timing.generation)
    else:
        closed = [version for version in console.versions if not version.schedule and version.at <= record.mark]
        history.adopted.update(version.generation for version in closed[-1:])
    history.ever_adopted = set(history.adopted)
