"""Celery with beat and Redis as a peer: an application whose jobs, all due at one minute, run a command by the shell.

From the environment: ``BENCH_REDIS`` (a URL), ``BENCH_COUNT``, ``BENCH_MINUTE`` and ``BENCH_HOUR`` (UTC),
``BENCH_COMMAND``. Settings: its own defaults; the worker is started with as many threads as ours has places.
"""

import os
import subprocess

from celery import Celery
from celery.schedules import crontab

app = Celery("bench", broker=os.environ["BENCH_REDIS"])
app.conf.update(
    timezone="UTC",
    task_ignore_result=True,
    beat_schedule={
        f"job-{number}": {
            "task": "bench.run",
            "schedule": crontab(minute=os.environ["BENCH_MINUTE"], hour=os.environ["BENCH_HOUR"]),
            "args": (os.environ["BENCH_COMMAND"],),
        }
        for number in range(int(os.environ["BENCH_COUNT"]))
    },
)


@app.task(name="bench.run")
def run(command: str) -> None:
    """The job."""
    subprocess.run(["/bin/sh", "-c", command], check=True, stdout=subprocess.PIPE)
