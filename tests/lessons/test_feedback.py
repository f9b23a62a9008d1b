"""What a student is told: every catalogued mistake by its own sentence, right work as right."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jupytext")

from lessonkit import checks
from lessonkit.builder import reading

ROOT = Path(__file__).resolve().parents[2]
LESSONS = [reading.read_lesson(path) for path in reading.sources(ROOT)]
EXERCISES = [(lesson, e) for lesson in LESSONS for e in lesson.exercises]


@pytest.fixture(scope="module")
def prepared():
    """Lesson name -> namespace after its setup cells alone."""
    spaces = {}
    for lesson in LESSONS:
        space = {"__name__": "lesson"}
        for cell in lesson.cells:
            if cell.part == "setup":
                exec(compile(cell.text, f"<{lesson.name}>", "exec"), space)
        spaces[lesson.name] = space
    return spaces


def told(space, answer, cells, change=None):
    """Run an answer and then cells; return the ExerciseError that they raise, or None."""
    space = dict(space)
    exec(compile(answer, "<cell>", "exec"), space)
    if change:
        change(space)
    try:
        with np.errstate(all="ignore"):
            for cell in cells:
                exec(compile(cell.text, "<cell>", "exec"), space)
    except checks.ExerciseError as error:
        return error
    return None


def test_open_checks_answer_each_catalogued_mistake_with_its_own_sentence(prepared, capsys):
    """At least nine of ten are refused, and none of these by a sentence that knows nothing."""
    passed, unknown, total = [], [], 0
    for lesson, exercise in EXERCISES:
        sentences = {}
        for wrong in exercise.wrong:
            total += 1
            name = f"{exercise.number}: {wrong.about}"
            error = told(prepared[lesson.name], wrong.text, exercise.checks)
            if error is None:
                passed.append(name)
            elif error.kind != "wrong":
                unknown.append(f"{name} -> {error}")
            else:
                sentences.setdefault(str(error), []).append(wrong.about)
        shared = sum(len(about) - 1 for about in sentences.values())
        assert shared <= 1, f"{exercise.number}: one sentence for several mistakes: {sentences}"
    with capsys.disabled():
        print(f"\nopen checks refuse {total - len(passed)} of {total} catalogued wrong answers")
    assert not unknown, "\n".join(unknown)
    assert len(passed) <= total / 10, "\n".join(passed)
