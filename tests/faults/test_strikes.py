"""A strike that did not happen fails loudly: a promise that nothing tried is not kept by that."""

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.etcd_strikes import delayed
from tests.faults.guest import Guest
from tests.faults.hosts import Host


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    sleeper = subprocess.Popen(["sleep", "60"])
    yield sleeper
    sleeper.kill()
    sleeper.wait()


def test_a_tracer_that_cannot_attach_is_noticed(process: subprocess.Popen[bytes]) -> None:
    with (
        delayed([process.pid]),
        pytest.raises(AssertionError, match="could not attach"),
        # A process has one tracer at most.
        delayed([process.pid]),
    ):
        pass


def test_a_tracer_that_does_not_last_is_noticed(process: subprocess.Popen[bytes]) -> None:
    def strike() -> None:
        with delayed([process.pid]) as (tracer,):
            process.kill()
            tracer.wait()

    with pytest.raises(AssertionError, match="ended before the end"):
        strike()


def test_a_clock_that_could_not_be_set_is_noticed(tmp_path: Path) -> None:
    # Without a network: its device is on no switch.
    host = Host("guest", "10.77.0.99", "none")
    guest = Guest(host, tmp_path, state_dir=tmp_path, account=tmp_path / "account", log=tmp_path / "log", ttl=15)
    try:
        guest.start()
        guest.set_clock(60)
        with pytest.raises(AssertionError, match="failed clock"):
            guest.set_clock(math.nan)
    finally:
        guest.kill()
