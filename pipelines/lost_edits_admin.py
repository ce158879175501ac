"""Changes that a restored database does not have: read, made again by hand, and then deleted here."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from pipelines.models import LostEdit


@admin.register(LostEdit)
class LostEditAdmin(ModelAdmin):
    """Told by the outbox."""

    list_display = ["pipeline_name", "made", "found_at"]
    search_fields = ["pipeline_name"]
    empty_icon = "settings_backup_restore"
    empty_hint = _("After the database was restored from a backup, changes that it does not have are named here.")
    fields = readonly_fields = ["pipeline_name", "pipeline", "made", "found_at"]

    @admin.display(description=_("made"), ordering="generation")
    def made(self, edit: LostEdit) -> datetime:
        """When the change was made."""
        return edit.made_at

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
