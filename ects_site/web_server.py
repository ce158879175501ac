"""How gunicorn serves the console: ``gunicorn --config ects_site/web_server.py``. What its command line says wins.

Its processes share one directory in which each counts for itself, so that whichever of them is asked for ``/metrics``
tells of all (https://prometheus.github.io/client_python/multiprocess/).
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

BASE = Path(__file__).resolve().parent.parent
# gunicorn reads this file before it goes to the directory of which the file tells.
sys.path.insert(0, str(BASE))

from ects_site import environment  # noqa: E402

MEMORY = Path("/dev/shm")  # noqa: S108 - a private directory is made in it
"""For files that are written often and need not last, where there is such a place."""

COUNTS = "PROMETHEUS_MULTIPROC_DIR"

environment.load_settings_file()

chdir = str(BASE)
wsgi_app = "ects_site.wsgi:application"
bind = environment.web_address()
worker_class = "gthread"
workers = 2
threads = 32
timeout = 60
graceful_timeout = 10
keepalive = 15
control_socket_disable = True
worker_tmp_dir = str(MEMORY) if os.access(MEMORY, os.W_OK) else None
logger_class = "ects_site.web_log.Logger"
accesslog = "-" if environment.env.bool("ECTS_ACCESS_LOG", default=False) else None


def on_starting(server: Any) -> None:
    """Once for each start of gunicorn; a restart in place (USR2) inherits the variable, and counts anew."""
    os.environ[COUNTS] = tempfile.mkdtemp(prefix="ects-metrics-", dir=worker_tmp_dir)


def on_exit(server: Any) -> None:
    """In gunicorn itself, at its end."""
    shutil.rmtree(os.environ[COUNTS], ignore_errors=True)
