"""Takes the pictures of ``scripts/screenshots``: python -m tests.endtoend.screenshots DIRECTORY."""

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page

from tests.browsing import chromium
from tests.endtoend.installation import ROOT, Installation, wait_for

WORKERS = ("worker-bj-1", "worker-fra-1", "worker-sh-2")

EXTRACT = r"""printf '\033[32m+ /opt/jobs/extract.sh\033[0m\n[info] connected to warehouse-primary:5432\n'
if mkdir "/tmp/$ECTS_RUN_ID" 2>/dev/null; then
sleep 0.2; printf '\033[31m[error] the source is locked\033[0m\n'; exit 75; fi
rmdir "/tmp/$ECTS_RUN_ID"; sleep 0.4
printf '[info] batch 1/2 written in 0.41s\n\033[33m[warn] 17 rows rejected: currency is null\033[0m\n'
printf '[info] 校验完成:1,204,314 行\n[info] finished: ok\n'"""

SIZES = {"light": (1440, 900), "dark": (1440, 900), "phone": (390, 844)}


def pages(ects: Installation) -> dict[str, str]:
    """What is pictured, by name."""
    steps = [
        {"task": ects.task("shell", EXTRACT, name="extract"), "position": 1, "retries": 2, "interval": 0.2},
        {"task": ects.task("shell", "sleep 0.7; echo transformed", name="transform"), "position": 2},
        {"task": ects.task("shell", "sleep 0.3; echo checked", name="check"), "position": 2, "dependence": "weak"},
        {"task": ects.task("http", name="tell the team", url=f"{ects.url}/healthz"), "position": 3},
    ]
    long = ects.task("shell", "for n in $(seq 600); do echo part $n; sleep 1; done", name="reindex")
    going = ects.pipeline("@manual", [{"task": long, "position": 1}], name="archive-reindex")
    ects.post(f"pipelines/{going}/run/", {}, 202)
    pipeline = ects.pipeline("0 6 * * 1-5", steps, timezone="Europe/Paris", name="warehouse-morning")
    run = ects.run_now(pipeline)["id"]
    # A run that failed: the page that says why has something to tell.
    failed = next(run for run in ects.listed("runs/", state="failed") if run["pipeline_name"] == "orders-etl")
    old = next(one["id"] for one in ects.listed("pipelines/") if one["name"] == "invoices-nightly")
    fleet = next(node["id"] for node in ects.nodes() if node["name"] == WORKERS[0])
    calendars = {calendar["name"]: calendar["id"] for calendar in ects.listed("calendars/")}
    return {
        "sign-in": "/admin/login/",
        "dashboard": "/admin/",
        "pipelines": "/admin/pipelines/pipeline/",
        "pipeline": f"/admin/pipelines/pipeline/{old}/change/",
        "steps": f"/admin/pipelines/pipeline/{pipeline}/change/#steps-group",
        "why": f"/admin/pipelines/pipeline/{failed['pipeline']}/explain/?" + urlencode({"at": failed["scheduled_at"]}),
        "runs": "/admin/logs/run/",
        "run": f"/admin/logs/run/?q={run}",
        "nodes": "/admin/workers/node/",
        "node": f"/admin/workers/node/{fleet}/change/",
        "add-node": "/admin/workers/node/add/",
        "tasks": "/admin/tasks/task/",
        "task": f"/admin/tasks/task/{steps[0]['task']}/change/",
        "calendar": f"/admin/pipelines/calendar/{calendars['maintenance window']}/change/",
        "audit": "/admin/audit/entry/",
    }


def take(browser: Browser, ects: Installation, wanted: dict[str, str], look: str, directory: Path) -> None:
    """All pages in one look."""
    width, height = SIZES[look]
    scheme = "dark" if look == "dark" else "light"
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB")
    page = context.new_page()
    for name, path in wanted.items():
        _open(page, ects.url + path, is_a_run=name == "run")
        file = directory / f"{name}-{look}.png"
        page.screenshot(path=file)
        print(file, flush=True)
        if name == "sign-in":
            _sign_in(page, ects, scheme)
    context.close()


def _sign_in(page: Page, ects: Installation, scheme: str) -> None:
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", ects.password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{ects.url}/admin/")
    page.evaluate("scheme => localStorage.setItem('adminTheme', JSON.stringify(scheme))", scheme)


def _open(page: Page, url: str, *, is_a_run: bool) -> None:
    page.goto(url, wait_until="networkidle" if not is_a_run else "load")
    if is_a_run:
        page.locator("#result_list tbody a").first.click()
        page.wait_for_selector("[data-run-state]")
    # Fonts and what the page fetches for itself.
    page.evaluate("document.fonts.ready")


def _furnish(ects: Installation) -> None:
    """Workers, of which one is away, and a history."""
    for name in WORKERS:
        ects.add_worker(name)
    environment = ects.environment | {"DJANGO_SETTINGS_MODULE": "ects_site.settings"}
    subprocess.run([sys.executable, "-m", "tests.endtoend.demonstration"], cwd=ROOT, env=environment, check=True)
    away = ects.workers.pop()
    away.send_signal(signal.SIGTERM)
    away.wait(120)
    wait_for("one is away", lambda: [node for node in ects.nodes() if node["status"] != "online"])
    wait_for(
        "all is published",
        lambda: all(one["published"] for one in ects.listed("pipelines/")),
        60,
    )


def _shrink(directory: Path) -> None:
    """To a quarter: the pictures have few colours."""
    if (pngquant := shutil.which("pngquant")) is None:
        return
    pictures = map(str, sorted(directory.glob("*.png")))
    subprocess.run([pngquant, "--force", "--strip", "--ext=.png", "--skip-if-larger", "256", *pictures], check=False)


def main() -> None:
    """Reads the command line."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        ects = Installation(Path(place) / "var")
        try:
            ects.start()
            _furnish(ects)
            wanted = pages(ects)
            for look in SIZES:
                take(browser, ects, wanted, look, directory)
        finally:
            ects.stop()
    _shrink(directory)


if __name__ == "__main__":
    main()
