"""Earlier versions of an object in the admin."""

from typing import Any

from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin
from simple_history.models import SIMPLE_HISTORY_REVERSE_ATTR_NAME
from unfold.forms import AdminForm, Fieldline


class VersionedAdmin(SimpleHistoryAdmin):
    """Who may view an object may look at its versions; to bring one back is a change, which the library lets pass with
    the permission to view alone."""

    object_history_form_template = "ects/version.html"

    def history_form_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """One version; by POST it is brought back. The library names the table of versions where the theme makes links
        of the object's own."""
        if request.method == "POST" and not self.has_change_permission(request):
            raise PermissionDenied
        # As the theme does before each of its own forms, and only there.
        vars(helpers).update(AdminForm=AdminForm, Fieldline=Fieldline)
        return super().history_form_view(request, *args, extra_context={"opts": self.opts}, **kwargs)

    def get_form(self, request: HttpRequest, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Of a version it shows what was chosen then; the library shows what is chosen now."""
        version = getattr(obj, SIMPLE_HISTORY_REVERSE_ATTR_NAME, None)
        if version is not None and request.method == "GET":
            obj._prefetched_objects_cache = {
                field.name: field.related_model.objects.filter(pk__in=_chosen(version, field))
                for field in self.opts.many_to_many
            }
        return super().get_form(request, obj, *args, **kwargs)


def _chosen(version: Any, field: Any) -> list[Any]:
    """The keys of what a version had chosen; some may have been deleted since."""
    return list(getattr(version, field.name).values_list(f"{field.m2m_reverse_field_name()}_id", flat=True))
