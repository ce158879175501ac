"""Form fields for maps and lists of texts: one entry a line, which is what people type."""

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from unfold.widgets import UnfoldAdminTextareaWidget


class LinesWidget(UnfoldAdminTextareaWidget):
    """A few lines high."""

    def __init__(self, rows: int = 3) -> None:
        super().__init__(attrs={"rows": rows, "spellcheck": "false"})


class MapField(forms.Field):
    """``NAME=value`` lines (or ``Name: value`` with another separator) as a map.

    A JSON object is taken as well, and shown where lines would not say the same.
    """

    def __init__(self, *, separator: str, rows: int = 3, **kwargs: Any) -> None:
        self.separator = separator
        super().__init__(widget=LinesWidget(rows), required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Lines for the text area."""
        if not isinstance(value, dict):
            return value
        glue = self.separator if self.separator == "=" else f"{self.separator} "
        lines = "\n".join(f"{name}{glue}{text}" for name, text in value.items())
        return lines if self._means(lines, value) else json.dumps(value, ensure_ascii=False, indent=1)

    def to_python(self, value: Any) -> dict[str, Any]:
        """Raises ValidationError, which names the line."""
        text = (value or "").replace("\r\n", "\n")
        if text.lstrip().startswith("{") and not text.lstrip().startswith("{{"):
            return self._from_json(text)
        result = {}
        for line in text.split("\n"):
            if line.strip():
                name, found, rest = line.partition(self.separator)
                if not found:
                    raise ValidationError(
                        _("%(line).100s: write a name, %(separator)s and a value.")
                        % {"line": line, "separator": self.separator}
                    )
                result[name.strip()] = rest if self.separator == "=" else rest.strip()
        return result

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compares what is meant, not how it is written."""
        try:
            return (initial or {}) != self.to_python(data)
        except ValidationError:
            return True

    def _means(self, lines: str, value: dict[str, Any]) -> bool:
        """Whether the lines come back as the map. (A browser turns a carriage return into a line break.)"""
        try:
            return "\r" not in lines and self.to_python(lines) == value
        except ValidationError:
            return False

    def _from_json(self, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise ValidationError(_("This is neither lines of names and values nor JSON.")) from None
        if not isinstance(value, dict):
            raise ValidationError(_("Give names and values."))
        return value


class ListField(forms.Field):
    """One entry a line (or separated by commas) as a list."""

    def __init__(self, *, rows: int = 3, **kwargs: Any) -> None:
        super().__init__(widget=LinesWidget(rows), required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Lines for the text area."""
        return "\n".join(str(one) for one in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:
        """Never fails; what the entries are is for others to judge."""
        return [one.strip() for line in (value or "").splitlines() for one in line.split(",") if one.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compares what is meant, not how it is written."""
        return (initial or []) != self.to_python(data)
