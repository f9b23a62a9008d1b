"""``make lab``: whose file a copy is, what the server shows, and that git sees nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from lessonkit import lab

from ecstfl.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
BADGE = "[![Open in Colab](https://colab.test/badge.svg)](https://colab.test/04.ipynb)"
PAGE = f"""# Lessons

For people who read this on a website.

| lesson | all answers | points |
|---|---|---|
| [04 · The formula](student/04_formula.ipynb) {BADGE} | [solved](04_formula.ipynb) | 18 |

* [The loss](../docs/loss.md), [the paper](https://doi.test/1)
"""


def lesson(text, up, **metadata):
    links = f"[all lessons]({up}README.md) · [05](05_c3d.ipynb)"
    source = f"# 04 · The formula\n\n{links}\n\n{BADGE}\n\n{text}"
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": source}
    return json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def root(tmp_path):
    (tmp_path / "notebooks" / "student").mkdir(parents=True)
    (tmp_path / "notebooks" / "README.md").write_text(PAGE, encoding="utf-8")
    publish(tmp_path, "old")
    return tmp_path


def publish(root, text, **metadata):
    for folder, up in (("student", "../"), ("", "")):
        path = root / "notebooks" / folder / "04_formula.ipynb"
        path.write_text(lesson(text, up, **metadata), encoding="utf-8")


def write(root, text, name="04_formula"):
    """Change a copy as a student does."""
    path = root / "notebooks" / "my" / f"{name}.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("The formula", text))


def copies(root):
    """Return name -> text of each copy's one cell."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
        for path in (root / "notebooks" / "my").glob("*.ipynb")
    }


def test_the_first_start_copies_each_lesson_with_its_list_beside_it(root):
    assert lab.copy_lessons(root) == []
    (text,) = copies(root).values()
    assert text.splitlines()[-1] == "old"
    assert "[all lessons](README.md)" in text
    assert "colab" not in text  # its picture would be asked for in the net
    page = (root / "notebooks" / "my" / "README.md").read_text(encoding="utf-8")
    assert (
        "| [04 · The formula](04_formula.ipynb)  | [solved](solved/04_formula-solved.ipynb) |"
        in page
    )
    assert "[The loss](../../docs/loss.md), [the paper](https://doi.test/1)" in page
    assert "website" not in page
    assert "colab" not in page
    (path,) = (root / "notebooks" / "my" / "solved").iterdir()
    assert path.name == "04_formula-solved.ipynb"
    solved = path.read_text(encoding="utf-8")
    assert "[all lessons](../README.md) \\u00b7 [05](05_c3d-solved.ipynb)" in solved
    assert "colab" not in solved


def test_a_second_start_keeps_what_was_written(root):
    lab.copy_lessons(root)
    write(root, "MY WORK")
    before = copies(root)
    assert lab.copy_lessons(root) == []
    assert copies(root) == before


def run(root):
    """Save every copy as JupyterLab does after a run: lines, outputs, metadata of the kernel."""
    for path in (root / "notebooks" / "my").rglob("*.ipynb"):
        book = json.loads(path.read_text(encoding="utf-8"))
        book["metadata"]["language_info"] = {"version": "3.12"}
        for cell in book["cells"]:
            cell["source"] = cell["source"].splitlines(keepends=True)
        path.write_text(json.dumps(book, indent=1), encoding="utf-8")


def test_what_was_only_run_stays_as_it_is(root):
    lab.copy_lessons(root)
    run(root)
    path = root / "notebooks" / "my" / "04_formula.ipynb"
    before = path.read_bytes()
    assert lab.copy_lessons(root) == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("used", [lambda root: None, run], ids=["untouched", "run"])
def test_a_copy_in_which_nobody_wrote_follows_its_lesson(root, used):
    lab.copy_lessons(root)
    used(root)
    publish(root, "new")
    assert lab.copy_lessons(root) == []
    assert [text.splitlines()[-1] for text in copies(root).values()] == ["new"]
    (solved,) = (root / "notebooks" / "my" / "solved").iterdir()
    assert solved.read_text(encoding="utf-8").count("new") == 1
    publish(root, "new", built="again")  # the same text with other outputs
    assert lab.copy_lessons(root) == []
    assert "again" in solved.read_text(encoding="utf-8")


def test_a_solved_copy_in_which_somebody_wrote_stays_too(root):
    lab.copy_lessons(root)
    write(root, "MY TRIAL", "solved/04_formula-solved")
    publish(root, "new")
    (told,) = lab.copy_lessons(root)
    assert "04_formula-solved-version2.ipynb" in told
    kept = root / "notebooks" / "my" / "solved" / "04_formula-solved.ipynb"
    assert "MY TRIAL" in kept.read_text(encoding="utf-8")
    assert list(copies(root)) == ["04_formula"]


def test_a_start_that_stops_halfway_puts_no_version_twice(root, monkeypatch):
    lab.copy_lessons(root)
    write(root, "MY WORK")
    publish(root, "new")
    monkeypatch.setattr(lab, "_solved_at_home", lambda text: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lab.copy_lessons(root)
    monkeypatch.undo()
    assert lab.copy_lessons(root) == []
    assert set(copies(root)) == {"04_formula", "04_formula-version2"}


def test_a_damaged_copy_is_the_students(root):
    lab.copy_lessons(root)
    path = root / "notebooks" / "my" / "04_formula.ipynb"
    path.write_bytes(b"{ half a note\xff")
    publish(root, "new")
    assert len(lab.copy_lessons(root)) == 1
    assert path.read_bytes() == b"{ half a note\xff"


def test_beside_a_changed_copy_a_new_version_is_put_once_and_said(root):
    lab.copy_lessons(root)
    write(root, "MY WORK")
    publish(root, "new")
    (told,) = lab.copy_lessons(root)
    assert "04_formula.ipynb" in told
    assert "04_formula-version2.ipynb" in told
    found = copies(root)
    assert "MY WORK" in found["04_formula"]
    assert found["04_formula-version2"].endswith("new")
    page = (root / "notebooks" / "my" / "README.md").read_text(encoding="utf-8")
    assert "](04_formula.ipynb) · [version2](04_formula-version2.ipynb)" in page
    assert lab.copy_lessons(root) == []
    publish(root, "newer")
    assert lab.copy_lessons(root) == []  # nobody wrote in version 2: it follows
    assert copies(root)["04_formula-version2"].endswith("newer")
    write(root, "MORE WORK", "04_formula-version2")
    publish(root, "newest")
    assert len(lab.copy_lessons(root)) == 1
    found = copies(root)
    assert "MY WORK" in found["04_formula"]
    assert "MORE WORK" in found["04_formula-version2"]
    assert found["04_formula-version3"].endswith("newest")


def test_a_deleted_copy_comes_back_and_a_deleted_new_version_does_not(root):
    lab.copy_lessons(root)
    my = root / "notebooks" / "my"
    write(root, "MY WORK")
    publish(root, "new")
    lab.copy_lessons(root)
    (my / "04_formula-version2.ipynb").unlink()
    assert lab.copy_lessons(root) == []
    assert list(copies(root)) == ["04_formula"]
    (my / "04_formula.ipynb").unlink()
    assert lab.copy_lessons(root) == []
    assert copies(root)["04_formula"].endswith("new")


@pytest.mark.parametrize("record", [None, "", "[1]", '{"04_formula": 3}', '{"04_formula": ["x"]}'])
def test_without_its_record_every_changed_file_is_the_students(root, record):
    lab.copy_lessons(root)
    write(root, "MY WORK")
    path = root / "notebooks" / "my" / lab.RECORD
    path.unlink() if record is None else path.write_text(record)
    lab.copy_lessons(root)
    assert "MY WORK" in copies(root)["04_formula"]


def test_a_start_that_was_killed_before_its_record_goes_on(root):
    lab.copy_lessons(root)
    (root / "notebooks" / "my" / lab.RECORD).unlink()
    assert lab.copy_lessons(root) == []
    publish(root, "new")
    assert lab.copy_lessons(root) == []
    assert list(copies(root)) == ["04_formula"]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: shutil.rmtree(root / "notebooks" / "student"), "no lessons in"),
        (lambda root: (root / "notebooks" / "README.md").unlink(), "cannot read"),
        (lambda root: (root / "notebooks" / "README.md").write_text("#"), "has no table"),
        (lambda root: (root / "notebooks" / "my").write_text("a file"), "cannot"),
    ],
)
def test_what_is_missing_is_told_in_a_sentence(root, spoil, told):
    spoil(root)
    with pytest.raises(UserError, match=told):
        lab.copy_lessons(root)


def test_the_list_of_the_real_lessons_leads_somewhere(tmp_path):
    given = ROOT / "notebooks"
    for path in (*given.glob("*.ipynb"), *given.glob("student/*.ipynb"), given / "README.md"):
        (target := tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    lab.copy_lessons(tmp_path)
    my = tmp_path / "notebooks" / "my"
    names = [path.name for path in (ROOT / "notebooks" / "student").glob("*.ipynb")]
    links = re.findall(r"\]\(([^)]+)\)", (my / "README.md").read_text(encoding="utf-8"))
    assert set(names) <= set(links)
    for link in links:
        there = (my / link).resolve().relative_to(tmp_path.resolve())
        assert (my / link).exists() or (ROOT / there).exists(), link
    made = list(my.rglob("*.ipynb"))
    assert len(made) == 2 * len(names)
    for path in made:
        book = json.loads(path.read_text(encoding="utf-8"))
        text = "\n".join(c["source"] for c in book["cells"] if c["cell_type"] == "markdown")
        for link in re.findall(r"\]\(([^):]+\.(?:md|ipynb))\)", text):
            there = (path.parent / link).resolve().relative_to(tmp_path.resolve())
            assert (tmp_path / there).is_file() or (ROOT / there).is_file(), (path, link)


def test_what_the_user_gives_wins_over_ours(root):
    """JupyterLab takes no argument twice, except those for its extensions."""
    given = ["--debug", "--LabApp.extension_manager=pypi", "--ServerApp.jpserver_extensions=x=True"]
    found = lab.arguments(root, given)
    assert [one for one in found if one.startswith(("--LabApp.ext", "--log"))] == [given[1]]
    assert sum("jpserver_extensions=nbgrader" in one for one in found) == 4
    assert found[-3:] == given


# ---------------------------------------------------------------------------- the server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The command itself in a small clone; yields (root, function that asks the server)."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is missing: pip install -e '.[notebooks]'")
    if shutil.which("git") is None:
        pytest.skip("git is missing")
    folder = tmp_path_factory.mktemp("lab")
    root = folder / "clone"
    kit = Path("notebooks") / "lessonkit"
    for name in (
        *(".gitignore", "notebooks/README.md"),
        *(f"notebooks/{place}04_formula.ipynb" for place in ("", "student/")),
        *(str(kit / name) for name in ("__init__.py", "lab.py")),
        *(f"{kit}/labsettings/{name}.json" for name in ("overrides", "page_config")),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "all")
    places = ("CONFIG", "DATA", "RUNTIME")
    environment = {
        **os.environ,
        **{f"JUPYTER_{place}_DIR": str(folder / place.lower()) for place in places},
        "PYTHONPATH": os.pathsep.join([str(root / "notebooks"), str(ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    arguments = ("--no-browser", "--allow-root", "--port=0", "--IdentityProvider.token=secret")
    log = folder / "log.txt"
    with log.open("w") as written:
        started = subprocess.Popen(
            [sys.executable, "-m", "lessonkit.lab", *arguments],
            cwd=root, env=environment, stdout=written, stderr=written,
        )  # fmt: skip
    try:
        for _ in range(3000):
            found = list((folder / "runtime").glob("jpserver-*.json"))
            if found or started.poll() is not None:
                break
            time.sleep(0.2)
        assert found, log.read_text()[-2000:]
        address = json.loads(found[0].read_text())["url"]

        def ask(path, method="GET", body=None):
            request = urllib.request.Request(
                address + path,
                method=method,
                data=body and json.dumps(body).encode(),
                headers={"Authorization": "token secret"},
            )
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.geturl().removeprefix(address), answer.read().decode()

        yield root, ask, log
    finally:
        started.terminate()
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:
            started.kill()


def git(root, *command):
    done = subprocess.run(
        ["git", "-C", str(root), *command], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def page(server):
    """(where the front door leads, configuration of the page behind it)."""
    where, text = server[1]("")
    return where, json.loads(
        re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', text, re.S)[1]
    )


def test_it_opens_on_the_list_of_the_students_own_copies(server, page):
    where, config = page
    assert where.startswith("lab/tree/notebooks/my/README.md")
    assert config["treePath"] == "notebooks/my/README.md"
    assert Path(config["serverRoot"]) == server[0]  # docs/ is within reach
    viewers = json.loads(server[1]("lab/api/settings/@jupyterlab/docmanager-extension:plugin")[1])
    default = viewers["schema"]["properties"]["defaultViewers"]["default"]
    assert default["markdown"] == "Markdown Preview"


def test_no_graders_tool_is_shown_or_served(server, page):
    _, config = page
    assert "@jupyter/nbgrader" in config["disabledExtensions"]
    for path in ("formgrader", "assignments", "courses", "assignments/validate"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            server[1](path)


def test_it_asks_nobody_outside(server, page):
    _, config = page
    assert config["news"] == {"disabled": True}
    assert "@jupyterlab/apputils-extension:announcements" in config["disabledExtensions"]
    assert (config["extensionManager"]["name"], config["extensionManager"]["can_install"]) == (
        "read-only",
        False,
    )
    assert "@jupyterlab/extensionmanager-extension:plugin" in config["disabledExtensions"]
    assert json.loads(server[1]("lab/api/news")[1]) == {"news": []}
    assert json.loads(server[1]("lab/api/update")[1]) == {"notification": None}
    asked = json.loads(server[1]("lab/api/settings/@jupyterlab/apputils-extension:notification")[1])
    options = asked["schema"]["properties"]
    assert options["fetchNews"]["default"] == "false"
    assert options["checkForUpdates"]["default"] is False


def test_git_sees_nothing_of_a_students_work(server):
    """Saved through the server, with its checkpoint, and a layout of tabs."""
    root, ask, log = server
    for name in ("04_formula", "solved/04_formula-solved"):
        path = f"api/contents/notebooks/my/{name}.ipynb"
        book = json.loads(ask(path)[1])["content"]
        assert any("Exercise 4.1" in cell["source"] for cell in book["cells"])
        book["cells"][0]["source"] += "\n\nMY WORK"
        ask(path, "PUT", {"type": "notebook", "content": book})
        ask(f"{path}/checkpoints", "POST")
    layout = {"data": {}, "metadata": {"id": "default"}}
    ask("lab/api/workspaces/default", "PUT", layout)
    my = root / "notebooks" / "my"
    assert "MY WORK" in (my / "04_formula.ipynb").read_text(encoding="utf-8")
    assert git(root, "status", "--porcelain") == ""
    assert lab.copy_lessons(root) == []
    assert "MY WORK" in (my / "04_formula.ipynb").read_text(encoding="utf-8")
    assert any((my / ".workspaces").iterdir())  # not among the user's own
    first, second = log.read_text().splitlines()[:2]
    assert first == f"Your copies of the lessons: {my}"
    assert second.startswith(f"Solved lessons: {my / 'solved'}.")
