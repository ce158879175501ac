"""Every text of the console, the theme's included, has its translation, and what is compiled is what is written."""

import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import django.contrib.admin
import pytest
from django.test import Client
from django.utils import translation

from pipelines.schedules import words

ROOT = Path(__file__).resolve().parents[2]
CATALOGUES = ("project", "theme")
GATHERED = ("audit", "ects_site", "logs", "pipelines", "tasks", "workers", "templates", "locale")


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what has texts, after the script has gone over it."""
    copy = tmp_path_factory.mktemp("messages")
    for name in GATHERED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {"ECTS_PYTHON": sys.executable}
    subprocess.run(["scripts/messages", str(copy)], cwd=ROOT, env=environment, check=True, capture_output=True)
    return copy / "locale"


def _catalogue(locale: Path, name: str, suffix: str = "po", domain: str = "django") -> Path:
    return locale / name / "zh_Hans" / "LC_MESSAGES" / f"{domain}.{suffix}"


@pytest.mark.parametrize("name", CATALOGUES)
def test_no_text_is_without_a_translation(gathered: Path, name: str) -> None:
    path = str(_catalogue(gathered, name))
    for what in ("--untranslated", "--only-fuzzy"):
        found = subprocess.run(["msgattrib", what, path], check=True, capture_output=True, text=True).stdout
        assert found == "", "run scripts/messages, translate these, and run it again"


@pytest.mark.parametrize("name", CATALOGUES)
@pytest.mark.parametrize("suffix", ["po", "mo"])
def test_the_catalogues_are_current(gathered: Path, name: str, suffix: str) -> None:
    committed = _catalogue(ROOT / "locale", name, suffix)
    assert filecmp.cmp(committed, _catalogue(gathered, name, suffix), shallow=False), "run scripts/messages"


def test_what_is_written_by_hand_is_compiled(gathered: Path) -> None:
    committed, compiled = (_catalogue(locale, "theme", "mo", "djangojs") for locale in (ROOT / "locale", gathered))
    assert filecmp.cmp(committed, compiled, shallow=False), "run scripts/messages"


@pytest.mark.django_db
def test_the_fields_that_choose_several_speak_chinese(admin_client: Client) -> None:
    """Their texts come from scripts of Django's, of which it has not translated all."""
    script = (Path(django.contrib.admin.__file__).parent / "static/admin/js/SelectFilter2.js").read_text()
    texts = re.findall(r"""\bn?gettext\(\s*(['"])(.+?)\1""", script)
    assert len(texts) > 10
    with translation.override("en"):
        catalogue = admin_client.get("/admin/jsi18n/", headers={"Accept-Language": "zh-hans"}).content.decode()
    known, _end = json.JSONDecoder().raw_decode(catalogue, catalogue.index("{", catalogue.index("newcatalog =")))
    assert [text for _quote, text in texts if text not in known] == []


@pytest.mark.django_db
def test_the_console_speaks_chinese(client: Client, admin_user: object) -> None:
    client.force_login(admin_user)  # type: ignore[arg-type]
    with translation.override("en"):  # What the request chooses would stay for other tests.
        page = client.get("/admin/pipelines/pipeline/add/", headers={"Accept-Language": "zh-hans"}).content.decode()
    assert 'lang="zh-hans"' in page
    for text in ("流水线", "每 5 分钟", "保存并继续编辑", "错过的触发"):
        assert text in page
    labels = re.findall(r"<label[^>]*>([^<]*[A-Za-z]{3}[^<]*)</label>", page)
    assert {label.strip() for label in labels} == {"Umask", "优先级（nice）"}, "the names of system calls stay"
    with translation.override("zh-hans"):
        assert translation.gettext("Runs") == "运行记录"
        assert words("0 8 * 5 1-5") == "在 08:00, 星期一 到 星期五, 仅在 五月"
