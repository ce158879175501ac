"""What a host needs to become a worker and to start as one: an app without tables, for which requirements-worker.txt is
enough. What it hands over to is ``workers.engine``."""
