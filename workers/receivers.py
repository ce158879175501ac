"""What nodes say of themselves with each delivery, and what they are told."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F
from django.dispatch import receiver

from coordination.records import NodeReport, RefusedRecord, Word
from coordination.trust import Notice
from logs.signals import documents_refused, node_reported
from workers import keyring, lifecycle
from workers.models import Node, Refusal

MOST_KEYS = 20
"""Signing keys of which a node may say that it trusts them."""


@receiver(node_reported)
def keep_report(sender: Any, node: UUID, report: NodeReport, received_at: datetime, **more: Any) -> Word:
    """The newest report replaces the one before. Answers what the node is to know."""
    skew = (report.clock - received_at).total_seconds() if report.clock and report.clock.tzinfo else None
    Node.objects.filter(pk=node).update(
        version=report.version[:50],
        running=min(max(report.running, 0), 2**31 - 1),
        capacity=min(max(report.capacity, 0), 2**31 - 1),
        backlog=min(max(report.backlog, 0), 2**31 - 1),
        clock_skew=skew,
        etcd_connected=report.etcd_connected,
        draining=report.draining,
        void_epoch=min(max(report.void_epoch, 0), 2**63 - 1),
        incidents=[sentence[:500] for sentence in report.incidents[:20]],
        document_heard=min(report.document, 2**63 - 1) if report.document >= 0 else None,
        last_seen=received_at,
    )
    sender_row = Node.objects.filter(pk=node).first()
    if sender_row is None:
        return Word()
    return Word(_notice(sender_row, report), lifecycle.unheard(sender_row, received_at))


def _notice(node: Node, report: NodeReport) -> Notice | None:
    if not report.keys:
        return None
    keys = sorted(report.keys)[:MOST_KEYS]
    if keys != node.trusted_keys:
        Node.objects.filter(pk=node.pk).update(trusted_keys=keys)
        # It judges everything anew, and tells again what it still refuses.
        Refusal.objects.filter(node=node).delete()
    return keyring.notice_for(keys)


@receiver(documents_refused)
def keep_refusals(sender: Any, node: UUID, records: list[RefusedRecord], **more: Any) -> None:
    """One row for each key, counted."""
    for record in records:
        key = record.key[:255]
        Refusal.objects.get_or_create(
            node_id=node, key=key, defaults={"at": record.at, "reason": record.reason[:500], "count": 0}
        )
        Refusal.objects.filter(node_id=node, key=key).update(
            at=record.at, reason=record.reason[:500], count=F("count") + 1
        )
