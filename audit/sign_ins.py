"""Writes down who signs in, at the console or for a token of the API, and who tries to."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.timezone import now
from knox.models import AuthToken

from audit.acting import actor, of_request
from audit.journal import write
from audit.models import Entry


@receiver(user_logged_in)
def record_sign_in(request: HttpRequest, user: User, **kwargs: Any) -> None:
    """At the console."""
    _record(Entry.What.SIGNED_IN, user, request)


@receiver(user_logged_out)
def record_sign_out(request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    """Nobody is signed out whose session had ended before."""
    if user is not None:
        _record(Entry.What.SIGNED_OUT, user, request)


@receiver(post_save, sender=AuthToken)
def record_token(instance: AuthToken, created: bool, **kwargs: Any) -> None:
    """Over the API."""
    if created:
        user = instance.user
        who = replace(actor(), user=user.pk, by=user.get_username())
        write(User, user.pk, user.get_username(), Entry.What.SIGNED_IN, by=who)


@receiver(user_login_failed)
def record_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any) -> None:
    """By the name that was typed. After the first attempt that django-axes keeps out, further ones say nothing new:
    whoever tries for hours shall not fill the journal."""
    name = str(credentials.get("username") or "")[:150]
    is_locked = bool(getattr(request, "axes_locked_out", False))
    who = replace(of_request(request) if request is not None else actor(), user=None, by=name)
    what = Entry.What.LOCKED_OUT if is_locked else Entry.What.REFUSED
    kind = User._meta.label_lower
    if is_locked:
        known = Entry.objects.filter(by=name, kind=kind, what=what).order_by("-pk").first()
        if known and known.origin == who.origin and known.at > now() - timedelta(hours=settings.AXES_COOLOFF_TIME):
            return
    user = User.objects.filter(username=name).first()
    write(User, user.pk if user else "", name, what, by=who)


def _record(what: str, user: User, request: HttpRequest) -> None:
    who = replace(of_request(request), user=user.pk, by=user.get_username())
    write(User, user.pk, user.get_username(), what, by=who)
