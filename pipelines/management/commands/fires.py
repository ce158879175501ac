"""``manage.py fires "EXPR"``: when a schedule fires."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import now

from workers.engine.schedule import Schedule, ScheduleError, next_fires
from workers.engine.zones import load_zone


class Command(BaseCommand):
    """Prints the next fires, one ISO 8601 instant with offset a line, in the schedule's zone."""

    help = "Print the next fires of a schedule, in its time zone. Exit status 2 and the reason for bad text."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("expression", help="cron text of 5 to 7 fields, or a name such as @daily")
        parser.add_argument("--timezone", default="UTC", help="IANA name (UTC)")
        parser.add_argument("--after", default="", help="ISO 8601 instant, taken in the zone without an offset (now)")
        parser.add_argument("--count", type=int, default=5, help="how many (5)")
        parser.add_argument("--key", default="", help="a pipeline's id, which H is hashed from")
        parser.add_argument(
            "--dst-gap", default="shift", choices=["shift", "skip"], help="of a fire in the gap (shift)"
        )
        parser.add_argument(
            "--dst-repeat", default="first", choices=["first", "both"], help="in the hour that comes twice (first)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError with status 2 for what cannot be understood."""
        try:
            load_zone(options["timezone"])  # has the better words for what is no zone
            zone = ZoneInfo(options["timezone"])
            after = _instant(options["after"], zone) if options["after"] else now()
            schedule = Schedule.parse(
                options["expression"],
                timezone=options["timezone"],
                key=options["key"],
                dst_gap=options["dst_gap"],
                dst_repeat=options["dst_repeat"],
                now=min(after, now()),
            )
        except (ScheduleError, ValueError) as error:
            raise CommandError(str(error), returncode=2) from None
        if options["count"] < 1:
            raise CommandError("--count: give 1 or more.", returncode=2)
        for instant in next_fires(schedule, after, options["count"]):
            self.stdout.write(instant.astimezone(zone).isoformat())


def _instant(text: str, zone: ZoneInfo) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--after: {text!r} is no instant: write one such as 2026-03-29T01:00:00Z.") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=zone)
