"""Who may do what in etcd while it has authentication on: the user and the roles of each worker."""

from collections.abc import Iterable
from uuid import UUID

from coordination.gateway import Permission
from coordination.keys import Keys


def worker_role(keys: Keys) -> str:
    """The role that all workers of the installation share."""
    return f"{keys.prefix}/worker"


def node_name(keys: Keys, node: str) -> str:
    """The user of one node, and the role that only it has. Two installations on one etcd do not mix theirs up."""
    return f"{keys.prefix}/node/{node}"


def nodes_among(keys: Keys, users: Iterable[str]) -> set[str]:
    """The nodes of this installation that have a user among these."""
    stem = node_name(keys, "")
    return {name.removeprefix(stem) for name in users if name.startswith(stem) and _is_uuid(name.removeprefix(stem))}


def of_workers(keys: Keys) -> list[Permission]:
    """What every worker may: see who is there and whose session lives, and write the shared pipelines' records."""
    return [
        # Watched, which is done by prefix.
        Permission(keys.config(), prefix=True),
        Permission(keys.epoch()),
        Permission(keys.nodes(), prefix=True),
        Permission(keys.sessions(), prefix=True),
        Permission(keys.all_fires(), prefix=True, write=True),
    ]


def of_node(keys: Keys, node: str) -> list[Permission]:
    """What one node may beyond that: read what is meant for it, and write its presence and its sessions."""
    return [
        Permission(keys.pipelines(node), prefix=True),
        Permission(keys.commands(node), prefix=True),
        Permission(keys.node(node), write=True),
        Permission(keys.session(node, ""), prefix=True, write=True),
    ]


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
