"""The doctor's round: every check, none of which can stop the others."""

from collections.abc import Iterator

from coordination import finding
from coordination.finding import Check, Finding
from ects_site.doctor import cluster, database, definitions, host, people, post, store

CHECKS: dict[str, Check] = {
    "host": host.check,
    "database": database.check,
    "administrators": people.check,
    "etcd": store.check,
    "keys and secrets": definitions.check_secrets,
    "masters": cluster.check_masters,
    "workers": cluster.check_workers,
    "publication": definitions.check_publication,
}


def examine(*, mail: bool = False) -> Iterator[Finding]:
    """Each finding as soon as it is known. ``mail``: the mail server is asked too."""
    return finding.examine({**CHECKS, "mail": post.check} if mail else CHECKS)
