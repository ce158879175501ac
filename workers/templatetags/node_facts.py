"""What a node's page shows beside its fields."""

from typing import Any

from django import template
from django.utils import timezone

from logs.run_times import signed_seconds
from workers.lifecycle import OLD_TOKEN_LIFE
from workers.models import Node
from workers.online import availability

register = template.Library()

SKEW = 1.0
"""Seconds from which on a clock is wrong."""


@register.simple_tag
def node_facts(node: Node) -> dict[str, Any]:
    """When it was online, and its clock in words: ahead or behind."""
    skew = node.clock_skew
    return {
        "online": availability(node, timezone.now()),
        "clock": signed_seconds(skew),
        "refused": node.refusals.count(),
        "is_skewed": skew is not None and abs(skew) > SKEW,
        "old_token_until": node.rotated_at + OLD_TOKEN_LIFE if node.rotated_at else None,
    }


@register.filter
def unlocalized(value: float) -> str:
    """As SVG wants numbers, whatever the language."""
    return str(value)
