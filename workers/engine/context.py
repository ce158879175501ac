"""What is known about a run while it goes: its name, its place, its results so far, as environment, template values
and JSON."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from coordination.documents import PipelineDocument
from coordination.records import RunState, StepRecord, Trigger
from workers.engine.fence import Fence

_OWN_PREFIX = "ECTS_"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

_LOADED = ("LD_", "DYLD_", "BASH_", "PYTHON", "PERL", "RUBY", "NODE_", "GIT_", "JAVA_", "MALLOC_", "GCONV_")
_STEERING = frozenset(
    (
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "ENV",
        "IFS",
        "CDPATH",
        "LANG",
        "TZ",
        "EDITOR",
        "PAGER",
        "TMPDIR",
        "PS4",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One run to do. ``run`` is its uuid, ``attempt`` counts from 1, ``environment`` comes from whoever ran it by hand.

    ``node`` is this node's id (the document's, when empty). ``reason`` says why or how it runs ("late by 12 s").
    ``fence``: the right to run a shared fire, which may end.
    """

    run: str
    trigger: Trigger
    scheduled_at: datetime
    attempt: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    node: str = ""
    node_name: str = ""
    reason: str = ""
    fence: Fence | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How the steps of a run ended: what its success or failure task is told."""

    state: RunState
    reason: str = ""
    failed_step: str = ""


class RunContext:
    """The run's facts. ``outputs`` and ``steps`` (by index) grow as it goes; ``result`` is set once its steps ended."""

    def __init__(self, document: PipelineDocument, spec: RunSpec) -> None:
        self.document = document
        self.spec = spec
        self.outputs: dict[str, str] = {}
        self.steps: dict[int, StepRecord] = {}
        self.result = Result("running")

    def values(self) -> dict[str, str]:
        """What ``{{ name }}`` means in this run's templates; our own names win over outputs, outputs over the rest."""
        return {**self.spec.environment, **self.outputs, **self._outputs_by_name(), **self._own_values()}

    def variables(self, index: int) -> dict[str, str]:
        """The ``ECTS_`` variables of a step. ``ECTS_STEP`` is the step's index, from 0."""
        spec = self.spec
        own = {
            "ECTS_RUN_ID": spec.run,
            "ECTS_STEP": str(index),
            "ECTS_PIPELINE": self.document.pipeline,
            "ECTS_PIPELINE_NAME": self.document.name,
            "ECTS_NODE": self._node,
            "ECTS_ATTEMPT": str(spec.attempt),
            "ECTS_SCHEDULED_AT": instant_text(spec.scheduled_at),
            "ECTS_TRIGGER": spec.trigger,
        }
        if spec.fence is not None:
            own["ECTS_FENCE"] = str(spec.fence.number)
        if self.result.state != "running":
            own["ECTS_RUN_STATE"] = self.result.state
            own["ECTS_RUN_REASON"] = self.result.reason
            own["ECTS_FAILED_STEP"] = self.result.failed_step
        return own

    def environment(self, index: int, step: Mapping[str, str]) -> dict[str, str]:
        """All variables of a step beyond the base of its user; nothing can replace the ``ECTS_`` ones."""
        extra = {**self.outputs, **step, **self.spec.environment}
        allowed = {name: value for name, value in extra.items() if not name.startswith(_OWN_PREFIX)}
        return allowed | self.variables(index)

    def payload(self) -> dict[str, object]:
        """The run as a hook tells it. ``state`` is ``running`` until the steps have ended."""
        spec = self.spec
        return {
            "run": spec.run,
            "pipeline": {"id": self.document.pipeline, "name": self.document.name},
            "node": {"id": self._node, "name": spec.node_name},
            "trigger": spec.trigger,
            "attempt": spec.attempt,
            "scheduled_at": instant_text(spec.scheduled_at),
            "state": self.result.state,
            "reason": self.result.reason,
            "failed_step": self.result.failed_step,
            "steps": [_step_payload(record) for _, record in sorted(self.steps.items())],
        }

    @property
    def _node(self) -> str:
        return self.spec.node or self.document.node

    def _outputs_by_name(self) -> dict[str, str]:
        return {f"outputs.{name}": value for name, value in self.outputs.items()}

    def _own_values(self) -> dict[str, str]:
        return {
            "run_id": self.spec.run,
            "pipeline": self.document.name,
            "node": self.spec.node_name or self._node,
            "attempt": str(self.spec.attempt),
            "scheduled_at": instant_text(self.spec.scheduled_at),
            "trigger": self.spec.trigger,
            "run_state": self.result.state,
            "run_reason": self.result.reason,
            "failed_step": self.result.failed_step,
        }


def instant_text(instant: datetime) -> str:
    """ISO 8601 in UTC with a ``Z``."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_outputs(data: bytes) -> tuple[dict[str, str], int]:
    """The ``name=value`` lines of ``$ECTS_OUTPUT`` and how many lines were not such.

    Names that steer the loader, a shell or an interpreter do not count: a step that runs as one user must not decide
    what a later step of another user executes.
    """
    outputs: dict[str, str] = {}
    ignored = 0
    for line in data.split(b"\n"):
        name, equals, value = line.decode("utf-8", "replace").rstrip("\r").partition("=")
        if equals and _may_be_output(name) and "\0" not in value:
            outputs[name] = value
        elif line.strip():
            ignored += 1
    return outputs, ignored


def _may_be_output(name: str) -> bool:
    return bool(_VARIABLE.match(name)) and not name.startswith((_OWN_PREFIX, *_LOADED)) and name not in _STEERING


def _step_payload(record: StepRecord) -> dict[str, object]:
    return {
        "index": record.index,
        "position": record.position,
        "task": record.task_name,
        "kind": record.kind,
        "state": record.state,
        "attempts": record.attempts,
        "exit_code": record.exit_code,
        "http_status": record.http_status,
        "reason": record.reason,
    }
