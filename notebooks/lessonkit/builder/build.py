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

Commands: ``python -m lessonkit.builder build|check|refresh|solutions|course [NN ...]``. ``build``
executes; ``refresh`` carries changed text, links and student copies over without executing.

The address of the repository is one setting: ``Repository`` under ``[project.urls]`` of
``pyproject.toml``. While it is not set, notebooks carry no badge, since it would lead nowhere.

What a source looks like: :mod:`lessonkit.builder.reading`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ecstfl.errors import UserError
from ecstfl.files import atomic_write
from lessonkit.builder.books import (
    badge,
    complete_notebook,
    course_notebook,
    dumps,
    read_notebook,
    solution_notebook,
    stars,
    student_notebook,
)
from lessonkit.builder.execution import examine_outputs, execute, measured_texts
from lessonkit.builder.reading import Lesson, read_lesson, sources

INSTRUCTOR: Final = "INSTRUCTOR.md"


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
        done = execute(draft, root / "notebooks", profile=profile, frames=True)
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
        times = f"{done.seconds:.0f} s, {done.busy:.0f} s of it computing"
        print(f"{lesson.name}: {times}, {done.memory / 1e9:.2f} GB", flush=True)
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

from nbgrader import preprocessors as steps

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "ecstfl"
# the default of 30 s is about what a first UMAP fit takes
c.ExecutePreprocessor.timeout = 600
c.ClearSolutions.code_stub = {"python": "...\\nraise NotImplementedError"}


class PlainCopies(steps.NbGraderPreprocessor):
    """Make ordinary cells of copies: nbgrader's own step leaves marks that it then cannot read."""

    def preprocess(self, nb, resources):
        seen = set()
        for cell in nb.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            if name in seen:
                del cell.metadata["nbgrader"]
            elif name:
                seen.add(name)
        return nb, resources


c.Autograde.sanitize_preprocessors = [
    steps.ClearOutput,
    PlainCopies,
    steps.OverwriteKernelspec,
    steps.OverwriteCells,
    steps.CheckCellMetadata,
]
c.OverwriteCells.add_missing_cells = True  # a deleted test cell costs nothing
'''


def _measured(root: Path, lesson: Lesson) -> dict[str, str]:
    book = read_notebook(complete_path(root, lesson.name))
    return dict(book.metadata["ecstfl"]["measured"])


_DOCUMENTS: Final = {
    "data": "Data: the rendered clips, DFEW, RAVDESS, CREMA-D, your own folder (lesson 01)",
    "faces": "From video to aligned clips (lesson 02)",
    "loss": "The EC-STFL loss: formula, gradient, numerics, proof (lesson 04)",
    "backbones": "The other networks (lessons 05 and 09)",
    "recipe": "How the settings of training were chosen (lesson 06)",
    "results": "What was found (lesson 07)",
    "predict": "Recognise the expression in a video (lesson 10)",
    "reading": "How to read a paper of this field, and what to try next (lesson 11)",
    "glossary": "Glossary: the words of the lessons",
}


def index_page(root: Path) -> str:
    """Return the text of notebooks/README.md: the lessons, their price, points and documents.

    ``lessonkit.lab`` makes the list of a student's own copies from its table.
    """
    lines = [
        "# Lessons",
        "",
        "`make lab` opens this list in JupyterLab, with copies of your own in `notebooks/my/`:",
        "work there. *Solved* shows a lesson with all answers and outputs: try it yourself first.",
        "All notebooks here are built: to change one, edit `src/` and run `make notebooks`.",
        "",
        "| lesson | all answers | minutes to run | peak memory | exercises | points |",
        "|---|---|---|---|---|---|",
    ]
    for path in sources(root):
        lesson = read_lesson(path)
        try:
            measured = _measured(root, lesson)
        except UserError:  # not built yet
            measured = {"minutes": "?", "memory": "?"}
        opened = f"[{lesson.title}](student/{lesson.name}.ipynb)"
        opened = " ".join(filter(None, (opened, badge(lesson, "notebooks/student"))))
        points = sum(e.points for e in lesson.exercises)
        lines.append(
            f"| {opened} | [solved]({lesson.name}.ipynb) "
            f"| {measured['minutes']} | {measured['memory']} | {len(lesson.exercises)} | {points} |"
        )
    lines += [
        "",
        "Minutes and memory are measured by the build (quick profile, CPU), rounded up; on cores",
        "that are shared with other work it takes up to three times as long.",
        "",
        "## To read beside the lessons",
        "",
        *(f"* [{title}](../docs/{name}.md)" for name, title in _DOCUMENTS.items()),
    ]
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
            lines.append(f"| {name} | {e.number} {e.title} | {e.points} | {stars(e.level)} |")
    levels = ", ".join(
        f"{sum(e.level == level for e in every)} {stars(level)}" for level in (1, 2, 3)
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
    for folder in (here, *here.parents, Path(__file__).resolve().parents[3]):
        if (folder / "notebooks" / "src").is_dir():
            return folder
    raise UserError("the lessons are not here: run this inside the ecstfl repository")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; see the head of this module. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lessonkit.builder", description="The lessons.")
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
                    raise UserError("; ".join(complaints) + ". Run: make notebooks")
                print("All notebooks are in step with their sources.")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
