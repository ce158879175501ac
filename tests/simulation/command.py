"""Runs many seeds, on several processes: ``scripts/simulate``."""

import argparse
import multiprocessing
from collections.abc import Sequence
from functools import partial

from tests.simulation.scenario import Result, simulate


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 when a seed has failed."""
    options = _parser().parse_args(arguments)
    focus = tuple(options.focus.split(",")) if options.focus else ()
    if options.trace is not None:
        return _report(simulate(options.trace, focus=focus, keep_trace=True), verbose=True)
    failed = 0
    with multiprocessing.Pool(options.jobs) as pool:
        seeds = range(options.first, options.last)
        for done, result in enumerate(pool.imap(partial(simulate, focus=focus), seeds, chunksize=20), start=1):
            failed += _report(result, verbose=False)
            if done % 1000 == 0:
                print(f"{done} of {len(seeds)} seeds, {failed} failed", flush=True)
    print(f"{len(seeds)} seeds, {failed} failed")
    return 1 if failed else 0


def _report(result: Result, *, verbose: bool) -> int:
    for line in result.lines:
        print(line)
    if verbose or result.violations:
        print(f"seed {result.seed}: {result.trace_hash}, {len(result.violations)} violations", flush=True)
        for violation in result.violations:
            print(f"  {violation}", flush=True)
    return 1 if result.violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("first", type=int, nargs="?", default=0, help="first seed (0)")
    parser.add_argument("last", type=int, nargs="?", default=50_000, help="seed to stop before (50000)")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="processes")
    parser.add_argument("--focus", default="", help="kinds of faults, with commas; see tests/simulation/faults.py")
    parser.add_argument("--trace", type=int, help="show all that happens under this one seed")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
