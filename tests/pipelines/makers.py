"""Makes definitions and reads what reached etcd, as a worker would."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from coordination import crypto, documents
from coordination.documents import Document, PipelineDocument
from coordination.gateway import Compare, KeyValue, Put
from coordination.keys import Keys
from coordination.records import AppliedRecord
from logs.signals import documents_applied
from pipelines.models import Binding, Pipeline, Step
from tasks.models import Secret, Task
from tests.etcd_server import EtcdServer
from workers import keyring
from workers.models import Node


@dataclass
class Console:
    """What a test needs of the console and of etcd."""

    gateway: Any
    keys: Keys
    etcd: EtcdServer

    def held(self, node: Node, pipeline: UUID) -> Document | None:
        """What a worker would accept from its key; None when there is nothing or it would refuse."""
        item = self.item(node, pipeline)
        if item is None:
            return None
        document = documents.decode_document(crypto.verify("pipeline", item.value, keyring.verify_keys()))
        assert (document.node, document.pipeline) == (str(node.pk), str(pipeline))
        return document

    def document(self, node: Node, pipeline: UUID) -> PipelineDocument:
        """The document a node holds, which is no tombstone."""
        document = self.held(node, pipeline)
        assert isinstance(document, PipelineDocument), document
        return document

    def item(self, node: Node, pipeline: UUID) -> KeyValue | None:
        return self.gateway.get(self.keys.pipeline(str(node.pk), str(pipeline)))

    def overwrite(self, node: Node, pipeline: UUID, value: bytes) -> None:
        """Somebody who can write to etcd does so."""
        key = self.keys.pipeline(str(node.pk), str(pipeline))
        assert self.gateway.transact([Compare.exists(key)], [Put(key, value)]).succeeded

    def report_applied(self, node: Node, pipeline: UUID, generation: int, *, removed: bool = False) -> None:
        """The node's report, as ingest hands it on."""
        record = AppliedRecord(pipeline=str(pipeline), generation=generation, removed=removed)
        documents_applied.send(sender=None, node=node.pk, records=[record])


def node(name: str = "n1", *, enrolled: bool = True, **fields: Any) -> Node:
    """A worker's row; ``private_key`` is what the worker alone would have."""
    private, public = crypto.new_node_key()
    made = Node.objects.create(name=name, public_key=public if enrolled else None, **fields)
    made.private_key = private
    return made


def task(name: str = "t1", **fields: Any) -> Task:
    return Task.objects.create(name=name, **{"kind": "shell", "content": "true", **fields})


def secret(name: str, value: str) -> Secret:
    made = Secret(name=name)
    made.set_value(value)
    made.save()
    return made


def pipeline(name: str = "p1", *, tasks: list[Task], nodes: list[Node], **fields: Any) -> Pipeline:
    """An enabled pipeline with these steps in order, bound to these nodes."""
    values = {"enabled": True, "schedule": "* * * * *", **fields}
    made = Pipeline.objects.create(name=name, **values)
    Step.objects.bulk_create(Step(pipeline=made, task=each, position=at) for at, each in enumerate(tasks))
    Binding.objects.bulk_create(Binding(pipeline=made, node=each) for each in nodes)
    return made
