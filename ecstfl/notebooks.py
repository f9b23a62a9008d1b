"""Build the lessons: one text source each, everything else is made from it.

``notebooks/src/NN_name.py`` (jupytext's py:percent) becomes

===============================  ==============================================================
``notebooks/NN_name.ipynb``      complete, executed, with outputs and solutions
``notebooks/student/...``        stubs instead of solutions, expected outputs shown, no tests hidden
``notebooks/README.md``          the list of lessons
``INSTRUCTOR.md``                its table of exercises and points, between two marks
``build/solutions/...``          complete, with the hidden tests (for instructors)
``build/course/...``             source tree of an nbgrader course
===============================  ==============================================================

Commands: ``python -m ecstfl.notebooks build|check|refresh|solutions|course [NN ...]``. ``build``
executes; ``refresh`` carries changed text, links and student copies over without executing.

The address of the repository is one setting: ``Repository`` under ``[project.urls]`` of
``pyproject.toml``. While it is not set, notebooks carry no badge, since it would lead nowhere.

A source is a list of cells; what a cell is for stands in its first line:

=====================================  ========================================================
``# %% [markdown] part="header"``      the head; {{minutes}}, {{memory}}, {{exercises}} are filled
``# %% part="setup"``                  imports; exercises are tested with these cells alone
``# %% [markdown] exercise="4.1" part="task" level=1``   the exercise, with its hints
``# %% exercise="4.1" part="answer"``  stub and solution, between the markers of nbgrader
``# %% exercise="4.1" part="try"``     shown; its output is the student's expected output
``# %% exercise="4.1" part="check" points=1``   open checks
``# %% exercise="4.1" part="hidden" points=1``  hidden tests: instructors only
``# %% exercise="4.1" part="wrong" about="..."``  a plausible wrong answer: tests only
``# %% part="quiz"``                   question(text, options, right=1, why=[...]); sealed
=====================================  ========================================================
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ecstfl.errors import UserError
from ecstfl.lessons import WIDGETS, seal
from ecstfl.runs import atomic_write

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
    "quiz",
)
INSTRUCTOR: Final = "INSTRUCTOR.md"
_EXERCISE_PARTS: Final = ("task", "answer", "try", "check", "hidden", "wrong")
_BEGIN, _END = "### BEGIN SOLUTION", "### END SOLUTION"
_HIDDEN_BEGIN, _HIDDEN_END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"

# Needs nothing but Python, and fails with a sentence: it runs where the package is not.
_FIRST_CELL: Final = """\
# Installs the package when it is missing (a fresh machine, a cloud notebook), else does nothing.
import importlib.util, pathlib, subprocess, sys

class Stop(Exception):
    _render_traceback_ = lambda self: [str(self)]  # a sentence instead of a traceback

def works(*command):
    try:
        return subprocess.run(command).returncode == 0
    except OSError:
        return False

if importlib.util.find_spec("ecstfl") is None:
    address, here = "{address}", pathlib.Path.cwd().resolve()
    roots = [here / "ecstfl-course", here, *here.parents]
    root = next((r for r in roots if (r / "ecstfl" / "lessons.py").is_file()), None)
    if root is None and address:
        root = roots[0]
        if not works("git", "clone", "-q", "--depth", "1", address, str(root)):
            raise Stop("Could not copy " + address + ": are you online, and is git installed?")
    if root is None:
        raise Stop("Open this notebook inside a copy of the ecstfl repository, and run it again.")
    if not works(sys.executable, "-m", "pip", "install", "-q", "-e", str(root) + "[notebooks]"):
        raise Stop("pip could not install ecstfl: read its last lines above, then run this again.")
    sys.path.insert(0, str(root))"""


# --------------------------------------------------------------------------------------------
# Reading a source
# --------------------------------------------------------------------------------------------


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


# --------------------------------------------------------------------------------------------
# Text of the variants
# --------------------------------------------------------------------------------------------


def stub(text: str, exercise: str) -> str:
    """Replace each solution by ``...`` and a NotImplementedError.

    Raises:
        UserError: no solution is marked, or a marker stands alone.
    """
    out: list[str] = []
    inside = False
    count = 0
    for line in text.splitlines():
        marker = line.strip()
        if marker == _BEGIN:
            if inside:
                raise UserError(f"exercise {exercise}: {_BEGIN} twice")
            inside = True
            count += 1
            indent = line[: len(line) - len(line.lstrip())]
            out += [f"{indent}...", f'{indent}raise NotImplementedError("Exercise {exercise}")']
        elif marker == _END:
            if not inside:
                raise UserError(f"exercise {exercise}: {_END} without a beginning")
            inside = False
        elif not inside:
            out.append(line)
    if inside or not count:
        raise UserError(f"exercise {exercise}: expected a solution between {_BEGIN} and {_END}")
    return "\n".join(out)


def solution_lines(text: str) -> list[str]:
    """Return the stripped lines between the solution markers, without blank ones."""
    lines, inside = [], False
    for line in text.splitlines():
        marker = line.strip()
        if marker in (_BEGIN, _END):
            inside = marker == _BEGIN
        elif inside and marker:
            lines.append(marker)
    return lines


def without_markers(text: str) -> str:
    """Drop the marker lines, keep what stands between them."""
    markers = (_BEGIN, _END, _HIDDEN_BEGIN, _HIDDEN_END)
    return "\n".join(line for line in text.splitlines() if line.strip() not in markers)


def _quiz_cell(text: str, number: int) -> str:
    """Turn ``question(text, options, right=..., why=...)`` into a sealed ``ask``."""
    try:
        call = ast.parse(text).body[0].value  # type: ignore[attr-defined]
        question, options = (ast.literal_eval(argument) for argument in call.args)
        named = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
        right, why = named["right"] - 1, named["why"]
        if call.func.id != "question" or len(options) != len(why) or not 0 <= right < len(why):
            raise ValueError
    except (ValueError, KeyError, IndexError, AttributeError, SyntaxError):
        raise UserError(
            "a quiz cell must read question(text, [options], right=number, why=[a sentence each])"
        ) from None
    dump = lambda value: json.dumps(value, ensure_ascii=False)  # noqa: E731
    listed = "".join(f"        {dump(option)},\n" for option in options)
    return (
        "from ecstfl.lessons import ask\n\n"
        f"q{number} = ask(\n    {dump(question)},\n    [\n{listed}    ],\n"
        f"    {dump(seal(question, right, why))},\n)\nq{number}"
    )


def _stars(level: int) -> str:
    return "★" * level + "☆" * (3 - level)


def _points(points: int) -> str:
    return f"{points} point{'s' if points != 1 else ''}"


def exercise_list(lesson: Lesson) -> str:
    """One line: numbers, levels and points of all exercises."""
    parts = [f"{e.number} {_stars(e.level)} {_points(e.points)}" for e in lesson.exercises]
    total = sum(e.points for e in lesson.exercises)
    return " · ".join(parts) + f" ({_points(total)} in all)" if parts else "none"


def badge(lesson: Lesson, folder: str) -> str:
    """Return a badge that opens a lesson in a cloud notebook; empty without a GitHub address."""
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", lesson.address)
    if match is None:
        return ""
    colab = "https://colab.research.google.com"
    target = f"{colab}/github/{match[1]}/blob/main/{folder}/{lesson.name}.ipynb"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({target})"


def navigation(lesson: Lesson, variant: str) -> str:
    """Return the line of links to the lessons before and after; empty in a course.

    nbgrader puts each lesson into a folder of its own, so that no link would hold.
    """
    if variant == "course":
        return ""
    links = []
    if lesson.before:
        links.append(f"[← {lesson.before[1]}]({lesson.before[0]}.ipynb)")
    if variant != "solution":
        links.append(f"[all lessons]({'../' if variant == 'student' else ''}README.md)")
    if lesson.after:
        links.append(f"[{lesson.after[1]} →]({lesson.after[0]}.ipynb)")
    return " · ".join(links)


def _cell_texts(lesson: Lesson, variant: str, measured: dict[str, str]) -> list[tuple[Cell, str]]:
    """Return (cell, text) of a variant: ``complete``, ``student``, ``solution`` or ``course``."""
    out = []
    quizzes = 0
    exercises = {e.number: e for e in lesson.exercises}
    folder = "notebooks/student" if variant == "student" else "notebooks"
    links = navigation(lesson, variant)
    last = max((k for k, c in enumerate(lesson.cells) if c.kind == "markdown"), default=-1)
    for k, cell in enumerate(lesson.cells):
        text = cell.text
        if cell.part == "wrong" or (cell.part == "hidden" and variant in ("complete", "student")):
            continue
        if cell.part == "header":
            filled = {**measured, "exercises": exercise_list(lesson)}
            for key, value in filled.items():
                text = text.replace("{{" + key + "}}", value)
            above = badge(lesson, folder) if variant in ("complete", "student") else ""
            text = "\n\n".join(part for part in (text, links, above) if part)
        elif cell.part == "task":
            first, _, rest = text.partition("\n")
            e = exercises[cell.exercise]
            text = f"{first} · {_stars(e.level)} · {_points(e.points)}\n{rest}"
        elif cell.part == "quiz":
            quizzes += 1
            text = _quiz_cell(text, quizzes)
        elif cell.part == "answer" and variant == "student":
            text = stub(text, cell.exercise)
        elif cell.part in ("answer", "hidden") and variant != "course":
            text = without_markers(text)
        if k == last and k > 0 and links:
            text = f"{text}\n\n{links}"
        out.append((cell, text))
        if cell.part == "header":
            install = _FIRST_CELL.replace("{address}", lesson.address)
            out.append((Cell("code", install, "install"), install))
    return out


# --------------------------------------------------------------------------------------------
# Notebooks
# --------------------------------------------------------------------------------------------


def _cell_id(lesson: str, index: int, text: str) -> str:
    return hashlib.sha256(f"{lesson}|{index}|{text}".encode()).hexdigest()[:12]


def _notebook(lesson: Lesson, cells: Iterable[Any], measured: dict[str, str]) -> Any:
    """Return a notebook whose ids and metadata depend on its content alone."""
    import nbformat

    book = nbformat.v4.new_notebook()
    book.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "ecstfl": {"lesson": lesson.name, "measured": measured},
        }
    )
    book.cells = list(cells)
    for index, cell in enumerate(book.cells):
        cell.id = _cell_id(lesson.name, index, cell.source)
    return book


def _plain_cell(cell: Cell, text: str) -> Any:
    import nbformat

    new = nbformat.v4.new_markdown_cell if cell.kind == "markdown" else nbformat.v4.new_code_cell
    made = new(text)
    if cell.part == "answer":
        made.metadata["tags"] = [f"exercise-{cell.exercise}"]
    if cell.part in ("quiz", "install"):  # JupyterLab folds them away
        made.metadata["jupyter"] = {"source_hidden": True}
    return made


def complete_notebook(lesson: Lesson, measured: dict[str, str]) -> Any:
    """Return the complete notebook, not executed."""
    texts = _cell_texts(lesson, "complete", measured)
    return _notebook(lesson, (_plain_cell(c, t) for c, t in texts), measured)


def solution_notebook(lesson: Lesson, measured: dict[str, str]) -> Any:
    """Return the complete notebook with hidden tests, not executed."""
    texts = _cell_texts(lesson, "solution", measured)
    return _notebook(lesson, (_plain_cell(c, t) for c, t in texts), measured)


def student_notebook(lesson: Lesson, executed: Any) -> Any:
    """Return the student copy; expected outputs are those of the executed complete notebook."""
    import nbformat

    measured = dict(executed.metadata["ecstfl"]["measured"])
    outputs = {cell.source: cell.get("outputs", []) for cell in executed.cells}
    cells = []
    for cell, text in _cell_texts(lesson, "student", measured):
        cells.append(_plain_cell(cell, text))
        if cell.part == "try":
            shown, attachments = _expected(outputs.get(text, []))
            expected = nbformat.v4.new_markdown_cell(shown)
            if attachments:
                expected["attachments"] = attachments
            cells.append(expected)
    return _notebook(lesson, cells, measured)


def _expected(outputs: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Return Markdown (and attachments) that show the outputs of a cell."""
    lines, attachments = ["Expected output:", ""], {}
    for output in outputs:
        data = output.get("data", {})
        if "image/png" in data:
            name = f"expected{len(attachments)}.png"
            attachments[name] = {"image/png": data["image/png"]}
            lines += [f"![expected figure](attachment:{name})", ""]
        else:
            text = output.get("text", data.get("text/plain", ""))
            lines += ["```text", text.rstrip("\n"), "```", ""]
    return "\n".join(lines).rstrip(), attachments


def course_notebook(lesson: Lesson, measured: dict[str, str]) -> Any:
    """Return the notebook with nbgrader's metadata and markers, not executed."""
    cells = []
    seen: dict[str, int] = {}
    for cell, text in _cell_texts(lesson, "course", measured):
        made = _plain_cell(cell, text)
        if cell.part in ("answer", "check", "hidden"):
            kind = cell.part
            key = f"ex-{cell.exercise.replace('.', '-')}-{kind}"
            seen[key] = seen.get(key, 0) + 1
            made.metadata["nbgrader"] = {
                "schema_version": 3,
                "grade_id": key if seen[key] == 1 else f"{key}-{seen[key]}",
                "grade": kind != "answer",
                "solution": kind == "answer",
                "locked": kind != "answer",
                "task": False,
                **({"points": cell.points} if kind != "answer" else {}),
            }
        cells.append(made)
    return _notebook(lesson, cells, measured)


# --------------------------------------------------------------------------------------------
# Executing
# --------------------------------------------------------------------------------------------

_MEMORY = """\
def _peak():
    try:
        import resource, sys
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    except ImportError:
        import psutil
        return psutil.Process().memory_info().peak_wset
print(_peak())"""


@dataclass(frozen=True)
class Execution:
    """A notebook with outputs, and what it cost: seconds of wall time, peak bytes of the kernel."""

    notebook: Any
    seconds: float
    memory: int


def execute(
    book: Any, folder: Path, *, profile: str = "quick", widgets: bool = False, timeout: int = 600
) -> Execution:
    """Run all cells in a fresh kernel.

    Args:
        book: the notebook; a copy is run.
        folder: the kernel's working folder.
        profile: one of :data:`ecstfl.lessons.PROFILES`.
        widgets: False shows the still twins only, so that outputs are the same each time.
        timeout: seconds a cell may take.

    Raises:
        UserError: a cell fails; the message has its number and last line.
    """
    try:
        import nbclient
        import nbformat
    except ImportError:
        raise UserError("nbclient is missing: pip install -e '.[notebooks]'") from None
    book = copy.deepcopy(book)
    client = nbclient.NotebookClient(
        book,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,  # else one text arrives in one piece or in several, by chance
        resources={"metadata": {"path": str(folder)}},
    )
    environment = {**os.environ, "ECSTFL_PROFILE": profile, WIDGETS: "on" if widgets else "off"}
    # frozen modules make the kernel's debugger write a warning into every first cell
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    began = time.perf_counter()
    # the kernel's own log (ports, encryption) is no business of the reader
    with client.setup_kernel(env=environment, stderr=subprocess.DEVNULL):
        _ask_again(client.kc.shell_channel)
        for index, cell in enumerate(book.cells):
            try:
                client.execute_cell(cell, index)
            except nbclient.exceptions.CellExecutionError as error:
                raise UserError(
                    f"{book.metadata['ecstfl']['lesson']}, cell {index} stops with "
                    f"{error.ename}: {error.evalue}\n{cell.source}"
                ) from None
        seconds = time.perf_counter() - began
        probe = nbformat.v4.new_code_cell(_MEMORY)
        book.cells.append(probe)
        client.execute_cell(probe, len(book.cells) - 1, store_history=False)
        memory = int(book.cells.pop().outputs[0]["text"])
    return Execution(book, seconds, memory)


def _ask_again(channel: Any, every: float = 1.0) -> None:
    """Let a channel look for a message at least each second, not only when it is woken.

    nbclient answers an output widget on the socket where it waits for the kernel's reply. When
    the reply comes in while it writes, the one wake-up is used up by the writing, and the reply
    lies there unseen until the timeout: now and then a notebook with sliders stood still.
    """
    from queue import Empty

    get_msg = channel.get_msg

    async def patient(timeout: float | None = None) -> Any:
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return await get_msg(timeout=max(0.0, min(every, end - time.monotonic())))
            except Empty:
                if time.monotonic() >= end:
                    raise

    channel.get_msg = patient


def examine_outputs(book: Any, forbidden: Sequence[str]) -> list[str]:
    """Return complaints about executed outputs: stderr, and texts that name this machine."""
    complaints = []
    for index, cell in enumerate(book.cells):
        for output in cell.get("outputs", []):
            text = json.dumps(
                {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/")}
            ) + str(output.get("text", ""))
            if output.get("name") == "stderr":
                complaints.append(f"cell {index} writes to stderr: {output['text'].strip()[:200]}")
            complaints += [f"cell {index} shows {bad!r}" for bad in forbidden if bad in text]
            if re.search(r"\bat 0x[0-9a-f]{6,}", text):
                complaints.append(f"cell {index} shows a memory address")
            if re.search(r"\bnan\b", text) and "nan" not in cell.source.lower():
                complaints.append(f"cell {index} shows nan without speaking of it")
    return complaints


def measured_texts(execution: Execution) -> dict[str, str]:
    """Round what was measured up, so that the next build says the same."""
    minutes = math.ceil(execution.seconds / 30) / 2
    memory = math.ceil(execution.memory / 0.25e9) * 0.25
    return {"minutes": f"{minutes:g}", "memory": f"{memory:g} GB"}


# --------------------------------------------------------------------------------------------
# Commands
# --------------------------------------------------------------------------------------------


def dumps(book: Any) -> str:
    """Return the file text of a notebook, the same for the same content."""
    import nbformat

    nbformat.validate(book)
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def read_notebook(path: Path) -> Any:
    """Read a built notebook.

    Raises:
        UserError: it is missing or damaged.
    """
    import nbformat

    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except (OSError, ValueError, nbformat.ValidationError):
        raise UserError(f"cannot read {path}: run python -m ecstfl.notebooks build") from None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def _write_if_new(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        _write(path, text)


def complete_path(root: Path, name: str) -> Path:
    """Where the complete notebook of a lesson lies."""
    return root / "notebooks" / f"{name}.ipynb"


def student_path(root: Path, name: str) -> Path:
    """Where the student copy of a lesson lies."""
    return root / "notebooks" / "student" / f"{name}.ipynb"


def build(root: Path, only: Sequence[str] = (), profile: str = "quick") -> None:
    """Execute lessons and write complete and student notebooks and the list of lessons.

    Raises:
        UserError: a cell fails, writes to stderr or shows a path of this machine.
    """
    forbidden = [str(root), str(Path.home()), sys.prefix]
    for path in sources(root, only):
        lesson = read_lesson(path)
        draft = complete_notebook(lesson, {"minutes": "?", "memory": "?"})
        done = execute(draft, root / "notebooks", profile=profile)
        complaints = examine_outputs(done.notebook, [f for f in forbidden if len(f) > 3])
        if complaints:
            raise UserError(f"{lesson.name}: " + "; ".join(complaints))
        measured = measured_texts(done)
        book = complete_notebook(lesson, measured)
        for cell, executed in zip(book.cells, done.notebook.cells, strict=True):
            if cell.cell_type == "code":
                cell.outputs = executed.outputs
                cell.execution_count = executed.execution_count
        _write(complete_path(root, lesson.name), dumps(book))
        _write(student_path(root, lesson.name), dumps(student_notebook(lesson, book)))
        print(f"{lesson.name}: {done.seconds:.0f} s, {done.memory / 1e9:.2f} GB", flush=True)
    refresh(root)  # a lesson's neighbours link to it


def refresh(root: Path, only: Sequence[str] = ()) -> list[str]:
    """Carry text, links and student copies over where the code of a lesson is as executed.

    Returns:
        The names of lessons whose code changed, or that were never built: they need ``build``.
    """
    left = []
    for path in sources(root, only):
        lesson = read_lesson(path)
        try:
            built = read_notebook(complete_path(root, lesson.name))
        except UserError:
            left.append(lesson.name)
            continue
        wanted = complete_notebook(lesson, dict(built.metadata["ecstfl"]["measured"]))
        code, executed = (
            [c for c in book.cells if c.cell_type == "code"] for book in (wanted, built)
        )
        # cell 0 installs the package; its text holds the address, and it has no output
        if [c.source for c in code[1:]] != [c.source for c in executed[1:]]:
            left.append(lesson.name)
            continue
        for cell, was in zip(code, executed, strict=True):
            cell.outputs, cell.execution_count = was.outputs, was.execution_count
        for target, book in (
            (complete_path(root, lesson.name), wanted),
            (student_path(root, lesson.name), student_notebook(lesson, wanted)),
        ):
            _write_if_new(target, dumps(book))
    _write_if_new(root / "notebooks" / "README.md", index_page(root))
    if (root / INSTRUCTOR).is_file():
        _write_if_new(root / INSTRUCTOR, instructor_page(root))
    return left


def solutions(root: Path, out: Path, only: Sequence[str] = ()) -> None:
    """Write the notebooks with solutions and hidden tests, for instructors."""
    for path in sources(root, only):
        lesson = read_lesson(path)
        _write(
            out / f"{lesson.name}.ipynb", dumps(solution_notebook(lesson, _measured(root, lesson)))
        )


def course(root: Path, out: Path, only: Sequence[str] = ()) -> None:
    """Write an nbgrader course: ``out/source/NN_name/NN_name.ipynb`` and its configuration.

    A folder holds its notebook and nothing else, for nbgrader copies what lies beside it.
    """
    for path in sources(root, only):
        lesson = read_lesson(path)
        if lesson.exercises:
            target = out / "source" / lesson.name / f"{lesson.name}.ipynb"
            _write(target, dumps(course_notebook(lesson, _measured(root, lesson))))
    _write(out / "nbgrader_config.py", _NBGRADER_CONFIG)


_NBGRADER_CONFIG = '''\
"""Configuration of the nbgrader course; run nbgrader in this folder."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "ecstfl"
# the default of 30 s is about what a first UMAP fit takes
c.ExecutePreprocessor.timeout = 600
c.ClearSolutions.code_stub = {"python": "...\\nraise NotImplementedError"}
'''


def _measured(root: Path, lesson: Lesson) -> dict[str, str]:
    book = read_notebook(complete_path(root, lesson.name))
    return dict(book.metadata["ecstfl"]["measured"])


def index_page(root: Path) -> str:
    """Return the text of notebooks/README.md: the lessons, their price and their points."""
    lines = [
        "# Lessons",
        "",
        "Open the student copies in JupyterLab (`make lab`), in this order. Each complete notebook",
        "shows all outputs and solutions. Both are built: change `src/`, then run",
        "`python -m ecstfl.notebooks build`.",
        "",
        "| lesson | for students | minutes to run | peak memory | exercises | points |",
        "|---|---|---|---|---|---|",
    ]
    for path in sources(root):
        lesson = read_lesson(path)
        try:
            measured = _measured(root, lesson)
        except UserError:  # not built yet
            measured = {"minutes": "?", "memory": "?"}
        opened = badge(lesson, "notebooks/student") or f"[open](student/{lesson.name}.ipynb)"
        points = sum(e.points for e in lesson.exercises)
        lines.append(
            f"| [{lesson.title}]({lesson.name}.ipynb) | {opened} "
            f"| {measured['minutes']} | {measured['memory']} | {len(lesson.exercises)} | {points} |"
        )
    lines += ["", "Minutes and memory are measured by the build (quick profile, CPU), rounded up."]
    return "\n".join(lines) + "\n"


def points_table(root: Path) -> str:
    """Return the table of exercises with their levels and points, and their sums."""
    lines = ["| lesson | exercises | points | level |", "|---|---|---|---|"]
    every = []
    for path in sources(root):
        lesson = read_lesson(path)
        own = lesson.exercises
        every += own
        for e in own:
            name = f"[{lesson.title}](notebooks/{lesson.name}.ipynb)" if e is own[0] else ""
            lines.append(f"| {name} | {e.number} {e.title} | {e.points} | {_stars(e.level)} |")
    levels = ", ".join(
        f"{sum(e.level == level for e in every)} {_stars(level)}" for level in (1, 2, 3)
    )
    total = sum(e.points for e in every)
    return "\n".join([*lines, f"| **in all** | **{len(every)}** | **{total}** | {levels} |"])


def instructor_page(root: Path) -> str:
    """Return INSTRUCTOR.md with its table of points made anew.

    Raises:
        UserError: the marks around the table are missing.
    """
    text = (root / INSTRUCTOR).read_text(encoding="utf-8")
    begin, end = "<!-- points -->\n", "\n<!-- end of points -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise UserError(f"{INSTRUCTOR}: the marks {begin.strip()} and {end.strip()} are missing")
    return f"{head}{begin}{points_table(root)}{end}{tail}"


def stale(root: Path) -> list[str]:
    """Return what is out of step with the sources, without executing anything."""
    out = []
    names = []
    for path in sources(root):
        lesson = read_lesson(path)
        names.append(f"{lesson.name}.ipynb")
        try:
            built = read_notebook(complete_path(root, lesson.name))
            student = student_path(root, lesson.name).read_text(encoding="utf-8")
        except (UserError, OSError):
            out.append(f"{lesson.name}: not built")
            continue
        wanted = complete_notebook(lesson, dict(built.metadata["ecstfl"]["measured"]))
        if [_face(c) for c in wanted.cells] != [_face(c) for c in built.cells]:
            out.append(f"{lesson.name}: the complete notebook differs from its source")
        elif any(c.cell_type == "code" and c.execution_count is None for c in built.cells):
            out.append(f"{lesson.name}: the complete notebook was not executed to its end")
        elif student != dumps(student_notebook(lesson, built)):
            out.append(f"{lesson.name}: the student copy differs from its source")
    for folder in (root / "notebooks", root / "notebooks" / "student"):
        out += [
            f"{found.relative_to(root).as_posix()}: has no source"
            for found in sorted(folder.glob("*.ipynb"))
            if found.name not in names
        ]
    page = root / "notebooks" / "README.md"
    if not out and (not page.is_file() or page.read_text(encoding="utf-8") != index_page(root)):
        out.append("notebooks/README.md: differs from the sources")
    guide = root / INSTRUCTOR
    if not out and guide.is_file() and guide.read_text(encoding="utf-8") != instructor_page(root):
        out.append(f"{INSTRUCTOR}: its table of points differs from the sources")
    return out


def _face(cell: Any) -> tuple[str, str, str]:
    return cell.cell_type, cell.id, cell.source


def find_root(start: Path | None = None) -> Path:
    """Return the repository: the first folder upwards that holds ``notebooks/src``.

    Raises:
        UserError: there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (folder / "notebooks" / "src").is_dir():
            return folder
    raise UserError("the lessons are not here: run this inside the ecstfl repository")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; see the head of this module. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ecstfl.notebooks", description="The lessons.")
    parser.add_argument("command", choices=("build", "check", "refresh", "solutions", "course"))
    parser.add_argument("lessons", nargs="*", metavar="NN", help="numbers; default: all")
    parser.add_argument("--profile", default="quick", help="smoke, quick (default) or full")
    parser.add_argument("--out", type=Path, help="folder for solutions or course")
    args = parser.parse_args(arguments)
    try:
        root = find_root()
        match args.command:
            case "build":
                build(root, args.lessons, args.profile)
            case "refresh":
                left = refresh(root, args.lessons)
                if left:
                    raise UserError(f"their code changed, build them: {', '.join(left)}")
            case "solutions":
                solutions(root, args.out or root / "build" / "solutions", args.lessons)
            case "course":
                course(root, args.out or root / "build" / "course", args.lessons)
            case "check":
                complaints = stale(root)
                if complaints:
                    raise UserError(
                        "; ".join(complaints) + ". Run: python -m ecstfl.notebooks build"
                    )
                print("All notebooks are in step with their sources.")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
