"""Puts the sentences of ``fields.yaml`` into the OpenAPI document, which Swagger and ``docs/reference/api.md`` show.

They are kept apart from the serializers, so that one place can be read as a whole and a missing one is found.
"""

from pathlib import Path
from typing import Any

import yaml

SENTENCES: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("fields.yaml").read_text())
"""By schema, then by field. ``common`` holds for every schema, ``parameters`` for what stands in an address."""


def describe(result: dict[str, Any], **_settings: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: what says something already is left as it is."""
    for name, schema in result.get("components", {}).get("schemas", {}).items():
        for field, about in schema.get("properties", {}).items():
            _say(about, sentence(name, field))
    for path, operations in result.get("paths", {}).items():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                _say(parameter, _of_parameter(path, parameter["name"]))
    return result


def sentence(schema: str, field: str) -> str:
    """What is known of a field; empty when nothing is. A schema for changes has the fields of the whole."""
    if schema.startswith("Paginated"):
        return SENTENCES["pages"].get(field, "")
    own = SENTENCES.get(schema.removeprefix("Patched"), {})
    return own.get(field) or SENTENCES["common"].get(field, "")


def _of_parameter(path: str, name: str) -> str:
    """``pipelines.id`` before ``id``."""
    kind = path.split("/")[3]
    return SENTENCES["parameters"].get(f"{kind}.{name}") or SENTENCES["parameters"].get(name, "")


def _say(about: dict[str, Any], text: str) -> None:
    """A choice's list of values, which is all that drf-spectacular says of it, comes after the sentence."""
    said = about.get("description", "")
    if text and (not said or said.startswith("* ")):
        if "$ref" in about:
            about["allOf"] = [{"$ref": about.pop("$ref")}]
        about["description"] = f"{text}\n\n{said}".strip()
