"""What the console sends down to workers: pipeline documents, tombstones, commands and shared settings through etcd,
and what it wants of one node in the answers to that node's deliveries.

All of it travels as JSON inside a signed envelope (``coordination.crypto``). Instants are aware UTC, durations are
seconds. A field that is added later has a default, so that an older worker and an older document keep working.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field, json

FORMAT = 1
"""The newest format of documents that this code knows. A document is written in the lowest format that says all it
has to, so that older workers take whatever they can do; a worker refuses what is newer, by the name of ``needs``."""

Instant = Annotated[datetime, Meta(tz=True)]
Generation = Annotated[int, Meta(ge=0, le=2**62)]
"""As journals and databases hold it."""
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
"""More than thirty years would be beyond what instants can hold."""

Kind = Literal["shell", "http", "hook", "mail"]
Dependence = Literal["strong", "weak"]
Overlap = Literal["allow", "skip", "queue", "replace"]
Misfire = Literal["skip", "latest", "all"]
Placement = Literal["every", "one_sticky", "one_spread"]
OnNodeLoss = Literal["rerun", "abandon"]


class Header(Struct, frozen=True, kw_only=True):
    """What every version of everything signed begins with. ``needs``: of a format above 1, the first version of a
    worker that knows it, for the workers that do not."""

    format: int = 1
    needs: str = ""


class TaskDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task as a worker runs it. Texts may hold ``{{ secrets.NAME }}`` and ``{{ name }}`` templates."""

    id: int
    name: str
    kind: Kind
    content: str = ""
    interpreter: str = "/bin/sh"
    url: str = ""
    method: str = "GET"
    headers: dict[str, str] = {}
    expect_status: str = ""
    expect_text: str = ""
    verify_tls: bool = True
    follow_redirects: bool = True
    signing_secret: str = ""
    recipients: tuple[str, ...] = ()
    subject: str = ""


class StepDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task in its place. ``timeout`` 0 means none; ``retries`` are tries after the first, ``interval`` apart.

    Of a shell task, 0 or empty for none: ``memory`` in bytes, ``cpu_seconds`` of processor time, ``umask`` in octal.
    """

    task: TaskDocument
    position: int
    dependence: Dependence = "strong"
    timeout: Seconds = 0
    retries: int = 0
    interval: Seconds = 0
    directory: str = ""
    user: str = ""
    environment: dict[str, str] = {}
    group: str = ""
    umask: str = ""
    nice: int = 0
    memory: int = 0
    cpu_seconds: int = 0
    open_files: int = 0
    processes: int = 0


class MailSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The mail server. The password travels sealed, under ``MAIL_PASSWORD`` among the document's secrets."""

    host: str
    port: int = 25
    user: str = ""
    tls: Literal["none", "starttls", "tls"] = "none"
    sender: str = ""


MAIL_PASSWORD = "mail-password"  # noqa: S105 - the name of the entry, not a password
"""Name of the sealed mail password in ``PipelineDocument.secrets``; no user secret can have a dash in its name."""


DEFAULT_SIGNING_SECRET = "HOOK_SIGNING_KEY"  # noqa: S105 - the name of the secret
"""Signs the webhooks that name no secret of their own, if a secret of this name exists."""


class PipelineDocument(Struct, frozen=True, kw_only=True, tag="pipeline", tag_field="type", omit_defaults=True):
    """One pipeline for one node.

    ``generation`` grows with every change. No instant before ``not_before`` is ever caught up. ``secrets`` maps
    names to SealedBox ciphertexts (base64) for this node's key. ``digest`` is an HMAC of the plain rendering, by
    which the console recognises equal documents (ciphertexts are random).
    """

    format: int = FORMAT
    pipeline: str
    node: str
    generation: Generation
    not_before: Instant
    name: str
    schedule: str
    timezone: str = "UTC"
    dst_gap: Literal["shift", "skip"] = "shift"
    dst_repeat: Literal["first", "both"] = "first"
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    jitter: Seconds = 0
    blackouts: tuple[dict[str, Any], ...] = ()
    misfire: Misfire = "skip"
    misfire_grace: Seconds = 60
    misfire_window: Seconds = 86400
    misfire_cap: int = 100
    overlap: Overlap = "skip"
    placement: Placement = "every"
    on_node_loss: OnNodeLoss = "abandon"
    standby_delay: Seconds = 2
    nodes: tuple[str, ...] = ()
    paused: bool = False
    timeout: Seconds = 0
    steps: tuple[StepDocument, ...] = ()
    on_success: TaskDocument | None = None
    on_failure: TaskDocument | None = None
    secrets: dict[str, str] = {}
    mail: MailSettings | None = None
    digest: str = ""


class Tombstone(Struct, frozen=True, kw_only=True, tag="tombstone", tag_field="type", omit_defaults=True):
    """The signed order to forget a pipeline. Stays in etcd until its node has reported applying it."""

    format: int = FORMAT
    pipeline: str
    node: str
    generation: Generation
    reason: Literal["deleted", "disabled", "unbound"] = "unbound"


class RunCommand(Struct, frozen=True, kw_only=True, tag="run", tag_field="type", omit_defaults=True):
    """Run this once, now. Carries the document itself, so that it needs no published one."""

    format: int = FORMAT
    id: str
    node: str
    issued_at: Instant
    expires_at: Instant
    run: str
    document: PipelineDocument
    environment: dict[str, str] = {}
    requested_by: str = ""


class KillCommand(Struct, frozen=True, kw_only=True, tag="kill", tag_field="type", omit_defaults=True):
    """End this run and every process of it."""

    format: int = FORMAT
    id: str
    node: str
    issued_at: Instant
    expires_at: Instant
    run: str
    requested_by: str = ""


class SharedConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Settings for every node: no secret and no key in it."""

    format: int = FORMAT
    generation: Generation
    server_url: str = ""
    paused: bool = False
    defaults: dict[str, Any] = {}


class NodeDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the console wants of one node, as it now stands; a newer generation replaces all of it.

    ``name`` is what the node is called. ``draining``: it begins nothing new. ``token`` is the token with which it is to
    sign in from now on, sealed for its key; empty: with the one that it has.
    """

    format: int = FORMAT
    node: str
    generation: int
    name: str
    draining: bool = False
    token: str = ""


class Presence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a living node says of itself in ``/ects/nodes/<node>``; not signed, shown only."""

    node: str
    name: str
    host: str
    description: str = ""
    port: int = 0
    mode: Literal["worker", "master"] = "worker"
    version: str = ""
    capacity: int = 0
    running: int = 0
    draining: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    pid: int = 0
    started_at: Instant | None = None


Document = PipelineDocument | Tombstone
Command = RunCommand | KillCommand

_encoder = json.Encoder(order="deterministic")
_header = json.Decoder(Header)
_document: json.Decoder[Document] = json.Decoder(Document)
_command: json.Decoder[Command] = json.Decoder(Command)
_config = json.Decoder(SharedConfig)
_node = json.Decoder(NodeDocument)
_presence = json.Decoder(Presence)


def encode(value: Document | Command | SharedConfig | NodeDocument | Presence) -> bytes:
    """Canonical JSON of any document: equal documents have equal bytes."""
    return _encoder.encode(value)


def decode_header(data: bytes) -> Header:
    """Of anything signed, of any version. Raises msgspec.DecodeError."""
    return _header.decode(data)


def decode_document(data: bytes) -> Document:
    """Raises msgspec.ValidationError, or msgspec.DecodeError for what is not JSON."""
    return _document.decode(data)


def decode_command(data: bytes) -> Command:
    """Raises msgspec.ValidationError, or msgspec.DecodeError for what is not JSON."""
    return _command.decode(data)


def decode_config(data: bytes) -> SharedConfig:
    """Raises msgspec.ValidationError, or msgspec.DecodeError for what is not JSON."""
    return _config.decode(data)


def decode_node(data: bytes) -> NodeDocument:
    """Raises msgspec.ValidationError, or msgspec.DecodeError for what is not JSON."""
    return _node.decode(data)


def decode_presence(data: bytes) -> Presence:
    """Raises msgspec.ValidationError, or msgspec.DecodeError for what is not JSON."""
    return _presence.decode(data)
