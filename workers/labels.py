"""Labels of nodes as people write them: name=value."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _


class LabelsField(forms.CharField):
    """A map of short texts. ``separator``: what stands between two labels; None: any space."""

    def __init__(self, *, separator: str | None, **options: Any) -> None:
        super().__init__(required=False, **options)
        self.separator = separator

    def prepare_value(self, value: Any) -> Any:
        """The stored map as text."""
        if not isinstance(value, dict):
            return value
        return (self.separator or " ").join(f"{name}={text}" for name, text in value.items())

    def to_python(self, value: Any) -> Any:
        """Raises ValidationError for what is no name=value."""
        labels = {}
        for word in filter(None, map(str.strip, (value or "").split(self.separator))):
            name, sign, text = word.partition("=")
            if not (name.strip() and sign and text.strip()):
                raise ValidationError(_("Write each as name=value."))
            labels[name.strip()] = text.strip()
        return labels

    def has_changed(self, initial: Any, data: Any) -> bool:
        """By what it means."""
        try:
            return bool(self.to_python(data) != (initial or {}))
        except ValidationError:
            return True
