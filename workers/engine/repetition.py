"""Which tries may be repeated when nobody knows what the first one did (RFC 9110 section 9.2.2)."""

from coordination.documents import TaskDocument

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

IDEMPOTENCY_KEY = "Idempotency-Key"
"""A request that carries it says that its receiver knows a repetition when it sees one."""

NOT_REPEATED = "It is not tried again: it may have been done, and doing it twice may be worse than not at all."


def may_repeat(task: TaskDocument) -> bool:
    """Whether a try of unknown effect may be done once more.

    A script is repeated because somebody asked for it; a hook carries its own key; a mail that may have been sent is
    not sent again; a request of another method than the idempotent ones only with a key.
    """
    if task.kind == "http":
        has_key = any(name.lower() == IDEMPOTENCY_KEY.lower() for name in task.headers)
        return has_key or (task.method or "GET").upper() in IDEMPOTENT
    return task.kind != "mail"
