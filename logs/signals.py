"""What ingest tells the apps above it, in its transaction; each carries ``node`` (uuid)."""

from django.dispatch import Signal

documents_applied = Signal()
"""``records``: list of ``coordination.records.AppliedRecord``."""

documents_refused = Signal()
"""``records``: list of ``coordination.records.RefusedRecord``."""

node_reported = Signal()
"""``report``: ``coordination.records.NodeReport``; ``received_at``: aware datetime. A receiver may answer with a
``coordination.trust.Notice``, which goes back to the node."""
