"""The documents: built without a warning, no link that leads nowhere, and nothing of the program left out."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from docs import generate

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
SETTING = re.compile(r"ECTS_[A-Z0-9_]*[A-Z0-9]")


def sources() -> Iterator[Path]:
    for folder in ("audit", "coordination", "ects_site", "logs", "pipelines", "tasks", "workers"):
        yield from (ROOT / folder).rglob("*.py")


def settings_read() -> set[str]:
    """What the code has as a whole text: a variable it reads, or sets for a job."""
    quoted = re.compile(rf"[\"']({SETTING.pattern})[\"']")
    return {name for path in sources() for name in quoted.findall(path.read_text())}


def markdown_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub and MyST make them."""
    headings = re.findall(r"(?m)^#{1,6} (.+)$", re.sub(r"(?s)```.*?```", "", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_setting_is_documented() -> None:
    text = "\n".join(page.read_text() for page in REFERENCE.glob("*.md"))
    documented = set(SETTING.findall(text))
    assert settings_read() - documented == set()


def test_every_documented_setting_exists() -> None:
    """Those made of parts (``secret("SECRET_KEY")``, a prefix for a job's own) are looked for by their part."""
    code = "\n".join(path.read_text() for path in sources())
    documented = set(SETTING.findall((REFERENCE / "settings.md").read_text()))
    assert {name for name in documented if name.removeprefix("ECTS_") not in code} == set()


@pytest.mark.parametrize("page", generate.pages(), ids=lambda path: path.name)
def test_generated_pages_are_current(page: Path) -> None:
    assert page.read_text() == generate.pages()[page], "run scripts/docs --write"


def test_every_field_and_parameter_of_the_api_has_a_sentence() -> None:
    """Another one than that of its type; see ``ects_site/openapi/fields.yaml``."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    silent = [
        f"{name}.{field}"
        for name, about in schema["components"]["schemas"].items()
        for field, said in about.get("properties", {}).items()
        if not said.get("description") or said["description"].startswith("* ")
    ]
    silent += [
        f"{path} {parameter['name']}"
        for path, operations in schema["paths"].items()
        for operation in operations.values()
        for parameter in operation.get("parameters", [])
        if not parameter.get("description") or parameter["description"].startswith("* ")
    ]
    silent += [
        f"{method} {path}"
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
        if not operation.get("description")
    ]
    assert silent == []


def test_every_option_of_every_command_says_what_it_does() -> None:
    rows = re.findall(r"(?m)^\| (.+) \| *(.*?) *\|$", generate.commands_page())
    assert len(rows) > 30
    assert [option for option, meaning in rows if not meaning] == []


def test_every_script_has_a_help() -> None:
    named = set(re.findall(r"(?m)^## `scripts/(.+)`$", generate.scripts_page()))
    assert named == {path.name for path in (ROOT / "scripts").iterdir() if path.is_file()}


def test_links_lead_somewhere() -> None:
    broken = []
    for page in markdown_files():
        text = re.sub(r"(?s)```.*?```|`[^`\n]*`", "", page.read_text())
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _hash, anchor = target.partition("#")
            place = (page.parent / path).resolve() if path else page
            if not place.exists() or (anchor and anchor not in anchors(place)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "reference" / "settings.html").exists()
