"""The dashboard and the alerts: well formed, in PromQL, and each alert speaks when it should and not before."""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "grafana" / "alerts.yaml"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "grafana" / "ects.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def promtool(*words: str) -> None:
    """Raises with what it says when it does not approve."""
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def expressions() -> list[str]:
    """Of all panels, with an interval in place of Grafana's variable."""
    return [one["expr"].replace("$__rate_interval", "5m") for panel in PANELS for one in panel["targets"]]


def test_the_dashboard_hangs_together() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids)) > 30
    [source] = DASHBOARD["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    for panel in PANELS:
        sources = [panel["datasource"], *(one["datasource"] for one in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}, panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        letters = [one["refId"] for one in panel["targets"]]
        assert len(letters) == len(set(letters)), panel["title"]


def test_no_two_panels_cover_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_expression_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions())]
    assert len(rules) > 40
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_the_alerts_are_rules() -> None:
    promtool("check", "rules", str(ALERTS))


def test_each_alert_speaks_when_it_should(tmp_path: Path) -> None:
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    cases = (Path(__file__).parent / "alerts_test.yaml").read_text().replace("ALERTS]", f"{ALERTS}]")
    assert {rule["alert"] for rule in rules if rule["alert"] not in cases} == set(), "without a case"
    file = tmp_path / "cases.yaml"
    file.write_text(cases)
    promtool("test", "rules", str(file))
