"""The course under real nbgrader: releases, submissions and the CSV of their points.

nbgrader takes seconds for each lesson, and autograding runs a whole notebook for each submission:
by default both are done for the lesson of the formula, for the others under ``-m slow``.
"""

import copy
import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jupytext")
pytest.importorskip("nbgrader", reason="nbgrader is an instructor's extra")

from lessonkit.builder import books, reading
from lessonkit.builder import build as notebooks

ROOT = Path(__file__).resolve().parents[2]
LESSONS = [reading.read_lesson(path) for path in reading.sources(ROOT)]
ONE_AND_SLOW_ONES = [
    lesson if lesson.name.startswith("04") else pytest.param(lesson, marks=pytest.mark.slow)
    for lesson in LESSONS
]

NOISE = """

import functools, sys, warnings

def noisy(function):
    @functools.wraps(function)
    def called(*arguments, **named):
        warnings.warn("this is old")
        print("grumble", file=sys.stderr)
        return function(*arguments, **named)
    return called

"""


def nbgrader(course, *arguments):
    environment = {
        **os.environ,
        # nbgrader starts alembic by its name: found here without an activated environment too
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "ECSTFL_PROFILE": "smoke",
        "ECSTFL_WIDGETS": "off",
        "OMP_NUM_THREADS": "1",
        "JUPYTER_PLATFORM_DIRS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The folder of a course."""
    return tmp_path_factory.mktemp("course")


@pytest.fixture(scope="module")
def release(course):
    """Return a function: lesson -> its released notebook, made by nbgrader once."""
    made = {}

    def get(name):
        if name not in made:
            notebooks.course(ROOT, course, [name[:2]])
            nbgrader(course, "generate_assignment", name, "--create")
            made[name] = course / "release" / name
        return made[name]

    return get


def submit(release, course, student, name, change, rearrange=lambda book: None):
    """Write a student's submission: the released notebook with changed cells."""
    book = books.read_notebook(release(name) / f"{name}.ipynb")
    for cell in book.cells:
        if "nbgrader" in cell.metadata:
            cell.source = change(cell.metadata.nbgrader.grade_id, cell.source)
    rearrange(book)
    target = course / "submitted" / student / name / f"{name}.ipynb"
    target.parent.mkdir(parents=True)
    target.write_text(books.dumps(book), encoding="utf-8")


def rearranged(book):
    """Copy a test cell, split an answer cell, and delete a test cell, as JupyterLab does."""
    at = {
        c.metadata.nbgrader.grade_id: k
        for k, c in enumerate(book.cells)
        if "nbgrader" in c.metadata
    }
    answers = [k for name, k in at.items() if name.endswith("-answer")]
    tests = [k for name, k in at.items() if name.endswith("-check")]
    for k, text in ((tests[0], book.cells[tests[0]].source), (answers[1], "# my notes")):
        again = copy.deepcopy(book.cells[k])
        again.id, again.source = f"again-{k}", text
        book.cells.append(again)
    del book.cells[tests[2]]


def answer_id(exercise):
    return f"ex-{exercise.number.replace('.', '-')}-answer"


def noisy(text):
    """Let every function of an answer warn and write to stderr, and be right all the same."""
    names = re.findall(r"^def (\w+)\(", text, re.MULTILINE)
    return text + NOISE + "".join(f"{name} = noisy({name})\n" for name in names)


@pytest.mark.parametrize("lesson", ONE_AND_SLOW_ONES, ids=lambda lesson: lesson.name)
def test_nothing_leaks_through_the_release(lesson, release):
    folder = release(lesson.name)
    assert [p.name for p in folder.iterdir()] == [f"{lesson.name}.ipynb"]
    raw = (folder / f"{lesson.name}.ipynb").read_text(encoding="utf-8")
    assert "HIDDEN TESTS" not in raw
    assert "SOLUTION" not in raw
    book = books.read_notebook(folder / f"{lesson.name}.ipynb")
    shown = {c.metadata.nbgrader.grade_id: c for c in book.cells if "nbgrader" in c.metadata}
    for exercise in lesson.exercises:
        released = shown[answer_id(exercise)].source
        assert "raise NotImplementedError" in released
        for line in books.solution_lines(exercise.answer.text):
            assert line not in released.splitlines() or len(line) < 12
        for hidden in exercise.hidden:
            for line in books.without_markers(hidden.text).splitlines():
                assert "assert" not in line or line.strip() not in raw
    points = sum(c.metadata.nbgrader.get("points", 0) for c in shown.values())
    assert points == sum(e.points for e in lesson.exercises)


@pytest.mark.parametrize("lesson", ONE_AND_SLOW_ONES, ids=lambda lesson: lesson.name)
def test_submissions_get_the_points_they_deserve(lesson, release, course):
    """All right, though noisy on stderr, with cells copied, split and deleted; and half of it right
    with every test tampered with.
    """
    solved = {answer_id(e): books.without_markers(e.answer.text) for e in lesson.exercises}
    half = lesson.exercises[: max(1, len(lesson.exercises) // 2)]
    kept = {answer_id(e) for e in half}

    def all_right(cell, text):
        return noisy(solved[cell]) if cell in solved else text

    def half_right(cell, text):
        if "answer" not in cell:
            return "print('right')"
        return solved[cell] if cell in kept else text

    submit(release, course, "noisy", lesson.name, all_right, rearranged)
    submit(release, course, "half", lesson.name, half_right)
    nbgrader(course, "autograde", lesson.name)
    nbgrader(course, "export")

    with (course / "grades.csv").open(newline="") as lines:
        found = [row for row in csv.DictReader(lines) if row["assignment"] == lesson.name]
    total = sum(e.points for e in lesson.exercises)
    assert {float(row["max_score"]) for row in found} == {total}
    assert {row["student_id"]: float(row["score"]) for row in found} == {
        "noisy": total,
        "half": sum(e.points for e in half),
    }
