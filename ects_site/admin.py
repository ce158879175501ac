"""Users and groups in the admin, in its style: third-party pages are plain until they are registered anew."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

# A token is shown once, over the API; a page of digests helps nobody.
admin.site.unregister([User, Group, AuthToken])


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    """Who may sign in, and what they may do."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    add_fieldsets = (*DjangoUserAdmin.add_fieldsets, (None, {"fields": ["is_staff"]}))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Whoever is added is to sign in here: without it the right password would be called wrong."""
        return {"is_staff": True, **super().get_changeform_initial_data(request)}


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Permissions given to several users at once."""

    empty_icon = "groups"
    empty_hint = _("A group holds permissions, and all of its users have them: viewers and operators, say.")
