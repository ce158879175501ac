"""Users and groups in the admin, in its style: third-party pages are plain until they are registered anew."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from knox.models import AuthToken
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from audit.journal import write
from audit.models import Entry
from logs.confirmation import by_dialog

# A token is shown once, over the API; a page of digests helps nobody.
admin.site.unregister([User, Group, AuthToken])


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    """Who may sign in, and what they may do."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    actions_detail = ["revoke_tokens"]
    add_fieldsets = (*DjangoUserAdmin.add_fieldsets, (None, {"fields": ["is_staff"]}))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Whoever is added is to sign in here: without it the right password would be called wrong."""
        return {"is_staff": True, **super().get_changeform_initial_data(request)}

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Where there are tokens; or when the dialog was opened there were."""
        may_change: bool = self.has_change_permission(request)
        if not may_change or request.method == "POST":
            return may_change
        user = self.get_object(request, object_id)
        return user is not None and AuthToken.objects.filter(user=user).exists()

    @by_dialog(
        _("Revoke API tokens"),
        _("Programs that use one of this user's tokens are refused from now on, and need a new one."),
        icon="key_off",
        permission="revoke",
    )
    def revoke_tokens(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """All of one user."""
        if (user := self.get_object(request, object_id)) is None:
            raise Http404
        with transaction.atomic():
            _rows, of_kinds = AuthToken.objects.filter(user=user).delete()
            if number := of_kinds.get(AuthToken._meta.label, 0):
                write(User, user.pk, user.get_username(), Entry.What.SIGNED_OUT)
        said = ngettext("%(count)d token was revoked.", "%(count)d tokens were revoked.", number)
        messages.success(request, said % {"count": number})
        return HttpResponse(headers={"HX-Redirect": reverse("admin:auth_user_change", args=[user.pk])})


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Permissions given to several users at once."""

    empty_icon = "groups"
    empty_hint = _("A group holds permissions, and all of its users have them: viewers and operators, say.")
