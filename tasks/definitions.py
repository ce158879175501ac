"""What every definition (task, secret, pipeline, step, binding) has in common: no change of it goes unnoticed.

Workers act on copies of the definitions, so whoever publishes them has to learn of every change, the bulk ones
included, inside the transaction that makes it.
"""

from collections.abc import Iterable
from typing import Any

from django.db import models, transaction
from django.dispatch import Signal

definitions_changed = Signal()
"""Sent in the transaction of the change, with the model as sender, ``instances``, a list of what changed as it was
before, and ``are_new``: they did not exist before, and are as they are now."""


class DefinitionQuerySet(models.QuerySet):
    """Bulk writes that tell of what they changed. (``delete`` and ``save`` tell by Django's own signals.)"""

    def update(self, **values: Any) -> int:
        """As Django's, and tells. ``bulk_update`` comes by here too."""
        with transaction.atomic(using=self.db):
            changed: list[Any] = list(self.order_by("pk").select_for_update())
            # By primary key: the filter may ask for what is being changed.
            exactly: Any = self.model._default_manager.using(self.db).filter(pk__in=[row.pk for row in changed])
            updated = exactly.update_quietly(**values)
            definitions_changed.send(sender=self.model, instances=changed, are_new=False)
        return updated

    update.alters_data = True  # type: ignore[attr-defined]

    def update_quietly(self, **values: Any) -> int:
        """Django's ``update``: for columns that no worker sees."""
        return super().update(**values)

    update_quietly.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """As Django's, and tells."""
        with transaction.atomic(using=self.db):
            created = super().bulk_create(objs, *args, **kwargs)
            definitions_changed.send(sender=self.model, instances=created, are_new=True)
        return created


class Definition(models.Model):
    """Saves in one transaction with whatever is marked because of it."""

    objects = DefinitionQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As Django's; receivers of ``post_save`` share its transaction."""
        with transaction.atomic():
            super().save(*args, **kwargs)
