"""A plan of faults from a seed."""

from collections.abc import Sequence

from msgspec.structs import replace

from tests.simulation.console import CHANGEOVER, Console
from tests.simulation.node import Node
from tests.simulation.world import Etcd, World

START, END = 15.0, 110.0
"""Faults begin and edits happen between these seconds."""

LONGEST = 45.0
QUIET = END + LONGEST + 15
"""From here on everything is well."""


KINDS = (
    "partition", "partition", "half_partition", "flaky", "fading", "pause", "pause", "host_pause", "crash", "crash",
    "stop", "clock", "clock", "slow_watch", "no_master", "no_console", "etcd_down", "wipe", "wipe_apart", "new_epoch",
    "edit", "edit", "disable", "pause_pipeline", "changeover",
)  # fmt: skip
"""Names of the methods of ``Faults``; twice: twice as likely."""


class Faults:
    """Draws faults, does them and heals them. ``troubles`` lists ``(node, from, until)``; node empty: everybody's."""

    def __init__(self, world: World, etcd: Etcd, console: Console, nodes: Sequence[Node]) -> None:
        self.world = world
        self.etcd = etcd
        self.console = console
        self.nodes = nodes
        self.troubles: list[tuple[str, float, float]] = []
        self._busy: dict[str, float] = {}

    def plan(self, number: int, kinds: Sequence[str]) -> None:
        """So many faults and edits, of these kinds."""
        random = self.world.random
        for _ in range(number):
            kind = getattr(self, random.choice(kinds))
            kind(random.uniform(START, END), random.uniform(1.0, LONGEST))

    def _node(self, start: float, length: float) -> Node | None:
        """One that has no other trouble in the meantime."""
        node = self.world.random.choice(self.nodes)
        if self._busy.get(node.name, 0.0) > start:
            return None
        self._busy[node.name] = start + length + 1
        self.troubles.append((node.name, start, start + length))
        return node

    def nothing(self, start: float, length: float) -> None:
        """All is well."""

    # -- the network ------------------------------------------------------------------------------------------------

    def partition(self, start: float, length: float) -> None:
        self._cut(start, length, requests=True)

    def half_partition(self, start: float, length: float) -> None:
        """Requests arrive and are carried out; no answer comes back."""
        self._cut(start, length, requests=False)

    def _cut(self, start: float, length: float, *, requests: bool) -> None:
        node = self._node(start, length)
        if node is not None:
            self._cut_node(node, start, length, requests=requests)

    def _cut_node(self, node: Node, start: float, length: float, *, requests: bool = True) -> None:
        anew = self.world.random.random() < 0.5

        def cut() -> None:
            self.world.trace(node.name, "cut", requests)
            node.link.requests_lost, node.link.replies_lost = requests, True

        def heal() -> None:
            node.link.requests_lost = node.link.replies_lost = False
            node.reconnect(anew)

        self.world.at(start, cut)
        self.world.at(start + length, heal)

    def flaky(self, start: float, length: float) -> None:
        """Losses, and requests and answers that come after the caller has given up."""
        node = self._node(start, length)
        if node is not None:
            loss, slowness = self.world.random.uniform(0, 0.4), self.world.random.uniform(0, 12)
            self.world.at(start, self._set_link, node, loss, slowness)
            self.world.at(start + length, self._set_link, node, 0.0, 0.0)

    def fading(self, start: float, length: float) -> None:
        """Answers become slow, and then there are none for longer than a session lives."""
        length = min(length, 15) + 45
        node = self._node(start, length)
        if node is not None:
            self.world.at(start, self._set_link, node, 0.0, self.world.random.uniform(2, 10))
            self.world.at(start + length - 40, self._set_link, node, 1.0, 0.0)
            self.world.at(start + length, self._set_link, node, 0.0, 0.0)

    def _set_link(self, node: Node, loss: float, slowness: float) -> None:
        self.world.trace(node.name, "link", loss, slowness)
        node.link.loss, node.link.slowness = loss, slowness

    def slow_watch(self, start: float, length: float) -> None:
        node = self._node(start, length)
        if node is not None:
            self.world.at(start, setattr, node, "watch_delay", self.world.random.uniform(0.5, 10))
            self.world.at(start + length, setattr, node, "watch_delay", 0.02)

    # -- the hosts --------------------------------------------------------------------------------------------------

    def pause(self, start: float, length: float) -> None:
        self._pause(start, length, host=False)

    def host_pause(self, start: float, length: float) -> None:
        self._pause(start, length, host=True)

    def _pause(self, start: float, length: float, *, host: bool) -> None:
        node = self._node(start, length)
        if node is not None:
            self.world.at(start, node.pause, host)
            self.world.at(start + length, node.resume)

    def crash(self, start: float, length: float) -> None:
        node = self._node(start, length)
        if node is not None:
            self.world.at(start, node.crash)
            self.world.at(start + length, node.start)

    def stop(self, start: float, length: float) -> None:
        """SIGTERM, a grace, the end, and a new start."""
        node = self._node(start, length)
        if node is not None:
            self.world.at(start, node.drain)
            self.world.at(start + min(length / 2, 8), node.crash)
            self.world.at(start + length, node.start)

    def clock(self, start: float, length: float) -> None:
        node = self._node(start, length)
        if node is not None:
            skew = self.world.random.choice([-60.0, -5.0, -1.8, 1.8, 5.0, 60.0])
            self.world.at(start, node.set_clock, skew)
            self.world.at(start + length, node.set_clock, 0.0)

    # -- the console and etcd ---------------------------------------------------------------------------------------

    def no_master(self, start: float, length: float) -> None:
        self.world.at(start, setattr, self.console, "has_master", False)
        self.world.at(start + length, setattr, self.console, "has_master", True)

    def no_console(self, start: float, length: float) -> None:
        """Results cannot be delivered. Shorter than a worker waits for the first measure of its clock."""
        node = self._node(start, min(length, 25))
        if node is not None:
            self.world.at(start, setattr, node, "console_cut", True)
            self.world.at(start + min(length, 25), setattr, node, "console_cut", False)

    def etcd_down(self, start: float, length: float) -> None:
        self.troubles.append(("", start, start + length))
        self.world.at(start, setattr, self.etcd.store, "unavailable", True)
        self.world.at(start + length, setattr, self.etcd.store, "unavailable", False)

    def wipe(self, start: float, length: float) -> None:
        self.troubles.append(("", start, start + 100))
        self.world.at(start, self.etcd.wipe)
        for node in self.nodes:
            self.world.at(start + self.world.random.uniform(0, 5), node.reconnect, True)

    def wipe_apart(self, start: float, length: float) -> None:
        """The nodes find the empty etcd one after the other, so that a worse memory may come before a better one."""
        self.wipe(start, length)
        for node in self.nodes:
            if self._busy.get(node.name, 0.0) < start:
                self._cut_node(node, start - 1, self.world.random.uniform(2, 20))

    def new_epoch(self, start: float, length: float) -> None:
        """The leader has found that etcd went back in time and begins a new epoch over the old data."""
        self.troubles.append(("", start, start + 100))
        self.world.at(start, self.console.begin_epoch)

    # -- people -----------------------------------------------------------------------------------------------------

    def edit(self, start: float, length: float) -> None:
        self.world.at(start, self._edit, random_schedule(self.world), False)

    def pause_pipeline(self, start: float, length: float) -> None:
        self.world.at(start, self._edit, "", True)
        self.world.at(start + length, self._edit, "", False)

    def disable(self, start: float, length: float) -> None:
        self.world.at(start, self.console.disable)
        self.world.at(start + length, self._edit, "", False)

    def changeover(self, start: float, length: float) -> None:
        """To every node by itself, and back."""
        self.world.at(start, self._place, "every")
        self.world.at(start + length, self._place, "one_spread")

    def _edit(self, schedule: str, paused: bool) -> None:
        document = self.console.document
        placement = "one_sticky" if document.placement == "every" else document.placement
        ahead = CHANGEOVER if document.placement == "every" else 0.0
        self.console.publish(
            replace(document, schedule=schedule or document.schedule, paused=paused, placement=placement), ahead
        )

    def _place(self, placement: str) -> None:
        document = self.console.document
        changes = (document.placement == "every") != (placement == "every")
        self.console.publish(replace(document, placement=placement), CHANGEOVER if changes else 0.0)


def random_schedule(world: World) -> str:
    """Every 3 to 15 seconds, from some offset."""
    period = world.random.choice([3, 4, 5, 7, 10, 15])
    return f"{period} {world.random.randrange(period)}"
