"""Django settings of ``manage.py runworker``, whoever starts it.

They know nothing of the console: a host that only executes needs requirements-worker.txt and no more, and neither
reads nor makes any of the console's secrets.
"""

from ects_site import VERSION
from ects_site.locations import BASE_DIR, data_dir

__all__ = ["BASE_DIR", "DATA_DIR", "INSTALLED_APPS", "TIME_ZONE", "USE_TZ", "VERSION"]

DATA_DIR = data_dir()
INSTALLED_APPS = ["workers.host"]
USE_TZ = True
TIME_ZONE = None
"""The host's own. Django's default is Chicago, which it would put into the environment, and into that of all jobs."""
