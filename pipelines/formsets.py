"""The rows of steps in a pipeline's form."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.forms import PaginationInlineFormSet

from pipelines.models import Step
from pipelines.validation import enabling_errors


class StepFormSet(PaginationInlineFormSet):
    """Positions follow the order of the rows: each row has the next one, or that of the row above when ``beside``. What
    stood beside a row that is removed stays where it is, and does not join the row before.

    Rows that were dragged come numbered from 0; rows that were added and never dragged have no number: they are last.
    """

    def add_fields(self, form: forms.ModelForm, index: int | None) -> None:
        """``beside`` shows what the stored positions say."""
        super().add_fields(form, index)
        if form.instance.pk is not None and index:
            before = self.get_queryset()[index - 1]
            form.initial["beside"] = before.position == form.instance.position

    def clean(self) -> None:
        """Gives the positions; an enabled pipeline needs steps that can run."""
        super().clean()
        self._number()
        if self.instance.enabled and not any(self.errors):
            problems = enabling_errors(self.instance, [form.instance for form in self._rows()])
            if problems:
                raise ValidationError([message for messages in problems.values() for message in messages])

    def save(self, commit: bool = True) -> Any:
        """Rows that only moved are saved too."""
        saved = super().save(commit)
        kept = [form for form in self._rows() if form.instance.pk and not form.has_changed()]
        moved = [form.instance for form in kept if form.instance.position != form.initial.get("position")]
        Step.objects.bulk_update(moved, ["position"])
        return saved

    def _rows(self) -> list[forms.ModelForm]:
        """Those that stay or come, in the order in which they stand."""
        return [form for form in self._standing() if form not in self.deleted_forms]

    def _standing(self) -> list[forms.ModelForm]:
        """With those that are removed."""
        rows = [form for form in self.forms if form in self.initial_forms or form.has_changed()]
        return sorted(rows, key=_place)

    def _number(self) -> None:
        position, is_open = 0, False
        for form in self._standing():
            is_open = is_open and form["beside"].data
            if form in self.deleted_forms:
                continue
            position += 0 if is_open else 1
            is_open = True
            form.instance.position = position


def _place(form: forms.ModelForm) -> tuple[bool, int]:
    place = getattr(form, "place", None)
    return place is None, place or 0
