"""What a student is told: every catalogued mistake by its own sentence, right work as right."""

import functools
import re
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("jupytext")

from lessonkit import checks
from lessonkit.builder import reading

ROOT = Path(__file__).resolve().parents[2]
LESSONS = [reading.read_lesson(path) for path in reading.sources(ROOT)]
EXERCISES = [(lesson, e) for lesson in LESSONS for e in lesson.exercises]
DEFINED = {e.number: re.findall(r"^def (\w+)\(", e.answer.text, re.MULTILINE) for _, e in EXERCISES}
"""Exercise -> the names of the functions that it asks for."""


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


def as_tuple(value):
    return tuple(value) if isinstance(value, list) else value


def as_list(value):
    return value.tolist() if isinstance(value, np.ndarray | torch.Tensor) else value


def as_array(value):
    return value if value is None else np.asarray(value)


def as_tensor(value):
    array = np.asarray(value)
    return torch.as_tensor(array) if array.dtype.kind in "bif" else value


ASKED = {"1.1": "float32", "6.1": "a Python number", "6.3": "whatever restore can read"}
"""Exercise -> the one form that it asks for."""


@pytest.mark.parametrize("form", [as_tuple, as_list, as_array, as_tensor])
def test_right_answers_in_another_form_are_right(prepared, form):
    """A tuple, list, array or tensor; hidden tests, which grade, must not be stricter."""
    refused = []
    for lesson, exercise in EXERCISES:
        changed = []

        def change(space, names=DEFINED[exercise.number], changed=changed):
            for name in names:

                @functools.wraps(space[name])
                def other(*arguments, function=space[name], **named):
                    value = function(*arguments, **named)
                    if getattr(value, "requires_grad", False):
                        return value
                    new = form(value)
                    changed.append(new is not value)
                    return new

                space[name] = other

        if exercise.number in ASKED:
            continue
        for cells in (exercise.checks, exercise.hidden):
            error = told(prepared[lesson.name], exercise.answer.text, cells, change)
            if error and any(changed):
                refused.append(f"{form.__name__} {exercise.number}: {error}")
    assert not refused, "\n".join(refused)


def test_other_algorithms_are_right(prepared):
    for lesson, exercise in EXERCISES:
        for right in exercise.right:
            error = told(prepared[lesson.name], right.text, (*exercise.checks, *exercise.hidden))
            assert error is None, f"{exercise.number}: {right.about}: {error}"


FAULTS = {
    "renamed": r"give it back the name of the task",
    "empty": r"gives nothing back|waits for your answer|Python number",
    "printing": r"prints its answer and gives nothing back|gives nothing back|Python number",
    "half": r"only \d of \d|end at the first\?",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_common_faults_have_their_own_sentence(prepared, fault):
    """Whatever the exercise: a function with another name, without return, with print, cut off."""
    seen = 0
    for lesson, exercise in EXERCISES:

        def change(space, names=DEFINED[exercise.number]):
            for name in names:
                function = space.pop(name)

                @functools.wraps(function)
                def other(*arguments, function=function, **named):
                    value = None if fault == "empty" else function(*arguments, **named)
                    if fault == "printing":
                        return print(value)
                    return (
                        value[:1] if fault == "half" and isinstance(value, list | tuple) else value
                    )

                space[name + "_" * (fault == "renamed")] = other

        error = told(prepared[lesson.name], exercise.answer.text, exercise.checks, change)
        assert error is not None or fault == "half", exercise.number
        if error is not None:
            assert re.search(FAULTS[fault], str(error)), f"{exercise.number}: {error}"
            seen += 1
    assert seen >= 12
