"""The course under real nbgrader: a perfect, a half and a tampered submission, and a CSV."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jupytext")
pytest.importorskip("nbgrader", reason="nbgrader is an instructor's extra")

from ecstfl import notebooks

ROOT = Path(__file__).resolve().parent.parent
NAME = "00_start"


def nbgrader(course, *arguments):
    environment = {
        **os.environ,
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


def submit(course, student, change):
    """Write a student's submission: the released notebook with changed cells."""
    book = notebooks.read_notebook(course / "release" / NAME / f"{NAME}.ipynb")
    for cell in book.cells:
        if "nbgrader" in cell.metadata:
            cell.source = change(cell.metadata.nbgrader.grade_id, cell.source)
    target = course / "submitted" / student / NAME / f"{NAME}.ipynb"
    target.parent.mkdir(parents=True)
    target.write_text(notebooks.dumps(book), encoding="utf-8")


@pytest.mark.slow
def test_three_submissions_get_the_points_they_deserve(tmp_path):
    notebooks.course(ROOT, tmp_path, ["00"])
    nbgrader(tmp_path, "generate_assignment", NAME, "--create")
    release = tmp_path / "release" / NAME
    assert [p.name for p in release.iterdir()] == [f"{NAME}.ipynb"]
    raw = (release / f"{NAME}.ipynb").read_text(encoding="utf-8")
    assert "HIDDEN TESTS" not in raw
    assert "SOLUTION" not in raw

    lesson = notebooks.read_lesson(notebooks.sources(ROOT, ["00"])[0])
    for exercise in lesson.exercises:
        for line in notebooks.solution_lines(exercise.answer.text):
            assert line not in raw
    solved = {
        f"ex-{e.number.replace('.', '-')}-answer": notebooks.without_markers(e.answer.text)
        for e in lesson.exercises
    }
    first = f"ex-{lesson.exercises[0].number.replace('.', '-')}-answer"
    submit(tmp_path, "perfect", lambda cell, text: solved.get(cell, text))
    submit(tmp_path, "half", lambda cell, text: solved[cell] if cell == first else text)
    submit(tmp_path, "tampered", lambda cell, text: text if "answer" in cell else "print('right')")
    nbgrader(tmp_path, "autograde", NAME)
    nbgrader(tmp_path, "export")

    with (tmp_path / "grades.csv").open(newline="") as lines:
        rows = {row["student_id"]: row for row in csv.DictReader(lines)}
    total = sum(e.points for e in lesson.exercises)
    assert {float(row["max_score"]) for row in rows.values()} == {total}
    scores = {student: float(row["score"]) for student, row in rows.items()}
    assert scores == {"perfect": total, "half": lesson.exercises[0].points, "tampered": 0}
