"""Rendezvous ranking."""

from collections import Counter

from coordination.documents import Presence
from tests.claims.cluster import document
from tests.simulation.world import wall
from workers.engine.placement import Member, acts_at, member, rank, ranking

NODES = tuple(f"node-{number}" for number in range(5))
LIVE = dict.fromkeys(NODES, Member())


def test_all_nodes_come_to_the_same_order_whatever_order_they_know_each_other_in() -> None:
    assert ranking("subject", NODES, LIVE) == ranking("subject", reversed(NODES), dict(reversed(LIVE.items())))


def test_a_node_that_goes_moves_only_its_own_share() -> None:
    fewer = {node: LIVE[node] for node in NODES[1:]}
    for number in range(200):
        before = ranking(str(number), NODES, LIVE)
        assert ranking(str(number), NODES, fewer) == [node for node in before if node != NODES[0]]


def test_the_shares_are_fair() -> None:
    firsts = Counter(ranking(str(number), NODES, LIVE)[0] for number in range(5000))
    assert set(firsts) == set(NODES)
    assert max(firsts.values()) < 1.2 * min(firsts.values())


def test_full_and_draining_nodes_rank_last() -> None:
    first = ranking("subject", NODES, LIVE)[0]
    for presence in (
        Presence(node=first, name="", host="", draining=True),
        Presence(node=first, name="", host="", capacity=3, running=3),
    ):
        assert ranking("subject", NODES, LIVE | {first: member(presence)})[-1] == first
    idle = Presence(node=first, name="", host="", capacity=3, running=2)
    assert ranking("subject", NODES, LIVE | {first: member(idle)})[0] == first


def test_sticky_stays_and_spread_spreads() -> None:
    for placement, different in (("one_sticky", 1), ("one_spread", len(NODES))):
        plan = document(placement=placement, nodes=NODES)
        firsts = {node for second in range(100) for node in NODES if rank(plan, wall(second), node, LIVE) == 0}
        assert len(firsts) == different


def test_who_is_not_among_the_living_stands_behind_them() -> None:
    plan = document(nodes=NODES)
    fewer = {node: LIVE[node] for node in NODES[1:]}
    assert rank(plan, wall(0), NODES[0], fewer) == len(fewer)


def test_when_nobody_is_known_to_live_all_bound_nodes_count() -> None:
    plan = document(nodes=NODES)
    assert sorted(rank(plan, wall(0), node, None) for node in NODES) == list(range(len(NODES)))


def test_a_rank_acts_so_many_delays_after_the_instant() -> None:
    assert acts_at(document(standby_delay=2), wall(10), 3) == wall(16)
