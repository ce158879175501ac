"""``{{ name }}`` in the texts of tasks: names are replaced by their values, and nothing is ever executed.

One pass only: what a value holds is never looked at again. ``{{ secrets.NAME }}`` is a secret. In the text of a shell
task other programs' templates (``{{ .Names }}``, ``${{ x }}``, unknown names) stay as they are; everywhere else an
unknown name is an error.
"""

import re
from collections.abc import Callable, Mapping

import msgspec

from coordination.documents import TaskDocument

_EXPRESSION = re.compile(r"(?<!\$)\{\{\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?)\s*\}\}")
_SECRETS = "secrets."


class TemplateError(Exception):
    """A text that cannot be filled in. The message is a sentence that names what is missing."""


class Templates:
    """Fills in the texts of one run.

    ``secrets`` are those that this node could open, ``sealed`` the names of all that came with the document.
    """

    def __init__(self, values: Callable[[], Mapping[str, str]], secrets: Mapping[str, str], sealed: set[str]) -> None:
        self._values = values
        self._secrets = secrets
        self._sealed = sealed

    def secret(self, name: str) -> str:
        """The value of a secret. Raises TemplateError, never gives an empty one in its place."""
        if name in self._secrets:
            return self._secrets[name]
        if name in self._sealed:
            raise TemplateError(
                f"The secret {name} could not be opened with this node's key: save it again, or enrol the node anew."
            )
        raise TemplateError(f"There is no secret named {name}: add it under Secrets.")

    def fill(self, text: str, *, lenient: bool = False) -> str:
        """Raises TemplateError for an unknown secret and, unless ``lenient``, for an unknown name."""
        if "{{" not in text:
            return text
        values = self._values()

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith(_SECRETS):
                return self.secret(name.removeprefix(_SECRETS))
            if name in values:
                return values[name]
            if lenient:
                return match[0]
            raise TemplateError(f"Nothing is known under the name {{{{ {name} }}}}: no earlier step gave it as output.")

        return _EXPRESSION.sub(replace, text)

    def task(self, task: TaskDocument) -> TaskDocument:
        """The task with every text filled in. Raises TemplateError."""
        if task.kind == "shell":
            return msgspec.structs.replace(task, content=self.fill(task.content, lenient=True))
        return msgspec.structs.replace(
            task,
            content=self.fill(task.content),
            url=self.fill(task.url),
            headers=self.mapping(task.headers),
            recipients=tuple(self.fill(recipient) for recipient in task.recipients),
            subject=self.fill(task.subject),
        )

    def mapping(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Headers or variables with every value filled in. Raises TemplateError."""
        return {name: self.fill(text) for name, text in texts.items()}
