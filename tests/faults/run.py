"""One scenario on a stage: its pipelines, its strikes, and the judgement."""

import random
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.faults.account import Begun
from tests.faults.facts import KINDS, Happened, Pipeline, Violation
from tests.faults.scenarios import Scenario
from tests.faults.stage import RECOVERY, Stage
from tests.faults.verdict import violations

CALM = (3.0, 8.0)
"""Seconds before a strike."""

PATIENCE = 90.0
"""Seconds for all that is outstanding to be delivered, closed and taken over."""


@dataclass(slots=True)
class Result:
    """What came of one scenario."""

    scenario: str
    seed: str
    etcd: int
    began: str
    seconds: float
    strikes: int
    pipelines: int
    expected: int
    ran: int
    again: int
    not_run: dict[str, int]
    late: dict[str, float]
    violations: list[Violation] = field(default_factory=list)

    def line(self) -> dict[str, Any]:
        """For the file of results."""
        values = asdict(self)
        counted = Counter(violation.kind for violation in self.violations)
        values["violations"] = {kind: counted[kind] for kind in KINDS}
        values["verdict"] = "failed" if self.violations else "passed"
        return values

    def row(self) -> dict[str, Any]:
        """For the table of the documents; only the kinds of what is wrong that there are."""
        wrong = Counter(violation.kind for violation in self.violations)
        return {
            "fault": self.scenario,
            "etcd nodes": self.etcd,
            "strikes": self.strikes,
            "fires expected": self.expected,
            "ran": self.ran,
            "ran again": self.again,
            "not run": self.not_run,
            "late, s": self.late,
            "lost, doubled, late, extra, unexplained, left": dict(wrong),
        }


def run(stage: Stage, scenario: Scenario, seed: str, seconds: float) -> tuple[Result, list[Pipeline], Happened]:
    """Strikes again and again until ``seconds`` are over, once at the least."""
    began, clock = datetime.now(UTC), time.monotonic()
    chance = random.Random(f"{seed}/{scenario.name}")
    stage.account.hold.touch()
    pipelines = scenario.load(stage, chance)
    strikes = 0
    while strikes == 0 or time.monotonic() - clock < seconds:
        time.sleep(chance.uniform(*CALM))
        scenario.strike(stage, chance, chance.uniform(*scenario.lasts))
        pipelines += stage.made_meanwhile()
        strikes += 1
    time.sleep(RECOVERY.total_seconds())
    stage.account.hold.unlink()
    pipelines = stage.disable(pipelines)
    found, happened = _judged(stage, pipelines, began, scenario.reasons)
    expected = {pipeline.document.pipeline: pipeline for pipeline in pipelines}
    result = Result(
        scenario=scenario.name,
        seed=seed,
        etcd=len(stage.etcd),
        began=began.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - clock, 1),
        strikes=strikes,
        pipelines=len(pipelines),
        expected=sum(_owed(pipeline, happened.until) for pipeline in expected.values()),
        ran=len({job.run for job in happened.executions if job.attempt == 1 and job.instant <= happened.until}),
        again=sum(job.attempt > 1 for job in happened.executions),
        not_run=_not_run(happened),
        late=_late(happened.executions, stage.slow_nodes),
        violations=found,
    )
    return result, pipelines, happened


def _judged(
    stage: Stage, pipelines: Sequence[Pipeline], since: datetime, reasons: Sequence[str]
) -> tuple[list[Violation], Happened]:
    until = min(pipeline.ended or datetime.max.replace(tzinfo=UTC) for pipeline in pipelines)
    deadline = time.monotonic() + PATIENCE
    while True:
        happened = stage.happened(pipelines, since, until, reasons)
        found = violations(pipelines, happened)
        if not found or time.monotonic() > deadline:
            break
        time.sleep(1.0)
    orphans, stage.orphans = [*stage.orphans, *stage.jobs_left()], []
    return found + orphans, happened


def _owed(pipeline: Pipeline, until: datetime) -> int:
    nodes = 1 if pipeline.is_shared else len(pipeline.nodes)
    return len(pipeline.expected(until)) * nodes


def _not_run(happened: Happened) -> dict[str, int]:
    counted = Counter[str]()
    for item in happened.entries:
        if item.record.state != "succeeded" and item.record.scheduled_at <= happened.until:
            counted[f"{item.record.state}: {item.record.reason}"] += item.record.count
    return dict(counted.most_common())


def _late(executions: Sequence[Begun], left_out: Collection[str]) -> dict[str, float]:
    """Seconds. Not of a node whose kernel is emulated: the emulation would be measured."""
    late = sorted(
        (job.began - job.instant).total_seconds() for job in executions if job.attempt == 1 and job.node not in left_out
    )
    if not late:
        return {}
    return {name: round(late[min(int(len(late) * part), len(late) - 1)], 3) for name, part in _PARTS.items()}


_PARTS = {"p50": 0.5, "p99": 0.99, "max": 1.0}
