"""What the nodes' side tells the apps above it, in its transaction."""

from django.dispatch import Signal

node_retired = Signal()
"""``node``: the Node, still as it was; ``at``: aware datetime. Nothing of it is in service from now on."""
