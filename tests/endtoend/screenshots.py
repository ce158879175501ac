"""Takes the pictures of ``scripts/screenshots``: python -m tests.endtoend.screenshots DIRECTORY."""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.endtoend.installation import ROOT, Installation
from tests.endtoend.test_browser import CHROMIUM

SCRIPT = r"""printf '\033[32m+ /opt/jobs/load.sh\033[0m\n[info] connected to warehouse-primary:5432\n'
printf '[info] batch 1/2 written in 0.41s\n\033[33m[warn] 17 rows rejected: currency is null\033[0m\n'
sleep 0.4; echo '[info] finished: ok'"""

SIZES = {"light": (1440, 900), "dark": (1440, 900), "phone": (390, 844)}


def pages(ects: Installation) -> dict[str, str]:
    """What is pictured, by name."""
    steps = [
        {"task": ects.task("shell", SCRIPT, name="extract"), "position": 1},
        {"task": ects.task("shell", "sleep 0.7; echo transformed", name="transform"), "position": 2},
        {"task": ects.task("shell", "sleep 0.3; echo report mailed", name="report"), "position": 2},
    ]
    pipeline = ects.pipeline("0 6 * * 1-5", steps, timezone="Europe/Paris", name="warehouse-morning")
    run = ects.run_now(pipeline)["id"]
    return {
        "dashboard": "/admin/",
        "pipelines": "/admin/pipelines/pipeline/",
        "pipeline": f"/admin/pipelines/pipeline/{pipeline}/change/",
        "runs": "/admin/logs/run/",
        "run": f"/admin/logs/run/?q={run}",
        "nodes": "/admin/workers/node/",
        "node": f"/admin/workers/node/{ects.node}/change/",
        "add-node": "/admin/workers/node/add/",
        "tasks": "/admin/tasks/task/",
    }


def take(browser: Browser, ects: Installation, wanted: dict[str, str], look: str, directory: Path) -> None:
    """All pages in one look."""
    width, height = SIZES[look]
    scheme = "dark" if look == "dark" else "light"
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{ects.url}/admin/login/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", ects.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/")
    page.evaluate("scheme => localStorage.setItem('adminTheme', JSON.stringify(scheme))", scheme)
    for name, path in wanted.items():
        _open(page, ects.url + path, is_a_run=name == "run")
        page.screenshot(path=directory / f"{name}-{look}.png")
        print(directory / f"{name}-{look}.png", flush=True)
    context.close()


def _open(page: Page, url: str, *, is_a_run: bool) -> None:
    page.goto(url, wait_until="networkidle" if not is_a_run else "load")
    if is_a_run:
        page.locator("#result_list tbody a").first.click()
        page.wait_for_selector("[data-run-state]")
    # Fonts and what the page fetches for itself.
    page.evaluate("document.fonts.ready")


def main() -> None:
    """Reads the command line."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        ects = Installation(Path(place) / "var")
        try:
            ects.start()
            environment = ects.environment | {"DJANGO_SETTINGS_MODULE": "ects_site.settings"}
            command = [sys.executable, "-m", "tests.endtoend.demonstration"]
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
            wanted = pages(ects)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            for look in SIZES:
                take(browser, ects, wanted, look, directory)
            browser.close()
        finally:
            ects.stop()


if __name__ == "__main__":
    main()
