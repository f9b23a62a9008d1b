"""The lessons in JupyterLab, in a headless Chromium: Run All, to the end; sliders that move.

Every lesson runs as a student opens it (unsolved) and with all answers (solved). Sliders are moved
in one lesson, with ``ECSTFL_LAB=all`` in every lesson that has some.

Needs ``pip install -e ".[notebooks,browser]"`` and a Chromium (``apt install chromium``, or name it
in ``ECSTFL_CHROMIUM``); skipped without them. ``ECSTFL_SCREENSHOTS=FOLDER`` keeps pictures: of each
lesson's first screen, and of its main figure.
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

from lessonkit import lab as student_lab  # noqa: E402
from lessonkit.builder import books, reading  # noqa: E402
from lessonkit.builder.build import student_path  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LESSONS = [path.stem for path in reading.sources(ROOT)]
SLIDERS = [
    path.stem
    for path in reading.sources(ROOT, [] if os.environ.get("ECSTFL_LAB") == "all" else ["04"])
    if re.search(r"^(\w+ = )?play\(", path.read_text(encoding="utf-8"), re.MULTILINE)
]
MAIN_FIGURES = {
    "00": "faces_first.two_maps(",
    "01": "plots_data.leak_gains(",
    "02": "plots_faces.mean_faces(",
    "03": "playing(",
    "04": "film(networks)",
    "05": "plots_c3d.c3d_prices(",
    "06": "plots_training.curves(",
    "07": "plots_table.lambda_curve(",
    "08": "plots_features.map_pair(",
    "09": "plots_zoo.after_descent(",
    "10": "plots_predict.over_time(",
    "11": "plots_table.bounded_gains(",
}
"""Lesson -> what the code of its main figure contains."""

WAITS = ("is not solved yet", "waits for your answer", "waits for Exercise")
"""What cells of an unsolved lesson may say instead of running."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The students' JupyterLab over copies of the notebooks, none executed; yields its address."""
    folder = tmp_path_factory.mktemp("lab")
    for variant in ("solved", "unsolved"):
        (folder / "notebooks" / variant).mkdir(parents=True)
    for name in LESSONS:
        lesson = reading.read_lesson(ROOT / "notebooks" / "src" / f"{name}.py")
        book = books.complete_notebook(lesson, {"minutes": "1", "memory": "1 GB"})
        path = folder / "notebooks" / "solved" / f"{name}.ipynb"
        path.write_text(books.dumps(book), encoding="utf-8")
        shutil.copy(student_path(ROOT, name), folder / "notebooks" / "unsolved")
    places = ("CONFIG", "DATA", "RUNTIME")
    environment = {
        **os.environ,
        **{f"JUPYTER_{place}_DIR": str(folder / place.lower()) for place in places},
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "ECSTFL_PROFILE": "smoke",
        "OMP_NUM_THREADS": "1",
    }
    given = [
        *("--no-browser", "--allow-root", "--port=0", "--IdentityProvider.token="),
        "--LabApp.expose_app_in_browser=True",  # a page can be asked about its notebook
    ]
    command = [sys.executable, "-m", "jupyterlab", *student_lab.arguments(folder, given)]
    log = folder / "log.txt"
    with log.open("w") as written:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=written, stderr=written
        )
    try:
        for _ in range(2400):  # ten minutes: a busy machine is slow to start it
            found = list((folder / "runtime").glob("jpserver-*.json"))
            if found or server.poll() is not None:
                break
            time.sleep(0.25)
        assert found, log.read_text()[-2000:]
        yield json.loads(found[0].read_text())["url"] + "lab/tree/notebooks"
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


def run_all(page, address):
    """Open a notebook and run all cells, as by hand."""
    page.goto(address)
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    page.locator(".jp-NotebookPanel .jp-KernelName", has_text="Python 3").wait_for()
    page.locator(".lm-MenuBar-item", has_text="Run").click()
    page.locator(".lm-Menu-item", has_text="Run All Cells").first.click()


BOOK = "window.jupyterapp.shell.currentWidget.content"
CELLS = f"{BOOK}.model.sharedModel.toJSON().cells"
RAN = f"{BOOK}.widgets.filter((c) => c.model.type === 'code').map((c) => c.model.executionCount)"
STOP = "window.jupyterapp.shell.currentWidget.sessionContext.shutdown()"
SHOW = f"(k) => {BOOK}.scrollToItem(k, 'start')"


def cells_when_done(page, patience=600):
    """Return the cells when the last one has run, or when none has for ``patience`` seconds.

    After a cell that may fail JupyterLab takes the stars from the others, which still run.
    """
    before, since = None, time.monotonic()
    while time.monotonic() - since < patience:
        page.wait_for_timeout(1000)
        ran = page.evaluate(RAN)
        if ran[-1]:
            break
        if ran != before:
            before, since = ran, time.monotonic()
    return page.evaluate(CELLS)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["unsolved", "solved"])
@pytest.mark.parametrize("name", LESSONS)
def test_run_all_reaches_the_end(lab, browser, name, variant):
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(120_000)
    try:
        run_all(page, f"{lab}/{variant}/{name}.ipynb?reset")
        cells = cells_when_done(page)
        main = MAIN_FIGURES[name[:2]]
        shown = next(k for k, cell in enumerate(cells) if main in "".join(cell["source"]))
        for what, k in (("first", 0), ("figure", shown)):
            page.evaluate(SHOW, k)
            page.wait_for_timeout(1500)
            keep(page, f"{name}-{variant}-{what}")
        page.evaluate(STOP)
    finally:
        page.close()
    told, late = [], []
    for k, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                said = "\n".join(output["traceback"])
                if variant == "solved" or not any(words in said for words in WAITS):
                    told.append(f"cell {k}: {said}")
            elif output.get("name") == "stderr":
                told.append(f"cell {k} writes to stderr: {output['text']}")
        if cell["execution_count"] is None:
            late.append(k)
    kinds = {
        kind for output in cells[shown]["outputs"] for kind in output.get("data", {"error": 0})
    }
    assert told == []
    assert late == [], "cells that did not run"
    assert kinds & {"image/png", "text/html"} or variant == "unsolved", main


@pytest.mark.slow
@pytest.mark.parametrize("name", SLIDERS)
def test_a_moved_slider_redraws_its_figure(lab, browser, name):
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(120_000)
    try:
        run_all(page, f"{lab}/solved/{name}.ipynb?reset")
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
