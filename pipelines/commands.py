"""Orders to workers: run this once, end that run. Signed, leased, and void after ``EXPIRY`` seconds."""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.dispatch import Signal
from django.utils.timezone import now
from django.utils.translation import gettext as _

from coordination import documents
from coordination.documents import Command, KillCommand, RunCommand
from coordination.errors import CoordinationError, Unavailable
from coordination.gateway import Compare, Put
from coordination.identity import command_run_id
from logs import history
from logs.models import Run
from pipelines import editions, outbox, rendering
from pipelines.models import Pipeline
from pipelines.relay import chunks
from pipelines.rendering import Source
from tasks.models import Task
from workers import keyring, store
from workers.engine.placement import Member, ranking
from workers.models import Node

EXPIRY = 60
"""Seconds within which a worker has to take a command; afterwards it is void, and the run is missed."""

PUT_TIMEOUT = 1.5
"""Seconds for one try to put a command into etcd."""

TRIES = 2
"""How often the same put is tried when etcd's answer did not come."""


run_ordered = Signal()
"""After etcd took the order: ``pipeline``, ``nodes``, ``runs`` (ids), ``names`` of the variables given with it."""

trial_ordered = Signal()
"""The same of a trial: ``task``, ``node``, ``run`` (id)."""

kill_ordered = Signal()
"""The same of a kill: ``run``."""


class Conflict(Exception):
    """It cannot be done as things stand; the sentence says what to do."""


def send_run(pipeline: Pipeline, environment: Mapping[str, str], user: Any) -> list[UUID]:
    """Has every bound node run the pipeline once, now, whether it is enabled, paused, published or none of it; of a
    shared pipeline one of them.

    Returns the run ids. Raises Conflict without steps or nodes, CoordinationError when etcd does not take the order.
    """
    source, nodes = _source(pipeline), _nodes(pipeline)
    editions.keep([source])
    runs = _order(source, nodes, environment, user)
    run_ordered.send(None, pipeline=pipeline, nodes=nodes, runs=runs, names=list(environment))
    return runs


def send_trial(task: Task, node: Node, user: Any) -> UUID:
    """Has the node do the task once, as it is saved; the run's id. Raises as ``send_run``."""
    source = rendering.trial(task)
    if isinstance(source, rendering.Unreadable):
        raise Conflict(str(source))
    if not node.public_key:
        raise Conflict(_("%(name)s has not enrolled yet: start a worker on it first.") % {"name": node.name})
    if node.drain_asked_at is not None:
        raise Conflict(_("%(name)s is draining: undrain it first.") % {"name": node.name})
    [run] = _order(source, [node], {}, user)
    trial_ordered.send(None, task=task, node=node, run=run)
    return run


def _order(source: Source, nodes: Sequence[Node], environment: Mapping[str, str], user: Any) -> list[UUID]:
    orders = [_run_order(source, node, environment, user) for node in nodes]
    runs = [UUID(order.run) for order in orders]
    # Before it is sent: the worker may be quicker to report than we to write, and what it says has to win.
    with transaction.atomic():
        for order, node in zip(orders, nodes, strict=True):
            history.announce_manual_run(order, node_name=node.name)
    try:
        _send(orders)
    except CoordinationError:
        history.withdraw(runs)
        raise
    return runs


def send_kill(run: Run, user: Any = None) -> None:
    """Has the run's node end it. Raises Conflict when it has ended, CoordinationError as ``send_run``."""
    if run.state != Run.State.RUNNING:
        raise Conflict(_("This run has ended already (%(state)s).") % {"state": run.get_state_display()})
    issued_at = now()
    order = KillCommand(
        id=str(uuid.uuid4()),
        node=str(run.node),
        issued_at=issued_at,
        expires_at=issued_at + timedelta(seconds=EXPIRY),
        run=str(run.uuid),
        requested_by=_name(user),
    )
    _send([order])
    kill_ordered.send(None, run=run)


def _source(pipeline: Pipeline) -> Source:
    source = rendering.read([pipeline.pk]).get(pipeline.pk)
    if source is None:
        raise Conflict(_("The pipeline is being changed or was deleted: try again."))
    if isinstance(source, rendering.Unreadable):
        raise Conflict(str(source))
    if not source.document.steps:
        raise Conflict(_("The pipeline has no steps: add one first."))
    return source


def _nodes(pipeline: Pipeline) -> list[Node]:
    bound = outbox.bound_nodes(Pipeline.objects.filter(pk=pipeline.pk))[pipeline.pk]
    if not bound:
        raise Conflict(_("The pipeline is bound to no node: bind it to one first."))
    nodes = [node for node in Node.objects.filter(pk__in=bound) if node.public_key]
    if not nodes:
        raise Conflict(_("None of the pipeline's nodes has enrolled yet: start a worker on one first."))
    nodes = [node for node in nodes if node.drain_asked_at is None]
    if not nodes:
        raise Conflict(_("All of the pipeline's nodes are draining: undrain one first."))
    return [_first(pipeline, nodes)] if pipeline.is_shared else nodes


def _first(pipeline: Pipeline, nodes: Sequence[Node]) -> Node:
    """The node that the workers would choose; one that is offline only if all are."""
    alive = [node for node in nodes if node.online] or nodes
    live = {str(node.pk): Member(reluctant=node.draining or 0 < node.capacity <= node.running) for node in alive}
    order = ranking(str(pipeline.pk), live, live)
    return next(node for node in alive if str(node.pk) == order[0])


def _run_order(source: Source, node: Node, environment: Mapping[str, str], user: Any) -> RunCommand:
    command, issued_at = str(uuid.uuid4()), now()
    return RunCommand(
        id=command,
        node=str(node.pk),
        issued_at=issued_at,
        expires_at=issued_at + timedelta(seconds=EXPIRY),
        run=command_run_id(command, str(node.pk), issued_at),
        document=rendering.document(source, node, issued_at, keyring.digest_key()),
        environment=dict(environment),
        requested_by=_name(user),
    )


def _send(orders: Sequence[Command]) -> None:
    """All under one lease, as few transactions as their size allows; when one fails, none shall stay."""
    signer, keys, gateway = keyring.signer(), store.keys(), store.sync_gateway()
    lease = gateway.grant(EXPIRY, timeout=PUT_TIMEOUT).id
    puts = [
        Put(keys.command(order.node, order.id), signer.sign("command", documents.encode(order)), lease)
        for order in orders
    ]
    try:
        for chunk in chunks(puts, lambda put: len(put.value)):
            _put(chunk)
    except CoordinationError:
        with suppress(CoordinationError):
            gateway.revoke(lease, timeout=PUT_TIMEOUT)
        raise


def _put(puts: Sequence[Put]) -> None:
    """An answer that did not come leaves open whether it was applied: the very same is tried again. (A refused
    comparison then says that it was.)"""
    compares = [Compare.absent(put.key) for put in puts]
    for left in reversed(range(TRIES)):
        try:
            store.sync_gateway().transact(compares, puts, timeout=PUT_TIMEOUT)
        except Unavailable:
            if not left:
                raise
        else:
            return


def _name(user: Any) -> str:
    return user.get_username() if user is not None else ""
