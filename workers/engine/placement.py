"""Which node runs a shared fire: rendezvous ranking, pure.

Every bound node ranks the live ones for itself and comes to the same order without asking anybody. A node that
comes or goes moves only its own share (Thaler and Ravishankar, 1998).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from coordination.documents import PipelineDocument, Presence


@dataclass(frozen=True, slots=True)
class Member:
    """What matters of a live node. ``reluctant``: full or draining, so it ranks behind every other."""

    reluctant: bool = False


def member(presence: Presence) -> Member:
    """A live node as its presence describes it. Capacity 0 has no limit."""
    full = 0 < presence.capacity <= presence.running
    return Member(reluctant=presence.draining or full)


def ranking(subject: str, nodes: Iterable[str], live: Mapping[str, Member]) -> list[str]:
    """The live ones of ``nodes``, first choice first, for what ``subject`` names."""
    alive = [node for node in nodes if node in live]
    return sorted(alive, key=lambda node: (live[node].reluctant, _weight(subject, node)))


def subject_of(document: PipelineDocument, instant: datetime) -> str:
    """What the nodes are ranked for: the pipeline when it is sticky, else the pipeline and the instant (UTC)."""
    if document.placement == "one_spread":
        return f"{document.pipeline}\0{instant.timestamp():.3f}"
    return document.pipeline


def rank(document: PipelineDocument, instant: datetime, node: str, live: Mapping[str, Member] | None) -> int:
    """0 for the node that acts first. A node that is not among the live ones stands behind all of them.

    ``live`` None: not known yet, so all bound nodes count as live.
    """
    if live is None:
        live = dict.fromkeys(document.nodes, Member())
    order = ranking(subject_of(document, instant), document.nodes, live)
    return order.index(node) if node in order else len(order)


def acts_at(document: PipelineDocument, instant: datetime, place: int) -> datetime:
    """When the node of this rank acts on an instant that nobody has decided."""
    return instant + timedelta(seconds=place * document.standby_delay)


def _weight(subject: str, node: str) -> bytes:
    return blake2b(f"{subject}\0{node}".encode(), digest_size=8).digest()
