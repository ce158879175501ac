"""Settings that bound what is kept: below nothing there is nothing to mean."""

from pathlib import Path

import pytest

from tests.site.processes import manage


@pytest.mark.parametrize("name", ["ECTS_KEEP_DAYS", "ECTS_KEEP_AUDIT_DAYS"])
def test_less_than_nothing_is_refused(name: str, tmp_path: Path) -> None:
    refused = manage(tmp_path, "check", **{name: "-1"})
    assert refused.returncode != 0
    assert f"{name} must be 0, for no limit, or more, not -1" in refused.stderr
