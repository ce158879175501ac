"""How much of each pipeline's history is kept, in the admin. Here, since ``logs`` does not know pipelines."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget

from logs.models import Retention
from pipelines.models import Pipeline


class RetentionForm(forms.ModelForm):
    """A pipeline is chosen by its name, once."""

    class Meta:
        model = Retention
        fields = ["pipeline", "days", "runs", "output_bytes"]

    pipeline = forms.ModelChoiceField(
        Pipeline.objects.order_by("name"), label=_("Pipeline"), widget=UnfoldAdminSelectWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            del self.fields["pipeline"]

    def clean_pipeline(self) -> Any:
        """The id, which is what is stored."""
        pipeline = self.cleaned_data["pipeline"]
        if Retention.objects.filter(pipeline=pipeline.pk).exists():
            raise forms.ValidationError(_("This pipeline has limits of its own already: change them in the list."))
        self.instance.pipeline_name = pipeline.name
        return pipeline.pk


@admin.register(Retention)
class RetentionAdmin(ModelAdmin):
    """What differs from the limits that hold for all."""

    form = RetentionForm
    list_display = ["pipeline_name", "days", "runs", "output_bytes"]
    search_fields = ["pipeline_name"]
    empty_icon = "auto_delete"
    empty_title = _("No pipeline has limits of its own")
    empty_hint = _(
        "The history of every pipeline is kept as the settings say. One that needs another limit gets it here."
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Of one that is there, the pipeline's name."""
        return ["pipeline_name" if obj else "pipeline", "days", "runs", "output_bytes"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """It stays what it was made for."""
        return ["pipeline_name"] if obj else []
