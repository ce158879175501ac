from typing import Any
from uuid import UUID

from django.apps import AppConfig
from django.db.models import Model, QuerySet
from django.utils.translation import gettext_lazy as _


class PipelinesConfig(AppConfig):
    name = "pipelines"
    verbose_name = _("Pipelines")

    def ready(self) -> None:
        from logs import run_neighbours, search
        from pipelines import run_orders, signals  # noqa: F401 - connects the receivers
        from pipelines.models import Pipeline
        from workers.models import Node

        search.register("pipeline", lambda text, most: _named(Pipeline, text, most))
        search.register("node", lambda text, most: _named(Node, text, most))
        run_neighbours.register(run_orders.knowledge)


def _named(model: type[Model], text: str, most: int) -> "QuerySet[Any, tuple[UUID, str]]":
    rows = model._default_manager.filter(name__icontains=text).order_by("name")
    return rows.values_list("pk", "name")[:most]
