"""Sliders in JupyterLab, in a headless Chromium: open, run all, move one, see the figure change.

Needs ``pip install -e ".[notebooks,browser]"`` and a Chromium (``apt install chromium``, or name it
in ``ECSTFL_CHROMIUM``); skipped without them. By default one lesson is tried, with
``ECSTFL_LAB=all`` every lesson that has sliders. ``ECSTFL_SCREENSHOTS=FOLDER`` keeps pictures.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("jupytext")
pytest.importorskip("jupyterlab", reason="JupyterLab is missing: pip install -e '.[notebooks]'")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: pip install -e '.[browser]'"
)

from lessonkit.builder import books, reading  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    path.stem
    for path in reading.sources(ROOT, [] if os.environ.get("ECSTFL_LAB") == "all" else ["04"])
    if re.search(r"^(\w+ = )?play\(", path.read_text(encoding="utf-8"), re.MULTILINE)
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of its own over copies of the complete notebooks; yields its address."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    for name in NAMES:
        lesson = reading.read_lesson(ROOT / "notebooks" / "src" / f"{name}.py")
        book = books.complete_notebook(lesson, {"minutes": "1", "memory": "1 GB"})
        path = folder / "notebooks" / f"{name}.ipynb"
        path.write_text(books.dumps(book), encoding="utf-8")
    places = ("CONFIG", "DATA", "RUNTIME")
    environment = {
        **os.environ,
        **{f"JUPYTER_{place}_DIR": str(folder / place.lower()) for place in places},
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "ECSTFL_PROFILE": "smoke",
        "OMP_NUM_THREADS": "1",
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"),
        *("--IdentityProvider.token=", f"--ServerApp.root_dir={folder / 'notebooks'}"),
    ]
    log = folder / "log.txt"
    with log.open("w") as written:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=written, stderr=written
        )
    try:
        for _ in range(240):
            found = list((folder / "runtime").glob("jpserver-*.json"))
            if found or server.poll() is not None:
                break
            time.sleep(0.25)
        assert found, log.read_text()[-2000:]
        yield json.loads(found[0].read_text())["url"]
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.send_signal(signal.SIGTERM)
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


@pytest.fixture(scope="module")
def browser():
    given = os.environ.get("ECSTFL_CHROMIUM")
    path = given or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium: apt install chromium, or name it in ECSTFL_CHROMIUM")
    with playwright.sync_playwright() as play:
        started = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


def keep(page, name):
    """Keep a picture of the page where ECSTFL_SCREENSHOTS says so."""
    folder = os.environ.get("ECSTFL_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


def picture(area):
    """Return the figure below the sliders, as it lies in the page."""
    return area.locator("img").first.get_attribute("src")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_moved_slider_redraws_its_figure(lab, browser, name):
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(120_000)
    try:
        page.goto(f"{lab}lab/tree/{name}.ipynb?reset")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        page.locator(".jp-NotebookPanel .jp-KernelName", has_text="Python 3").wait_for()
        page.locator(".lm-MenuBar-item", has_text="Run").click()
        page.locator(".lm-Menu-item", has_text="Run All Cells").first.click()
        area = page.locator(".jp-OutputArea:has(.jupyter-widgets)").first
        area.locator("img").first.wait_for()
        area.scroll_into_view_if_needed()
        page.wait_for_timeout(1000)
        keep(page, f"{name}-before")
        before = picture(area)
        assert before.startswith("data:image/png;base64,")
        area.locator(".noUi-handle").first.focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        for _ in range(600):  # the picture is a new element, so look for it anew
            page.wait_for_timeout(100)
            if area.locator("img").count() and picture(area) != before:
                break
        keep(page, f"{name}-after")
        assert picture(area) != before
        assert page.locator(".jp-RenderedText[data-mime-type*=stderr]").count() == 0
    finally:
        page.close()
