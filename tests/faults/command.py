"""Faults on a real installation, judged afterwards: ``scripts/faults``."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from docs.figures import FIGURES
from tests.faults import inside
from tests.faults.circumstances import circumstances, head
from tests.faults.facts import Happened, Pipeline, Violation
from tests.faults.quick import ROUNDS
from tests.faults.run import Result, run
from tests.faults.scenarios import BY_NAME, SCENARIOS, Scenario
from tests.faults.stage import Stage

RESULTS = Path("var/faults.jsonl")

RECORD = FIGURES / "faults.jsonl"

SHOWN = 30
"""Violations that are shown; all are kept."""


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when a promise is broken; then the files are kept."""
    options = _parser().parse_args(arguments)
    if options.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name}\n    {scenario.expects}")
        return 0
    if not inside.is_inside():
        inside.enter("tests.faults.command", arguments)
    chosen = ROUNDS if options.quick else [BY_NAME[name] for name in options.names] or SCENARIOS
    seconds = 0.0 if options.quick else options.minutes * 60
    failed = 0
    about = circumstances()
    for size in (1, 3):
        scenarios = [each for each in chosen if size in ((options.etcd,) if options.etcd else each.etcd)]
        if scenarios:
            failed += _play(scenarios, size, seconds, options, about)
    return 1 if failed else 0


def _play(scenarios: Sequence[Scenario], size: int, seconds: float, options: argparse.Namespace, about: Any) -> int:
    directory = Path(tempfile.mkdtemp(prefix="ects-faults-"))
    print(f"seed {options.seed}, etcd of {size}; all files are in {directory}", flush=True)
    failed = 0
    with Stage(directory, etcd=size) as stage:
        for scenario in scenarios:
            result, pipelines, happened = run(stage, scenario, options.seed, seconds)
            failed += bool(result.violations)
            _tell(result, options)
            _append(options.results, result.line() | about)
            if options.record:
                _record(result, about)
            if result.violations:
                _keep(directory, result, pipelines, happened)
        left = stage.close()
    if left:
        failed += 1
        _show(left)
    if failed:
        print(f"{failed} failed; see {directory}")
    elif not options.keep:
        shutil.rmtree(directory)
    return failed


def _tell(result: Result, options: argparse.Namespace) -> None:
    verdict = "FAILED" if result.violations else "passed"
    print(
        f"{verdict} {result.scenario} (etcd {result.etcd}): {result.seconds:.0f} s, {result.strikes} strikes, "
        f"{result.expected} expected, {result.ran} ran, {result.again} again, late {result.late}",
        flush=True,
    )
    for reason, count in result.not_run.items():
        print(f"  {count:6} {reason}")
    _show(result.violations)
    if result.violations and result.scenario in BY_NAME:
        minutes = f" --minutes {options.minutes:g}"
        print(f"again: scripts/faults {result.scenario} --seed {options.seed}{minutes} --etcd {result.etcd}")


def _show(found: Sequence[Violation]) -> None:
    for violation in found[:SHOWN]:
        print(f"  {violation}", flush=True)
    if len(found) > SHOWN:
        print(f"  and {len(found) - SHOWN} more")


def _record(result: Result, about: dict[str, Any]) -> None:
    """The newest of each stays in the file that the documents show."""
    rows = [json.loads(line) for line in RECORD.read_text().splitlines()[1:]] if RECORD.exists() else []
    row = result.row()
    name = (row["fault"], row["etcd nodes"])
    others = [other for other in rows if (other["fault"], other["etcd nodes"]) != name]
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text("".join(json.dumps(line) + "\n" for line in (head(about), *others, row)))


def _append(path: Path, line: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _keep(directory: Path, result: Result, pipelines: Iterable[Pipeline], happened: Happened) -> None:
    """What was judged, to look at."""
    lines = [str(violation) for violation in result.violations]
    lines += ["", *map(str, pipelines), "", *map(str, happened.troubles), "", *map(str, happened.records.items())]
    lines += ["", *map(str, happened.entries), "", *map(str, happened.executions)]
    (directory / f"{result.scenario}.evidence").write_text("\n".join(lines))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a scenario; without any: all of them")
    parser.add_argument("--list", action="store_true", help="list the scenarios, and what each may lead to")
    parser.add_argument("--quick", action="store_true", help="all kinds of faults in four minutes, several at a time")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long each is repeated (1)")
    parser.add_argument("--seed", default=str(int(time.time())), help="of victims and times (the time)")
    parser.add_argument("--etcd", type=int, choices=(1, 3), help="only with so many etcd nodes")
    parser.add_argument(
        "--results", type=Path, default=Path("var/faults.jsonl"), help="a line for each (var/faults.jsonl)"
    )
    parser.add_argument("--record", action="store_true", help="keep the figures, for docs/explanation/reliability.md")
    parser.add_argument("--keep", action="store_true", help="keep the files of a good end, too")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
