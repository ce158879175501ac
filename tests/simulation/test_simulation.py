"""Random fault plans against the claim protocol; see ``scenario`` for one seed, ``checker`` for what must hold."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutations import MUTATIONS
from tests.simulation.scenario import simulate

BATCH = 50
BOUND = 300
"""A mutation must show within so many seeds."""

SHOWN = (26611, 27772, 33857, 37033, 42921, 45494)
"""Seeds of a long run that once failed."""

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("first", range(0, 400, BATCH))
def test_no_fire_is_missed_and_none_is_doubled(first: int) -> None:
    failed = {seed: result.violations for seed in range(first, first + BATCH) if (result := simulate(seed)).violations}
    assert not failed, f"replay with: scripts/simulate --trace SEED\n{failed}"


@pytest.mark.parametrize("seed", SHOWN)
def test_what_one_seed_has_shown(seed: int) -> None:
    assert simulate(seed).violations == []


def test_without_faults_every_instant_is_run_in_time() -> None:
    for seed in range(20):
        result = simulate(seed, focus=("nothing",))
        assert not result.violations
        assert result.executions >= 4
        assert result.latest_start < 0.2


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_checker_catches(name: str) -> None:
    mutation = MUTATIONS[name]
    with mutation.patch():
        assert any(_fails(seed, mutation.focus) for seed in range(BOUND)), "no seed has shown it"


@pytest.mark.parametrize("focus", sorted({mutation.focus for mutation in MUTATIONS.values() if mutation.focus}))
def test_the_protocol_itself_passes_where_mutations_fail(focus: tuple[str, ...]) -> None:
    for seed in range(60):
        assert simulate(seed, focus=focus).violations == []


def test_a_seed_replays_identically_in_another_process() -> None:
    """Whatever the hash seed of the interpreter."""
    command = [sys.executable, "-c", "from tests.simulation.scenario import simulate; print(simulate(77).trace_hash)"]
    hashes = {
        subprocess.run(
            command, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert hashes == {simulate(77).trace_hash + "\n"}


def _fails(seed: int, focus: tuple[str, ...]) -> bool:
    try:
        return bool(simulate(seed, focus=focus).violations)
    except Exception:
        # A broken protocol may also break down; what matters is that it is noticed.
        return True
