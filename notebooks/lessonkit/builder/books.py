"""Notebooks from a lesson's source: complete, student copy, solution, nbgrader course.

A variant decides what of each cell is shown: a stub or the solution, the hidden tests or not. The
same source gives the same file, to the byte.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from ecstfl.errors import UserError
from lessonkit.builder.reading import Cell, Lesson
from lessonkit.lessons import seal

_BEGIN, _END = "### BEGIN SOLUTION", "### END SOLUTION"
_HIDDEN_BEGIN, _HIDDEN_END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"

_ASKS: Final = re.compile(r"^\w+ = guess_(number|choice)\(", re.MULTILINE)
_TELLS: Final = re.compile(r"^\w+\.truth\(", re.MULTILINE)

# Needs nothing but Python, and fails with a sentence: it runs where the package is not.
_FIRST_CELL: Final = """\
# Finds the package and the lessons' helpers; installs them on a fresh machine (a cloud notebook).
import importlib.util, pathlib, subprocess, sys

class Stop(Exception):
    _render_traceback_ = lambda self: [str(self)]  # a sentence instead of a traceback

def run(*command, otherwise):
    try:
        if subprocess.run(command).returncode == 0:
            return
    except OSError:
        pass
    raise Stop(otherwise)

address, here = "{address}", pathlib.Path.cwd().resolve()
package = getattr(importlib.util.find_spec("ecstfl"), "origin", None)
roots = [here / "ecstfl-course", here, *here.parents]
if package:
    roots.insert(0, pathlib.Path(package).parents[1])  # a copy elsewhere that pip knows (-e)
root = next((r for r in roots if (r / "notebooks" / "lessonkit").is_dir()), None)
if root is None:
    if not address:
        raise Stop("Open this notebook inside a copy of the ecstfl repository, and run it again.")
    root = here / "ecstfl-course"
    run("git", "clone", "-q", "--depth", "1", address, str(root),
        otherwise=f"Could not copy {address}: are you online, and is git installed?")
if not package:
    run(sys.executable, "-m", "pip", "install", "-q", "-e", f"{root}[notebooks]",
        otherwise="pip could not install ecstfl: read its last lines above, then run this again.")
    sys.path.insert(0, str(root))
sys.path.append(str(root / "notebooks"))  # the lessons' helpers lie beside the lessons
import ecstfl  # before torch: it settles how threads wait for each other"""


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
        "from lessonkit.lessons import ask\n\n"
        f"q{number} = ask(\n    {dump(question)},\n    [\n{listed}    ],\n"
        f"    {dump(seal(question, right, why))},\n)\nq{number}"
    )


def stars(level: int) -> str:
    """Return the level of an exercise, 1 to 3, as stars."""
    return "★" * level + "☆" * (3 - level)


def _points(points: int) -> str:
    return f"{points} point{'s' if points != 1 else ''}"


def exercise_list(lesson: Lesson) -> str:
    """One line: numbers, levels and points of all exercises."""
    parts = [f"{e.number} {stars(e.level)} {_points(e.points)}" for e in lesson.exercises]
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


def _documents(text: str, variant: str) -> str:
    """Let links to documents hold where a variant lies; the sources write ``](../docs/...)``."""
    if variant == "student":
        return text.replace("](../docs/", "](../../docs/")
    if variant in ("solution", "course"):  # these lie apart from the documents
        return re.sub(r"\[([^]]*)\]\(\.\./docs/[^)]*\)", r"\1", text)
    return text


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
        if cell.part in ("wrong", "right") or (
            cell.part == "hidden" and variant in ("complete", "student")
        ):
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
            text = f"{first} · {stars(e.level)} · {_points(e.points)}\n{rest}"
        elif cell.part == "quiz":
            quizzes += 1
            text = _quiz_cell(text, quizzes)
        elif cell.part == "answer" and variant == "student":
            text = stub(text, cell.exercise)
        elif cell.part in ("answer", "hidden") and variant != "course":
            text = without_markers(text)
        if cell.kind == "markdown":
            text = _documents(text, variant)
        elif _TELLS.search(text):  # of a folded cell the first line is still seen
            text = f"# Guess first, then run this cell.\n{text}"
        if k == last and k > 0 and links:
            text = f"{text}\n\n{links}"
        out.append((cell, text))
        if cell.part == "header":
            install = _FIRST_CELL.replace("{address}", lesson.address)
            out.append((Cell("code", install, "install"), install))
    return out


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
    folded = cell.closed or _ASKS.search(text) or _TELLS.search(text)
    if cell.part in ("quiz", "install", "setup") or (folded and cell.kind == "code"):
        made.metadata["jupyter"] = {"source_hidden": True}  # JupyterLab folds it away
    elif cell.closed:  # and all that stands under this heading
        made.metadata["jp-MarkdownHeadingCollapsed"] = True
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
    waiting = unsolved(lesson)
    for cell, text in _cell_texts(lesson, "student", measured):
        cells.append(_plain_cell(cell, text))
        if cell.text in waiting:  # Run All goes on behind it
            cells[-1].metadata["tags"] = ["raises-exception"]
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
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "a figure")
            lines += [f"![{re.sub(r'[][]', '', alt)}](attachment:{name})", ""]
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


def unsolved(lesson: Lesson) -> set[str]:
    """Return the texts of the code cells that cannot run before an exercise is solved.

    They try or check an answer, call its function, or use what such a cell would have made.
    """
    missing: set[str] = set()
    found = set()
    for cell in lesson.cells:
        if cell.kind != "code" or cell.part not in ("text", "answer", "try", "check"):
            continue
        names = [node for node in ast.walk(ast.parse(cell.text)) if isinstance(node, ast.Name)]
        stored = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
        if cell.part == "answer":
            missing |= {n.name for n in ast.parse(cell.text).body if isinstance(n, ast.FunctionDef)}
        elif missing & ({node.id for node in names} - stored):
            found.add(cell.text)
            missing |= stored if cell.part != "check" else set()
        else:
            missing -= stored
    return found


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
        raise UserError(f"cannot read {path}: run make notebooks") from None
