"""The text source of a lesson: which cells there are, and what each is for.

A source is a Python file in jupytext's py:percent format; what a cell is for stands in its first
line:

=====================================  ========================================================
``# %% [markdown] part="header"``      the head; {{minutes}}, {{memory}}, {{exercises}} are filled
``# %% part="setup"``                  imports; exercises are tested with these cells alone
``# %% [markdown] exercise="4.1" part="task" level=1``   the exercise, with its hints
``# %% exercise="4.1" part="answer"``  stub and solution, between the markers of nbgrader
``# %% exercise="4.1" part="try"``     shown; its output is the student's expected output
``# %% exercise="4.1" part="check" points=1``   open checks
``# %% exercise="4.1" part="hidden" points=1``  hidden tests: instructors only
``# %% exercise="4.1" part="wrong" about="..."``  a plausible wrong answer: tests only
``# %% exercise="4.1" part="right" about="..."``  another right answer: tests only
``# %% part="quiz"``                   question(text, options, right=1, why=[...]); sealed
=====================================  ========================================================

``closed=true`` in that line folds a code cell away, or all that stands under a heading. JupyterLab
opens it with a click; *Run All* runs it as any other.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ecstfl.errors import UserError

PARTS: Final = (
    "text",
    "header",
    "setup",
    "task",
    "answer",
    "try",
    "check",
    "hidden",
    "wrong",
    "right",
    "quiz",
)
_EXERCISE_PARTS: Final = ("task", "answer", "try", "check", "hidden", "wrong", "right")


@dataclass(frozen=True)
class Cell:
    """One cell of a source, see the table at the head of this module."""

    kind: str
    text: str
    part: str = "text"
    exercise: str = ""
    points: int = 0
    level: int = 0
    about: str = ""
    closed: bool = False


@dataclass(frozen=True)
class Exercise:
    """One exercise with everything that belongs to it."""

    number: str
    title: str
    level: int
    points: int
    answer: Cell
    checks: tuple[Cell, ...]
    hidden: tuple[Cell, ...]
    wrong: tuple[Cell, ...] = field(repr=False)
    right: tuple[Cell, ...] = field(repr=False)


@dataclass(frozen=True)
class Lesson:
    """One source.

    Attributes:
        name: as the file, ``04_formula``.
        cells: in order.
        before: name and title of the lesson before, if any.
        after: name and title of the next lesson, if any.
        address: of the repository; empty while it has none.
    """

    name: str
    cells: tuple[Cell, ...]
    before: tuple[str, str] | None = None
    after: tuple[str, str] | None = None
    address: str = ""

    @property
    def title(self) -> str:
        """The heading of the first cell."""
        return self.cells[0].text.splitlines()[0].lstrip("# ").strip()

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        """The exercises in order.

        Raises:
            UserError: one lacks its task, answer, check or hidden tests, or has several.
        """
        numbers = dict.fromkeys(cell.exercise for cell in self.cells if cell.exercise)
        return tuple(self._exercise(number) for number in numbers)

    def _exercise(self, number: str) -> Exercise:
        own = [cell for cell in self.cells if cell.exercise == number]
        by_part = {part: tuple(c for c in own if c.part == part) for part in _EXERCISE_PARTS}
        for part in ("task", "answer"):
            if len(by_part[part]) != 1:
                raise UserError(
                    f"{self.name}, exercise {number}: expected one {part} cell, "
                    f"found {len(by_part[part])}"
                )
        for part in ("check", "hidden"):
            if not by_part[part] or not all(cell.points > 0 for cell in by_part[part]):
                raise UserError(
                    f"{self.name}, exercise {number}: expected {part} cells, each with points"
                )
        task = by_part["task"][0]
        heading = task.text.splitlines()[0]
        match = re.fullmatch(rf"### Exercise {re.escape(number)}: (.+)", heading)
        if match is None or task.level not in (1, 2, 3):
            raise UserError(
                f"{self.name}, exercise {number}: the task must begin with "
                f"'### Exercise {number}: title' and have a level of 1, 2 or 3"
            )
        return Exercise(
            number=number,
            title=match[1],
            level=task.level,
            points=sum(cell.points for cell in (*by_part["check"], *by_part["hidden"])),
            answer=by_part["answer"][0],
            checks=by_part["check"],
            hidden=by_part["hidden"],
            wrong=by_part["wrong"],
            right=by_part["right"],
        )


def read_lesson(path: Path) -> Lesson:
    """Read a text source.

    Raises:
        UserError: jupytext is missing, or the source breaks the rules above.
    """
    try:
        import jupytext
    except ImportError:
        raise UserError("jupytext is missing: pip install -e '.[notebooks]'") from None
    text = path.read_text(encoding="utf-8")
    begin = text.find("# %%")
    if begin < 0:
        raise UserError(f"{path} has no cell: each begins with a line '# %%'")
    cells = []
    for raw in jupytext.reads(text[begin:], fmt="py:percent").cells:
        meta = raw.metadata
        cell = Cell(
            raw.cell_type,
            # a word to the linter is none to the reader
            re.sub(r" *# noqa(: [A-Z0-9, ]+)?$", "", raw.source, flags=re.MULTILINE),
            meta.get("part", "text"),
            str(meta.get("exercise", "")),
            int(meta.get("points", 0)),
            int(meta.get("level", 0)),
            meta.get("about", ""),
            bool(meta.get("closed", False)),
        )
        if cell.part not in PARTS or bool(cell.exercise) != (cell.part in _EXERCISE_PARTS):
            raise UserError(
                f"{path}: a cell has part {cell.part!r} and exercise {cell.exercise!r}; "
                f"parts are {', '.join(PARTS)}, and {', '.join(_EXERCISE_PARTS)} need an exercise"
            )
        cells.append(cell)
    if cells[0].part != "header":
        raise UserError(f"{path}: the first cell must be the header")
    before, after = _neighbours(path)
    return Lesson(path.stem, tuple(cells), before, after, repository(path.resolve().parents[2]))


def _neighbours(path: Path) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    """Return (name, title) of the sources before and after this one in its folder."""
    found = sorted(path.parent.glob("[0-9][0-9]_*.py"))
    place = found.index(path) if path in found else 0
    beside = []
    for at in (place - 1, place + 1):
        text = found[at].read_text(encoding="utf-8") if 0 <= at < len(found) else ""
        title = re.search(r"^# # (.+)$", text, re.MULTILINE)
        beside.append((found[at].stem, title[1].strip()) if title else None)
    return beside[0], beside[1]


def repository(root: Path) -> str:
    """Return the address of the repository from ``pyproject.toml``; empty when none is set."""
    try:
        settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return ""
    address = str(settings.get("project", {}).get("urls", {}).get("Repository", ""))
    return address.rstrip("/").removesuffix(".git")


def sources(root: Path, only: Sequence[str] = ()) -> list[Path]:
    """Return the sources under ``root/notebooks/src``, or those whose number is named.

    Raises:
        UserError: none is there, or one that was named is not.
    """
    found = sorted((root / "notebooks" / "src").glob("[0-9][0-9]_*.py"))
    if not found:
        raise UserError(f"no lessons in {root / 'notebooks' / 'src'}: run inside the repository")
    for number in only:
        if not any(path.name.startswith(f"{number}_") for path in found):
            known = ", ".join(path.name[:2] for path in found)
            raise UserError(f"there is no lesson {number!r}; there are {known}")
    return [path for path in found if not only or path.name[:2] in only]
