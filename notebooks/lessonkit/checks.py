"""What an exercise is told: right, or a sentence about the mistake that was made.

A check cell names examples, the right answer to each, and what known mistakes give instead::

    with check("4.1"):
        expect(
            class_mates,
            ([3, 1, 3, 0], 2),
            answer=[0, 2],
            mistakes={"Sample 2 itself is missing: is i one of N_i?": [0]},
        )

These are the open checks, the feedback of a student. Hidden tests grade, and are kept apart.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import math
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import GeneratorType
from typing import Any, Literal


class ExerciseError(AssertionError):
    """An exercise is not right yet; notebooks show the sentence without a traceback.

    Attributes:
        kind: ``unanswered`` (the stub is still there), ``wrong`` (a check failed and knows why),
            ``unknown`` (another value than the right one, nobody knows why) or ``stopped`` (the
            answer raised something).
    """

    def __init__(
        self, sentence: str, kind: Literal["unanswered", "wrong", "unknown", "stopped"]
    ) -> None:
        super().__init__(sentence)
        self.kind = kind

    def _render_traceback_(self) -> list[str]:  # read by IPython
        return [str(self)]


class UnknownMistake(AssertionError):
    """An answer that is neither right nor a known mistake."""


def expect(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    *,
    answer: Any,
    mistakes: Mapping[str, Any] | None = None,
    look: Callable[[Any], Any] | None = None,
    within: float = 1e-6,
) -> None:
    """Call a student's function and compare what it gives back with the right answer.

    Lists, tuples, arrays and tensors are the same here, and so are all kinds of numbers.

    Args:
        function: the student's.
        arguments: what it is called with; it must leave them as they are.
        answer: the right value, or the class of the exception that it must raise.
        mistakes: sentence -> the value (or exception class) that a known mistake gives; four
            digits are enough, and of many numbers their sum.
        look: what of the value is compared: ``np.shape``, or a function that takes a part.
        within: how far a number may be off, relative where it is above 1.

    Raises:
        AssertionError: with the sentence of the known mistake.
        UnknownMistake: the value is wrong in another way.
    """
    mistakes = mistakes or {}
    call = f"{getattr(function, '__name__', 'it')}({', '.join(_short(a) for a in arguments)})"
    given = [copy.deepcopy(one) if isinstance(plain(one), list) else one for one in arguments]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            value = function(*given)
            if look and value is not None:
                value = look(value)
                part = "a part" if look.__name__ == "<lambda>" else look.__name__
                call = f"{part} of {call}"
            value = plain(value)
    except NotImplementedError:
        raise
    except Exception as error:
        for sentence, wrong in mistakes.items():
            if _is_exception(wrong) and isinstance(error, wrong):
                raise AssertionError(f"{call} stops with {error!r}. {sentence}") from error
        if _is_exception(answer) and isinstance(error, answer):
            return
        raise
    text = printed.getvalue()
    print(text, end="")
    if not _is_exception(answer) and _same(value, plain(answer), within):
        for before, after in zip(arguments, given, strict=True):
            if after is not before and not _same(plain(after), plain(before), 0):
                raise AssertionError(
                    f"{call} changes what it is given, and the caller still needs that: "
                    "work on a copy."
                )
        return
    for sentence, wrong in mistakes.items():
        if not _is_exception(wrong) and _close(value, plain(wrong)):
            raise AssertionError(f"{call} gives {_short(value)}. {sentence}")
    raise UnknownMistake(_tell(call, value, answer, text))


def _is_exception(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)


def plain(value: Any) -> Any:
    """Return lists and Python numbers for lists, tuples, arrays and tensors; else the value."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple | range | map | zip | GeneratorType):
        return [plain(one) for one in value]
    return value


def _agree(value: Any, wanted: Any, numbers: Callable[[float, float], bool]) -> bool:
    if isinstance(wanted, list) and isinstance(value, list):
        pairs = zip(value, wanted, strict=False)
        return len(value) == len(wanted) and all(_agree(a, b, numbers) for a, b in pairs)
    if isinstance(wanted, int | float) and isinstance(value, int | float):
        return (
            value == wanted or (math.isnan(value) and math.isnan(wanted)) or numbers(value, wanted)
        )
    return type(value) is type(wanted) and (value is wanted or value == wanted)


def _same(value: Any, wanted: Any, within: float) -> bool:
    return _agree(value, wanted, lambda a, b: abs(a - b) <= within * max(1, abs(b)))


def _numbers(value: Any) -> list[float]:
    """Return all numbers of a nested list."""
    if isinstance(value, list):
        return [number for one in value for number in _numbers(one)]
    return [float(value)] if isinstance(value, int | float) else []


def _close(value: Any, wanted: Any) -> bool:
    """Tell whether a value is the one that a mistake gives, written with four digits."""
    if isinstance(value, list) and isinstance(wanted, float):
        value = sum(_numbers(value))
    return _agree(value, wanted, lambda a, b: abs(a - b) <= 1e-3 * abs(b) + 1e-9)


def _tell(call: str, value: Any, answer: Any, printed: str) -> str:
    """Say what is wrong with a value that no known mistake gives."""
    if _is_exception(answer):
        return f"{call} must raise {answer.__name__}, and gives {_short(value)}."
    answer = plain(answer)
    wanted = f"expected {_short(answer)}"
    if value is None or value is ...:
        if printed.strip():
            return (
                f"{call} prints its answer and gives nothing back: write `return` where you "
                f"`print`, so that other cells can use it ({wanted})."
            )
        return f"{call} gives nothing back: does every way through it end in a `return`? ({wanted})"
    if isinstance(answer, list):
        if not isinstance(value, list):
            return f"{call} gives one value, {_short(value)}, not {len(answer)}; {wanted}."
        if len(value) < len(answer) and _same(value, answer[: len(value)], 1e-6):
            return (
                f"{call} gives {_short(value)}: right, but only {len(value)} of {len(answer)}. "
                f"Does a `return` stand inside the loop, or is something left out? ({wanted})"
            )
        if len(value) != len(answer):
            return f"{call} gives {len(value)} values, {_short(value)}; {wanted}."
    elif isinstance(value, list):
        return f"{call} gives {_short(value)} where one value is asked for ({wanted})."
    return f"{call} gives {_short(value)}; {wanted}."


def _short(value: Any) -> str:
    """Return a short text for a value."""
    value = plain(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        text = f"[{', '.join(_short(one) for one in value)}]"
    elif callable(value):
        text = getattr(value, "__name__", "f").replace("<lambda>", "f")
    else:
        text = repr(value)
    return text if len(text) <= 70 else f"{text[:60]} ..."


@contextlib.contextmanager
def check(exercise: str) -> Iterator[None]:
    """Run the checks of one exercise and say in a sentence how it went.

    Warnings and whatever the answer writes to stderr are kept out of the way: they are no
    mistake, and some grading tools take any of them for one.

    Raises:
        ExerciseError: the exercise is not answered, wrong, or stops with an error.
    """
    noise = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(noise):
            warnings.simplefilter("ignore")
            yield
    except NotImplementedError:
        raise ExerciseError(
            f"Exercise {exercise} waits for your answer: replace the `...` and the line that "
            "raises NotImplementedError, run that cell, then this one.",
            "unanswered",
        ) from None
    except AssertionError as error:
        told = str(error) or "a check fails"
        kind = "unknown" if isinstance(error, UnknownMistake) else "wrong"
        raise ExerciseError(f"Exercise {exercise} is not right yet: {told}", kind) from error
    except NameError as error:
        told = f"{error} {_where(error)}".strip()
        raise ExerciseError(
            f"Exercise {exercise}: {told}. Run the cells above first, your answer too (Run > Run "
            "All Above Selected Cell). If you renamed your function, give it back the name of the "
            "task.",
            "stopped",
        ) from error
    except Exception as error:
        told = f"{type(error).__name__}: {error or 'no message'}"
        place = _where(error)
        if place:
            sentence = f"your code stopped with {told} {place}"
        elif "NoneType" in told:
            sentence = "your code gave None back: does every way through it end in a return?"
        else:
            sentence = f"the check can do nothing with what your code gave back ({told})."
        raise ExerciseError(f"Exercise {exercise}: {sentence}", "stopped") from error
    if noise.getvalue().strip():
        print(f"(Your code wrote to stderr: {noise.getvalue().strip().splitlines()[-1]})")
    print(f"Exercise {exercise}: right.")


def _where(error: BaseException) -> str:
    """Name the place in the student's own function; empty when it did not stop in one."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        own = "ipykernel" in frame.filename or frame.filename.startswith("<")
        if own and not frame.name.startswith("<"):
            return f"(line {frame.lineno} of the cell, in {frame.name}: {frame.line or '?'})"
    return ""
