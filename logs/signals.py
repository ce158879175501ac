"""What ingest tells the apps above it; in its transaction, with ``node`` (uuid), unless said otherwise."""

from django.dispatch import Signal

documents_applied = Signal()
"""``records``: list of ``coordination.records.AppliedRecord``."""

documents_refused = Signal()
"""``records``: list of ``coordination.records.RefusedRecord``."""

node_reported = Signal()
"""``report``: ``coordination.records.NodeReport``; ``received_at``: aware datetime. A receiver may answer with a
``coordination.records.Word``, which goes back to the node."""

records_taken = Signal()
"""``records``: how many were new; ``lag``: seconds since the first end of a run among them, None when there is none.
Sent after the transaction."""

batch_answered = Signal()
"""Of each batch that holds records. ``refused``: whether one of them was; ``seconds``: how long it took. Sent after the
transaction, without a node."""
