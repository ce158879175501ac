"""The history of an object, a button on each object's page, is its part of the journal."""

from urllib.parse import urlencode

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from simple_history.admin import SimpleHistoryAdmin

from audit.watched import KINDS
from logs.models import Run


def of_object(request: HttpRequest, app: str, model: str, key: str) -> HttpResponse:
    """What the journal tells of it; where nothing is watched, what Django's admin tells."""
    kind, key = f"{app}.{model}", unquote(key)
    if kind not in KINDS:
        return _model_admin(app, model).history_view(request, key)
    if KINDS[kind][0] is Run:
        key = str(Run.objects.filter(pk=key).values_list("uuid", flat=True).first() or key)
    return redirect(f"{reverse('admin:audit_entry_changelist')}?{urlencode({'kind': kind, 'object': key})}")


def versions(request: HttpRequest, app: str, model: str, key: str) -> HttpResponse:
    """The whole rows that are kept of it, each of which can be brought back."""
    model_admin = _model_admin(app, model)
    if not isinstance(model_admin, SimpleHistoryAdmin):
        raise Http404
    return model_admin.history_view(request, unquote(key))


def _model_admin(app: str, model: str) -> admin.ModelAdmin:
    try:
        return admin.site.get_model_admin(apps.get_model(app, model))
    except (LookupError, NotRegistered):
        raise Http404 from None
