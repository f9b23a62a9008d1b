"""The builder: bad sources, commands, the first cell; starts no kernel."""

import re
from pathlib import Path

import pytest

pytest.importorskip("jupytext")

from lessonkit import lab
from lessonkit.builder import books, execution, reading

from ecstfl.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
MEASURED = {"minutes": "1", "memory": "1 GB"}
LESSON = reading.read_lesson(reading.sources(ROOT)[0])


HEAD = '# %% [markdown] part="header"\n# # 01 · Test\n\n'
TASK = '# %% [markdown] exercise="1.1" part="task" level=1\n# ### Exercise 1.1: One\n\n'
ANSWER = (
    '# %% exercise="1.1" part="answer"\ndef f():\n    ### BEGIN SOLUTION\n    return 1\n'
    "    ### END SOLUTION\n\n"
)
CHECK = '# %% exercise="1.1" part="check" points=1\nassert f() == 1\n\n'
HIDDEN = '# %% exercise="1.1" part="hidden" points=1\nassert f() == 1\n\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nothing", "has no cell"),
        ("# %%\nx = 1\n", "first cell must be the header"),
        (HEAD + '# %% part="soluton"\nx = 1\n', "soluton"),
        (HEAD + '# %% part="answer"\nx = 1\n', "need an exercise"),
        (HEAD + ANSWER + CHECK + HIDDEN, "expected one task"),
        (HEAD + TASK + ANSWER + HIDDEN, "expected check cells"),
        (HEAD + TASK + ANSWER + CHECK.replace(" points=1", "") + HIDDEN, "each with points"),
        (HEAD + TASK.replace("1.1: One", "1.2: One") + ANSWER + CHECK + HIDDEN, "must begin with"),
    ],
)
def test_a_broken_source_is_told_in_one_sentence(tmp_path, text, told):
    path = tmp_path / "01_test.py"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(told)):
        reading.read_lesson(path).exercises  # noqa: B018


def test_stub_keeps_signature_and_indentation():
    text = (
        "def f(x):\n    '''Doc.'''\n    ### BEGIN SOLUTION\n    y = x\n    return y\n"
        "    ### END SOLUTION"
    )
    assert books.stub(text, "1.1") == (
        "def f(x):\n    '''Doc.'''\n    ...\n    raise NotImplementedError(\"Exercise 1.1\")"
    )
    assert books.solution_lines(text) == ["y = x", "return y"]
    for broken in (
        "x = 1",
        "### BEGIN SOLUTION\nx",
        "### END SOLUTION",
        text + "\n### BEGIN SOLUTION",
    ):
        with pytest.raises(UserError, match=r"exercise 1\.1"):
            books.stub(broken, "1.1")


def test_outputs_that_name_the_machine_or_warn_are_found():
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    outputs = [
        new_output("stream", name="stdout", text="wrote /srv/me/x\n"),
        new_output("stream", name="stderr", text="UserWarning: old\n"),
        new_output("execute_result", data={"text/plain": "<object at 0x7f12ab34cd>"}),
        new_output("stream", name="stdout", text="loss nan\n"),
        new_output("display_data", data={"image/png": "/srv/me"}),  # not text
    ]
    book = new_notebook(cells=[new_code_cell("print(x)", outputs=[o]) for o in outputs])
    told = execution.examine_outputs(book, ["/srv/me"])
    assert [line.split()[1] for line in told] == ["0", "1", "2", "3"]


class Machine:
    """Stands for subprocess.run: which commands fail, and what was asked for."""

    def __init__(self, failing=()):
        self.failing, self.asked = failing, []

    def run(self, command, **_):
        self.asked.append(list(command))
        name = next(w for w in ("git", "pip") if w in command)
        if name == "git" and name not in self.failing:
            (Path(command[-1]) / "notebooks" / "lessonkit").mkdir(parents=True)
        if f"no {name}" in self.failing:
            raise FileNotFoundError(name)
        return type("Done", (), {"returncode": int(name in self.failing)})


@pytest.fixture
def first_cell(tmp_path, monkeypatch):
    """Run the first code cell in a folder, on a machine with or without the package."""
    import importlib.util
    import subprocess
    import sys

    def act(address="", package=None, failing=()):
        machine = Machine(failing)
        here = tmp_path / "own" / "folder"
        here.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(here)
        monkeypatch.setattr(subprocess, "run", machine.run)
        # a folder of this name without code is a package, too, but has no origin
        found = type("Spec", (), {"origin": package and str(package / "ecstfl" / "__init__.py")})
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
        monkeypatch.setattr(sys, "path", list(sys.path))
        lesson = reading.Lesson("00", LESSON.cells, address=address)
        source = books.complete_notebook(lesson, MEASURED).cells[1].source
        exec(compile(source, "<first cell>", "exec"), {})
        return machine.asked, sys.path

    return act


KIT = "https://github.com/some/kit"


def test_first_cell_only_finds_the_helpers_where_the_package_is(first_cell, tmp_path):
    """Installed with -e from a copy elsewhere (a course), or as a wheel (a copy around it)."""
    (tmp_path / "copy" / "notebooks" / "lessonkit").mkdir(parents=True)
    asked, path = first_cell(package=tmp_path / "copy")
    assert (asked, path[-1]) == ([], str(tmp_path / "copy" / "notebooks"))
    (tmp_path / "notebooks" / "lessonkit").mkdir(parents=True)
    asked, path = first_cell(package=tmp_path / "site-packages")
    assert (asked, path[-1]) == ([], str(tmp_path / "notebooks"))


def test_first_cell_installs_from_the_copy_around_it(first_cell, tmp_path):
    (tmp_path / "notebooks" / "lessonkit").mkdir(parents=True)
    asked, path = first_cell(KIT)
    assert [c[-1] for c in asked] == [f"{tmp_path}[notebooks]"]
    assert (path[0], path[-1]) == (str(tmp_path), str(tmp_path / "notebooks"))


def test_first_cell_fetches_the_repository_once_where_its_address_is_known(first_cell, tmp_path):
    asked, path = first_cell(KIT)
    copy = tmp_path / "own" / "folder" / "ecstfl-course"
    assert asked[0] == ["git", "clone", "-q", "--depth", "1", KIT, str(copy)]
    assert asked[1][-1] == f"{copy}[notebooks]"
    assert (path[0], path[-1]) == (str(copy), str(copy / "notebooks"))
    assert [c[-1] for c in first_cell(KIT)[0]] == [f"{copy}[notebooks]"]


@pytest.mark.parametrize(
    ("address", "failing", "told"),
    [
        ("", (), "Open this notebook inside a copy"),
        (KIT, ("git",), "are you online"),
        (KIT, ("git", "no git"), "is git installed"),
        (KIT, ("pip",), "pip could not install ecstfl"),
    ],
)
def test_first_cell_stops_with_a_sentence(first_cell, address, failing, told):
    with pytest.raises(Exception, match=told) as error:
        first_cell(address, failing=failing)
    assert error.value._render_traceback_() == [str(error.value)]
    assert "\n" not in str(error.value)


def test_links_to_documents_hold_wherever_a_variant_lies():
    text = "See [TIM](../docs/glossary.md#tim) and [the list](README.md)."
    deeper = text.replace("../docs", "../../docs")
    assert books._documents(text, "complete") == text
    assert books._documents(text, "student") == deeper
    for apart in ("solution", "course"):
        assert books._documents(text, apart) == "See TIM and [the list](README.md)."
    assert lab._at_home(deeper) == deeper  # notebooks/my lies as deep as notebooks/student
    assert "(../../../docs/glossary.md#tim)" in lab._solved_at_home(text)


def test_a_cell_marked_closed_is_folded_away(tmp_path):
    path = tmp_path / "01_test.py"
    path.write_text(
        HEAD
        + "# %% closed=true\nx = 1\n\n# %% [markdown] closed=true\n# ## Optional\n\n# %%\ny = 2\n"
    )
    book = books.complete_notebook(reading.read_lesson(path), MEASURED)
    _, _, code, heading, shown = book.cells
    assert code.metadata["jupyter"] == {"source_hidden": True}
    assert heading.metadata["jp-MarkdownHeadingCollapsed"]
    assert not shown.metadata


def test_the_truth_is_not_read_before_the_guess(tmp_path):
    path = tmp_path / "01_test.py"
    path.write_text(
        HEAD
        + '# %%\nbest = guess_choice("01-x", "Which?", ["a", "b"])\nbest\n\n# %%\nbest.truth("b")\n'
    )
    book = books.complete_notebook(reading.read_lesson(path), MEASURED)
    asked, told = book.cells[2:]
    assert asked.metadata["jupyter"] == told.metadata["jupyter"] == {"source_hidden": True}
    assert told.source.splitlines() == ["# Guess first, then run this cell.", 'best.truth("b")']


def test_minutes_are_a_range():
    for seconds, busy in ((61.0, 100.0), (240.0, 61.0)):  # two threads, a busy machine
        done = execution.Execution(None, seconds, busy, memory=700_000_000)
        assert execution.measured_texts(done) == {"minutes": "1.5 to 4.5", "memory": "0.75 GB"}


def test_every_link_to_the_glossary_meets_a_heading():
    headings = re.findall(r"^### (.+)$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    known = {heading.lower().replace(" ", "-") for heading in headings}
    assert len(known) == len(headings) >= 40
    for path in [*reading.sources(ROOT), *(ROOT / "docs").glob("*.md")]:
        named = set(re.findall(r"glossary\.md#([\w-]+)", path.read_text(encoding="utf-8")))
        assert named <= known, path.name
