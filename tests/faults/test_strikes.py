"""A strike that did not happen fails loudly: a promise that nothing tried is not kept by that."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.faults.etcd_strikes import delayed


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
