"""Exercises: solutions pass, wrong answers are refused, and each mistake has its own sentence."""

import functools
import re
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("jupytext")

from lessonkit import checks
from lessonkit.builder import books, reading

ROOT = Path(__file__).resolve().parents[2]
LESSONS = [reading.read_lesson(path) for path in reading.sources(ROOT)]
EXERCISES = [(lesson, e) for lesson in LESSONS for e in lesson.exercises]
DEFINED = {e.number: re.findall(r"^def (\w+)\(", e.answer.text, re.MULTILINE) for _, e in EXERCISES}
"""Exercise -> the names of the functions that it asks for."""
WRONG = [(lesson, e, wrong) for lesson, e in EXERCISES for wrong in e.wrong]


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


def run(space, *cells):
    """Run cells in a copy of a namespace."""
    space = dict(space)
    for cell in cells:
        exec(compile(cell.text, "<cell>", "exec"), space)


def test_the_exercises_are_many_and_numbered_in_order():
    assert len(EXERCISES) >= 25
    for lesson in LESSONS:
        numbers = [e.number for e in lesson.exercises]
        assert numbers == [f"{int(lesson.name[:2])}.{k + 1}" for k in range(len(numbers))]


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES, ids=lambda v: getattr(v, "number", ""))
def test_the_solution_passes_and_the_stub_does_not(lesson, exercise, prepared, capsys):
    space = prepared[lesson.name]
    run(space, exercise.answer, *exercise.checks, *exercise.hidden)
    out = capsys.readouterr()
    assert out.out.count(f"Exercise {exercise.number}: right.") >= 2
    assert out.err == ""
    stub = reading.Cell("code", books.stub(exercise.answer.text, exercise.number))
    assert f'raise NotImplementedError("Exercise {exercise.number}")' in stub.text
    for cell in (*exercise.checks, *exercise.hidden):
        with pytest.raises(checks.ExerciseError, match=exercise.number) as error:
            run(space, stub, cell)
        assert error.value.kind == "unanswered"


@pytest.mark.parametrize(
    ("lesson", "exercise", "wrong"),
    WRONG,
    ids=[f"{e.number}: {w.about}" for _, e, w in WRONG],
)
def test_hidden_tests_reject_each_wrong_answer(lesson, exercise, wrong, prepared):
    """By an assertion that says something: a wrong answer that only crashes proves nothing."""
    with pytest.raises(checks.ExerciseError) as error, np.errstate(all="ignore"):
        run(prepared[lesson.name], wrong, *exercise.hidden)
    assert error.value.kind == "wrong"
    assert "a check fails" not in str(error.value)


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES, ids=lambda v: getattr(v, "number", ""))
def test_each_exercise_has_wrong_answers_hints_and_open_checks(lesson, exercise):
    assert 3 <= len(exercise.wrong) <= 6
    assert len({w.text for w in exercise.wrong}) == len(exercise.wrong)
    assert all(w.about for w in exercise.wrong)
    task = next(c for c in lesson.cells if c.exercise == exercise.number and c.part == "task")
    assert "<details><summary>Hint 1</summary>" in task.text
    assert any(c.part == "try" for c in lesson.cells if c.exercise == exercise.number)
    for cell in exercise.hidden:
        assert cell.text.startswith("### BEGIN HIDDEN TESTS\n")
        assert cell.text.endswith("\n### END HIDDEN TESTS")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_checks_leave_the_names_of_the_lesson_alone(lesson, prepared, capsys):
    """What a check makes for itself ends with an underscore: the cells below it go on as before."""
    for exercise in lesson.exercises:
        space = dict(prepared[lesson.name])
        exec(books.without_markers(exercise.answer.text), space)
        known = set(space)
        for cell in exercise.checks:
            exec(cell.text, space)
        assert all(name.endswith("_") for name in set(space) - known), exercise.number


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
