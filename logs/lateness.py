"""How late a run began."""

from logs.models import Run


def lateness(run: Run) -> float | None:
    """Seconds from the scheduled instant to the start; None for what has not started, or was started by hand."""
    if run.started_at is None or run.trigger == Run.Trigger.MANUAL:
        return None
    return (run.started_at - run.scheduled_at).total_seconds()
