"""What is watched for changes, and which of its fields are told."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.contrib.auth.models import Group, User
from django.db.models import Field, Model

from audit.models import Entry
from logs.models import Retention, Run
from pipelines.models import Binding, Calendar, CalendarEntry, Control, Pipeline, Step
from tasks.models import Secret, Task
from workers.models import EnrolmentToken, Node, SigningKey

STAMPS = frozenset({"created_at", "updated_at"})

REPORTED = frozenset(
    {
        "host", "port", "version", "online", "last_seen", "started_at", "capacity", "running", "backlog", "clock_skew",
        "draining", "etcd_connected", "incidents", "void_epoch", "enrolled_at", "enrolled_by_id", "trusted_keys",
        "document_generation", "document_heard", "next_token", "rotated_at",
    }
)  # fmt: skip
"""What a node says of itself, and how it is told something."""


@dataclass(frozen=True)
class Watched:
    """``untold``: fields that nobody sets. ``hidden``: told that they changed, and never what they hold. ``lists``:
    many-to-many fields. ``owner``: the field that leads to the object of which this is a part."""

    model: type[Model]
    untold: frozenset[str] = STAMPS
    hidden: frozenset[str] = frozenset()
    lists: tuple[str, ...] = ()
    owner: str = ""

    @cached_property
    def fields(self) -> dict[str, "Field[Any, Any]"]:
        """Those told of, by name."""
        left_out = {self.owner, *self.untold}
        return {
            field.name: field
            for field in self.model._meta.concrete_fields
            if not field.primary_key and field.name not in left_out
        }

    def written(self, update_fields: Collection[str] | None) -> dict[str, "Field[Any, Any]"]:
        """Those of the fields that a save with these ``update_fields`` writes."""
        if update_fields is None:
            return self.fields
        return {name: field for name, field in self.fields.items() if {name, field.attname} & {*update_fields}}

    @property
    def label(self) -> str:
        """As in ``Entry.kind`` and ``Part.model``."""
        return self.model._meta.label_lower

    def title(self, instance: Any) -> str:
        """Of a part: what it is called inside its owner."""
        return str(instance.get_inline_title() if hasattr(instance, "get_inline_title") else instance)[:200]


OBJECTS = (
    Watched(Pipeline, STAMPS | {"generation", "not_before"}, lists=("calendars",)),
    Watched(Task),
    Watched(Calendar),
    Watched(Secret, hidden=frozenset({"ciphertext"})),
    Watched(Node, STAMPS | REPORTED, hidden=frozenset({"public_key", "token_digest", "next_token_digest"})),
    Watched(EnrolmentToken, STAMPS | {"created_by", "digest"}),
    Watched(Control, STAMPS | {"generation", "published"}),
    Watched(Retention),
    Watched(
        User,
        frozenset({"last_login", "date_joined"}),
        hidden=frozenset({"password"}),
        lists=("groups", "user_permissions"),
    ),
    Watched(Group, lists=("permissions",)),
    Watched(SigningKey, hidden=frozenset({"verify_key", "ciphertext", "signature"})),
)

PARTS = (Watched(Step, owner="pipeline"), Watched(Binding, owner="pipeline"), Watched(CalendarEntry, owner="calendar"))

WATCHED: dict[type[Model], Watched] = {each.model: each for each in (*OBJECTS, *PARTS)}

LISTS: dict[type[Model], tuple[Watched, str]] = {
    getattr(each.model, name).through: (each, name) for each in OBJECTS for name in each.lists
}
"""The watched object and its field, by the table between the two."""

DEFINED = (Entry.What.ADDED, Entry.What.CHANGED, Entry.What.DELETED)
SIGNING_IN = (Entry.What.SIGNED_IN, Entry.What.SIGNED_OUT, Entry.What.REFUSED, Entry.What.LOCKED_OUT)

KINDS: Mapping[str, tuple[type[Model], tuple[str, ...]]] = {
    each.label: (each.model, DEFINED + more)
    for each in OBJECTS
    for more in [{Pipeline: (Entry.What.RUN,), Task: (Entry.What.TRIED,), User: SIGNING_IN}.get(each.model, ())]
} | {Run._meta.label_lower: (Run, (Entry.What.KILLED,))}
"""All kinds of objects, and what can be done with each."""
