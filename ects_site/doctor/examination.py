"""The doctor's round: every check, none of which can stop the others."""

from collections.abc import Iterator

from ects_site.doctor import cluster, database, definitions, host, store
from ects_site.doctor.finding import Check, Finding, fail

CHECKS: dict[str, Check] = {
    "host": host.check,
    "database": database.check,
    "etcd": store.check,
    "keys and secrets": definitions.check_secrets,
    "masters": cluster.check_masters,
    "workers": cluster.check_workers,
    "publication": definitions.check_publication,
}


def examine() -> Iterator[Finding]:
    """Each finding as soon as it is known."""
    for subject, check in CHECKS.items():
        try:
            yield from check()
        except Exception as error:  # whatever it is, it is the finding
            words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            yield fail(subject, f"could not be looked at: {words[:300]}", "Mend what is reported above first.")
