"""``manage.py explain PIPELINE --at INSTANT``: why it did or did not run."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from pipelines.explaining import explain
from pipelines.explaining.answer import shown
from pipelines.explaining.question import NotUnderstood, instant_of, node_of, pipeline_of


class Command(BaseCommand):
    """Prints the answer for each node."""

    help = "Say why a pipeline did or did not run at an instant. Exit status 2 for what cannot be understood."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pipeline", help="its name or id")
        parser.add_argument("--at", required=True, help="ISO 8601 instant; in the pipeline's zone without an offset")
        parser.add_argument("--node", default="", help="name or id of a node (each node that is bound)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError with status 2 for what cannot be understood."""
        try:
            pipeline = pipeline_of(options["pipeline"])
            at = instant_of(options["at"], pipeline)
            node = node_of(options["node"])
        except NotUnderstood as error:
            raise CommandError(str(error), returncode=2) from None
        found = explain(pipeline, at, node, now())
        self.stdout.write(f"{found.pipeline} at {shown(at, pipeline.timezone)}")
        for answer in found.answers:
            self.stdout.write(f"\n{answer.node or 'all nodes'}: {answer.verdict}")
            for sentence in answer.sentences:
                self.stdout.write(f"  {sentence}")
            for run in answer.runs:
                self.stdout.write(f"  run {run}")
        around = [(word, instant) for word, instant in (("before", found.before), ("after", found.after)) if instant]
        if around:
            texts = [f"{word}: {shown(instant, pipeline.timezone)}" for word, instant in around]
            self.stdout.write(f"\nIts instants around it: {'; '.join(texts)}")
