"""Writes the reference pages that the program itself can tell: the API from its OpenAPI document, the commands from
their parsers, the scripts from their ``--help``, and the tables of measured figures from their files.
``scripts/docs --write`` calls it.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from drf_spectacular.generators import SchemaGenerator

from docs import figures

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "docs" / "reference"
MEASURED = ROOT / "docs" / "explanation"
NOTE = "<!-- Written by scripts/docs --write: change what it is made from, not this page. -->\n"


def pages() -> dict[Path, str]:
    """Each generated page with its text. Django must be set up."""
    return {
        HERE / "api.md": api_page(_schema()),
        HERE / "commands.md": commands_page(),
        HERE / "scripts.md": scripts_page(),
        **{path: figures.rendered(path.read_text()) for path in MEASURED.glob("*.md")},
    }


def api_page(schema: dict[str, Any]) -> str:
    """Addresses with their parameters, then every schema with its fields."""
    lines = [
        NOTE,
        "# The API",
        "",
        "Everything the console can do, below `/api/v1/`, in JSON. `GET /api/v1/` lists it and every address can be",
        "opened in a browser; `/api/v1/docs/` shows this page with forms to try it, `/api/v1/schema/` is the OpenAPI",
        "document. Sign in with `POST /api/v1/auth/token/` and send `Authorization: Bearer <token>`. Errors have a",
        "sentence in `detail`, or a list of sentences for each field that is wrong.",
        "",
        "## Addresses",
    ]
    for path, operations in schema["paths"].items():
        lines += ["", f"### `{path}`", ""]
        for method, operation in operations.items():
            lines += [f"- **{method.upper()}**: {_sentences(operation.get('description', ''))}{_bodies(operation)}"]
            lines += [
                f"  - `{one['name']}` ({one['in']}): {_sentences(one.get('description', ''))}"
                for one in operation.get("parameters", [])
            ]
    lines += ["", "## What is sent and answered"]
    for name, about in schema["components"]["schemas"].items():
        if "properties" not in about or name.startswith(("Patched", "Paginated")):
            continue
        lines += ["", f"### {name}", "", _sentences(about.get("description", "")), ""]
        lines += ["| field | type | meaning |", "|---|---|---|"]
        for field, said in about["properties"].items():
            mark = " *(read only)*" if said.get("readOnly") else " *(write only)*" if said.get("writeOnly") else ""
            meaning = _cell(_sentences(said.get("description", "")))
            lines.append(f"| `{field}` | {_type(said, schema)} | {meaning}{mark} |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every command of this project with all its options."""
    lines = [NOTE, "# Commands", "", "`.venv/bin/python manage.py COMMAND --help` says the same."]
    ours = {"ects_site", "pipelines", "tasks", "workers", "workers.host", "logs"}
    for name, app in sorted(get_commands().items()):
        if app not in ours:
            continue
        command = load_command_class(str(app), name)
        lines += ["", f"## `manage.py {name}`", "", _escaped(" ".join(str(command.help).split())), ""]
        rows = [_option(action) for action in _own_actions(command.create_parser("manage.py", name))]
        if rows:
            lines += ["| option | meaning |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def scripts_page() -> str:
    """What each script says of itself."""
    lines = [NOTE, "# Scripts", "", "Each is run from anywhere in the checkout and prepares what it needs."]
    for path in sorted((ROOT / "scripts").iterdir()):
        if path.is_file() and (text := _script_help(path)):
            lines += ["", f"## `scripts/{path.name}`", "", "```text", text, "```"]
    return "\n".join(lines) + "\n"


def _script_help(path: Path) -> str:
    """The comment that a shell script begins with, which is also what it prints for ``--help``."""
    said = re.match(r"#![^\n]*\n((?:#[^\n]*\n)+)", path.read_text())
    return re.sub(r"(?m)^# ?", "", said[1]).strip() if said else ""


def _own_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Without what every command of Django has."""
    common = {action.dest for action in BaseCommand().create_parser("manage.py", "common")._actions}
    return (one for one in parser._actions if one.dest not in common and one.help != argparse.SUPPRESS)


def _option(action: argparse.Action) -> str:
    word = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{(action.metavar or action.dest)}`"
    if action.choices:
        word += " " + ", ".join(f"`{choice}`" for choice in action.choices)
    elif action.option_strings and action.nargs != 0:
        word += f" `{action.metavar or action.dest.upper()}`"
    return f"| {word} | {_cell(_escaped(' '.join((action.help or '').split())))} |"


def _schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


def _bodies(operation: dict[str, Any]) -> str:
    """Links to what is sent and what is answered."""
    sent = _links(operation.get("requestBody", {}).get("content", {}))
    answered = [_links(answer.get("content", {})) for answer in operation.get("responses", {}).values()]
    words = [f"takes {sent}" if sent else "", f"answers {answered[0]}" if answered and answered[0] else ""]
    joined = ", ".join(filter(None, words))
    return f" ({joined})" if joined else ""


def _links(content: dict[str, Any]) -> str:
    for body in content.values():
        about = body.get("schema", {})
        reference = about.get("$ref") or about.get("items", {}).get("$ref", "")
        name = reference.rpartition("/")[2].removeprefix("Patched")
        if name.startswith("Paginated"):
            return f"pages of [{_singular(name)}](#{_singular(name).lower()})"
        if name:
            return f"[{name}](#{name.lower()})"
    return ""


def _singular(name: str) -> str:
    return name.removeprefix("Paginated").removesuffix("List")


def _type(about: dict[str, Any], schema: dict[str, Any]) -> str:
    reference = about.get("$ref") or next((one["$ref"] for key in ("allOf", "oneOf") for one in about.get(key, [])), "")
    if reference:
        name = reference.rpartition("/")[2]
        target = schema["components"]["schemas"][name]
        if "enum" in target:
            return ", ".join(f"`{value}`" for value in target["enum"] if value)
        return f"[{name}](#{name.lower()})"
    if about.get("type") == "array":
        return f"list of {_type(about['items'], schema)}"
    if about.get("type") == "object":
        return "map of texts"
    kind = about.get("type", "any")
    # How large a number may be depends on the database that the console has.
    return str(kind if kind == "integer" else about.get("format") or kind)


def _sentences(text: str) -> str:
    """One line; what a choice's values mean is in their names."""
    text = re.split(r"\n\* ", text)[0]
    return _escaped(" ".join(text.replace("``", "`").split()))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    """Angle brackets outside of code would be taken for HTML."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def main() -> None:
    """Writes what has changed, and says so."""
    for path, text in pages().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
