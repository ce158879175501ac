"""APScheduler as a peer: ``COUNT`` jobs, each of which runs a command by the shell.

Usage: python bench/_apscheduler.py burst COUNT UNIX COMMAND             all due at one instant
       python bench/_apscheduler.py steady COUNT UNIX SECONDS COMMAND    all due in each second, for so many seconds

Settings: its own defaults but for as many threads as the worker has places, no limit of misfires, and as many
instances at once as are due; jobs are kept in memory, nothing is written down.
"""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger

PLACES = 256


def run(command: str) -> None:
    """The job."""
    subprocess.run(["/bin/sh", "-c", command], check=True, stdout=subprocess.PIPE)


def main() -> None:
    """Prints ``ready``, and ends when standard input is closed."""
    kind, count, unix, *rest = sys.argv[1:]
    since = datetime.fromtimestamp(float(unix), UTC)
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(PLACES)},
        job_defaults={"misfire_grace_time": None, "coalesce": False, "max_instances": 1000},
        timezone=UTC,
    )
    for number in range(int(count)):
        if kind == "burst":
            trigger = DateTrigger(since)
        else:
            until = since + timedelta(seconds=float(rest[0]) - 0.5)
            trigger = CronTrigger(second="*", start_date=since, end_date=until, timezone=UTC)
        scheduler.add_job(run, trigger, args=[rest[-1]], id=str(number))
    scheduler.start()
    print("ready", flush=True)
    while sys.stdin.readline():
        time.sleep(0)
    scheduler.shutdown(wait=False)


if __name__ == "__main__":
    main()
