"""Lessons: built files in step with sources, exercises proved, no leaks. Starts no kernel."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")

from lessonkit import checks, claims, lessons  # noqa: E402
from lessonkit.builder import books, execution, reading  # noqa: E402
from lessonkit.builder import build as notebooks  # noqa: E402

from ecstfl.errors import UserError  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SOURCES = reading.sources(ROOT)
LESSONS = [reading.read_lesson(path) for path in SOURCES]
EXERCISES = [(lesson, e) for lesson in LESSONS for e in lesson.exercises]
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


def run(space, *cells):
    """Run cells in a copy of a namespace."""
    space = dict(space)
    for cell in cells:
        exec(compile(cell.text, "<cell>", "exec"), space)


# ---------------------------------------------------------------------------- exercises


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


# ---------------------------------------------------------------------------- form


HEADER_ROWS = ("Before this", "Time", "Memory", "Data", "Source", "Exercises")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_header_and_end_block(lesson):
    built = books.read_notebook(notebooks.complete_path(ROOT, lesson.name))
    header = built.cells[0].source
    assert header.startswith(f"# {lesson.name[:2]} · ")
    learn = re.search(r"\*\*You will learn to\*\* (.+?)\n\n", header, re.DOTALL)[1]
    assert 3 <= len(re.findall(r"(?<!\*)\*\w+\*(?!\*)", learn)) <= 5
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", header, re.MULTILINE)
    assert tuple(name for name, _ in rows) == HEADER_ROWS
    assert re.search(r"\d+(\.\d)? min to run", dict(rows)["Time"])
    assert re.search(r"\d+(\.\d+)? GB", dict(rows)["Memory"])
    assert "{{" not in header
    text = "\n".join(c.source for c in built.cells if c.cell_type == "markdown")
    ends = [f"\n## {h}" for h in ("Checkpoint", "Summary", "What can go wrong", "Further reading")]
    places = [("\n" + text).find(heading) for heading in ends]
    assert -1 not in places
    assert places == sorted(places)
    assert sum(cell.part == "quiz" for cell in lesson.cells) >= 2


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_code_fits_a_notebook_page_and_is_no_wall(lesson):
    for cell in lesson.cells:
        if cell.kind == "code" and cell.part != "quiz":
            lines = cell.text.splitlines()
            assert len(lines) <= 40, f"{lesson.name}: a cell of {len(lines)} lines\n{cell.text}"


# ---------------------------------------------------------------------------- built files


def test_built_files_are_in_step_with_their_sources():
    assert notebooks.stale(ROOT) == []


def copy_of_lessons(tmp_path):
    for path in (ROOT / "notebooks").rglob("*"):
        if path.suffix in (".py", ".ipynb", ".md") and ".ipynb_checkpoints" not in path.parts:
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path


def test_each_way_of_being_out_of_step_is_seen(tmp_path):
    root = copy_of_lessons(tmp_path)
    assert notebooks.stale(root) == []
    name = LESSONS[0].name
    source = root / "notebooks" / "src" / f"{name}.py"
    kept = source.read_text()
    source.write_text(kept.replace("# ## Summary", "# ## Summary\n#\n# More.", 1))
    assert notebooks.stale(root) == [f"{name}: the complete notebook differs from its source"]
    source.write_text(kept)
    student = notebooks.student_path(root, name)
    student.write_text(student.read_text().replace("NotImplementedError", "ValueError"))
    (root / "notebooks" / "99_old.ipynb").write_text("{}")
    assert notebooks.stale(root) == [
        f"{name}: the student copy differs from its source",
        "notebooks/99_old.ipynb: has no source",
    ]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_built_notebook_is_whole_and_clean(lesson):
    path = notebooks.complete_path(ROOT, lesson.name)
    book = books.read_notebook(path)
    nbformat.validate(book)
    assert path.stat().st_size < 1_500_000
    assert execution.examine_outputs(book, ["/home/", "/root/", "/tmp/", "/work/", "Users\\"]) == []
    ids = [cell.id for cell in book.cells]
    assert len(set(ids)) == len(ids)
    again = books.complete_notebook(lesson, dict(book.metadata["ecstfl"]["measured"]))
    assert [cell.id for cell in again.cells] == ids
    assert path.read_text(encoding="utf-8") == books.dumps(book)
    for cell in book.cells:
        assert "execution" not in cell.metadata  # time stamps
        for output in cell.get("outputs", []):  # widgets have random ids
            assert not any("widget" in kind for kind in output.get("data", {}))


def test_refresh_carries_text_over_and_leaves_changed_code_to_build(tmp_path):
    root = copy_of_lessons(tmp_path)
    one, two = (lesson.name for lesson in LESSONS[:2])
    for name, old, new in (
        (one, "# ## Summary", "# ## Summary\n#\n# More."),
        (two, "print(", "str("),
    ):
        source = root / "notebooks" / "src" / f"{name}.py"
        source.write_text(source.read_text().replace(old, new, 1))
    assert notebooks.refresh(root) == [two]
    assert notebooks.stale(root) == [f"{two}: the complete notebook differs from its source"]
    old, new = (books.read_notebook(notebooks.complete_path(r, one)) for r in (ROOT, root))
    assert [c.get("outputs") for c in old.cells] == [c.get("outputs") for c in new.cells]
    assert any("More." in cell.source for cell in new.cells)


# ---------------------------------------------------------------------------- instructor's kit


GUIDE = (ROOT / notebooks.INSTRUCTOR).read_text(encoding="utf-8")


def rows_under(heading):
    """Return the rows of the first table under a heading, as lists of cells."""
    part = GUIDE.split(f"\n{heading}", 1)[1].split("\n#", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def numbers_in(text):
    """Return the exercises that a text names, ranges spelled out: ``4.1 to 4.3``."""
    named = re.findall(r"\b(\d+)\.(\d+)(?: to \d+\.(\d+))?", text)
    return [f"{a}.{k}" for a, b, c in named for k in range(int(b), int(c or b) + 1)]


@pytest.mark.parametrize(
    ("heading", "classes"), [("### One class", 1), ("### Two classes", 2), ("### Four classes", 4)]
)
def test_a_syllabus_fills_its_classes_and_names_what_exists(heading, classes):
    rows = rows_under(heading)
    assert all(len(row) == 4 for row in rows)
    known = {e.number: lesson.name[:2] for lesson, e in EXERCISES}
    spent = {}
    for where, minutes, lesson, what in rows:
        if where != "home":
            spent[where] = spent.get(where, 0) + int(minutes)
        assert lesson in {path.stem[:2] for path in SOURCES}
        for number in numbers_in(what):
            assert known.get(number) == lesson, number
    assert spent == {str(k + 1): 90 for k in range(classes)}
    order = [(row[0], int(row[2])) for row in rows]
    assert order == sorted(order)  # in the order of the course
    if classes == 4:
        assert {row[2] for row in rows} == {path.stem[:2] for path in SOURCES}
        named = numbers_in(" ".join(row[3] for row in rows))
        assert len(named) == len(set(named)), "an exercise is done once"


def test_common_errors_are_those_that_the_tests_reject():
    known = [e.number for _, e in EXERCISES]
    for where, *_ in rows_under("## Common errors"):
        assert set(numbers_in(where)) <= set(known)
        assert numbers_in(where)


def test_points_add_up_everywhere():
    rows = rows_under("## Points and rubric")
    rows = rows[: next(k for k, row in enumerate(rows) if "in all" in row[0]) + 1]
    total = sum(e.points for _, e in EXERCISES)
    assert sum(int(row[2]) for row in rows[:-1]) == total
    assert rows[-1][1:3] == [f"**{len(EXERCISES)}**", f"**{total}**"]
    page = (ROOT / "notebooks" / "README.md").read_text()
    assert sum(int(line.split("|")[-2]) for line in page.splitlines() if "ipynb" in line) == total
    for level in (1, 2, 3):
        assert sum(e.level == level for _, e in EXERCISES) >= 3
    for lesson in LESSONS:
        header = books.read_notebook(notebooks.complete_path(ROOT, lesson.name)).cells[0].source
        assert f"({sum(e.points for e in lesson.exercises)} points in all)" in header


def test_a_guide_without_its_marks_is_told(tmp_path):
    (tmp_path / notebooks.INSTRUCTOR).write_text("no table")
    with pytest.raises(UserError, match=r"marks .* are missing"):
        notebooks.instructor_page(tmp_path)


# ---------------------------------------------------------------------------- stamps


# Figures of lessons with trained models that show none: by the function that draws them.
UNTRAINED = {
    "01": ("filmstrip", "class_shares", "fold_maps", "clip_moments"),
    "06": ("dfew_batch",),
    "07": ("prior_scores", "hit_gain", "recall_intervals", "lambda_curve", "do_nothing"),
    "08": ("noise_maps", "bent_sizes", "one_class_away"),
    "09": ("costs", "published_gains", "loss_arrows", "after_descent"),
}


def figures_of(book):
    """Return (source, text form) of each figure shown."""
    return [
        (cell.source, output.data.get("text/plain", ""))
        for cell in book.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_every_figure_of_a_trained_model_is_stamped(lesson):
    """A lesson that trains or shows landed runs imports the stamp; then each figure has one."""
    text = "\n".join(cell.text for cell in lesson.cells if cell.kind == "code")
    shown = figures_of(books.read_notebook(notebooks.complete_path(ROOT, lesson.name)))
    trains = re.search(r"\bimport (?:.*, )?stamp\b|train_run|landed_", text)
    for source, form in shown:
        free = any(f"{name}(" in source for name in UNTRAINED.get(lesson.name[:2], ()))
        if trains and not free:
            assert re.match(r"<Figure, (FRESH|PRECOMPUTED): .* · .+>", form), source
    for name in UNTRAINED.get(lesson.name[:2], ()):  # no exception outlives its figure
        assert any(
            f"{name}(" in source and form.startswith("<Figure size") for source, form in shown
        )


def test_precomputed_figures_show_runs_that_are_here():
    """After another run has landed: build the lessons that show it again."""
    landed = {path.parent.name for path in (ROOT / "results" / "landed").glob("*/runs/*/run.json")}
    found = 0
    for lesson in LESSONS:
        for _, form in figures_of(books.read_notebook(notebooks.complete_path(ROOT, lesson.name))):
            if form.startswith("<Figure, PRECOMPUTED"):
                names = re.findall(r"[a-z0-9-]+-fold\d[a-z0-9-]*-[0-9a-f]{10}", form)
                assert names, form
                assert set(names) <= landed, lesson.name
                found += 1
    assert found


# ---------------------------------------------------------------------------- links, badges


def links_of(text):
    """Return targets of Markdown links and pictures, without code."""
    text = re.sub(r"```.*?```|`[^`]*`|\$[^$]+\$", "", text, flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize("place", ["complete", "student"])
def test_every_link_of_a_notebook_leads_somewhere(place):
    """Links to files exist; links to the net are whole addresses."""
    for lesson in LESSONS:
        path = {"complete": notebooks.complete_path, "student": notebooks.student_path}[place](
            ROOT, lesson.name
        )
        for cell in books.read_notebook(path).cells:
            if cell.cell_type != "markdown":
                continue
            for target in links_of(cell.source):
                if target.startswith("attachment:"):
                    assert target.removeprefix("attachment:") in cell.attachments
                elif not target.startswith(("https://", "#")):
                    assert (path.parent / target.split("#")[0]).is_file(), (lesson.name, target)
    page = ROOT / "notebooks" / "README.md"
    for target in links_of(page.read_text()):
        assert target.startswith("https://") or (page.parent / target).is_file()


def test_lessons_lead_from_first_to_last_and_back():
    names = [lesson.name for lesson in LESSONS]
    for path in (notebooks.complete_path, notebooks.student_path):
        for k, lesson in enumerate(LESSONS):
            book = books.read_notebook(path(ROOT, lesson.name))
            texts = [c.source for c in book.cells if c.cell_type == "markdown"]
            for text in (texts[0], texts[-1]):
                linked = [t.removesuffix(".ipynb") for t in links_of(text) if t[:2].isdigit()]
                assert linked == names[max(k - 1, 0) : k] + names[k + 1 : k + 2]
            if k + 1 < len(names):  # what the author wrote as the next lesson is the next one
                told = re.findall(r"^Next: (\d\d)", texts[-1], re.MULTILINE)
                assert [int(n) for n in told] == [int(lesson.name[:2]) + 1], lesson.name
            assert not links_of(books.course_notebook(lesson, MEASURED).cells[0].source)


MEASURED = {"minutes": "1", "memory": "1 GB"}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (
            '[project.urls]\nRepository = "https://github.com/some/kit.git"\n',
            "https://github.com/some/kit",
        ),
        ('[project.urls]\nRepository = "https://example.org/kit/"\n', "https://example.org/kit"),
        ("[project]\n", ""),
        ("broken [", ""),
    ],
)
def test_the_address_is_one_setting_and_badges_follow_it(tmp_path, text, address):
    root = copy_of_lessons(tmp_path)
    assert reading.repository(root) == ""
    (root / "pyproject.toml").write_text(text)
    assert reading.repository(root) == address
    assert notebooks.refresh(root) == []
    assert notebooks.stale(root) == []
    colab = "https://colab.research.google.com/github/some/kit/blob/main/notebooks"
    for lesson in LESSONS:
        for path, place in (
            (notebooks.complete_path, f"{colab}/{lesson.name}.ipynb"),
            (notebooks.student_path, f"{colab}/student/{lesson.name}.ipynb"),
        ):
            book = books.read_notebook(path(root, lesson.name))
            targets = links_of(book.cells[0].source)
            badges = [t for t in targets if "colab" in t and not t.endswith(".svg")]
            assert badges == ([place] if "github" in address else [])
            assert f'address, here = "{address}"' in book.cells[1].source
    page = (root / "notebooks" / "README.md").read_text()
    assert page.count(f"{colab}/student/") == (len(LESSONS) if "github" in address else 0)


# ---------------------------------------------------------------------------- the first cell


class Machine:
    """Stands for subprocess.run: which commands fail, and what was asked for."""

    def __init__(self, failing=()):
        self.failing, self.asked = failing, []

    def run(self, command, **_):
        self.asked.append(list(command))
        name = next(w for w in ("git", "pip") if w in command)
        if name == "git" and name not in self.failing:
            (Path(command[-1]) / "notebooks" / "lessonkit").mkdir(parents=True)
        if f"no {name}" in self.failing:
            raise FileNotFoundError(name)
        return type("Done", (), {"returncode": int(name in self.failing)})


@pytest.fixture
def first_cell(tmp_path, monkeypatch):
    """Run the first code cell in a folder, on a machine with or without the package."""
    import importlib.util
    import subprocess
    import sys

    def act(address="", package=None, failing=()):
        machine = Machine(failing)
        here = tmp_path / "own" / "folder"
        here.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(here)
        monkeypatch.setattr(subprocess, "run", machine.run)
        # a folder of this name without code is a package, too, but has no origin
        found = type("Spec", (), {"origin": package and str(package / "ecstfl" / "__init__.py")})
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
        monkeypatch.setattr(sys, "path", list(sys.path))
        lesson = reading.Lesson("00", LESSONS[0].cells, address=address)
        source = books.complete_notebook(lesson, MEASURED).cells[1].source
        exec(compile(source, "<first cell>", "exec"), {})
        return machine.asked, sys.path

    return act


KIT = "https://github.com/some/kit"


def test_first_cell_only_finds_the_helpers_where_the_package_is(first_cell, tmp_path):
    """Installed with -e from a copy elsewhere (a course), or as a wheel (a copy around it)."""
    (tmp_path / "copy" / "notebooks" / "lessonkit").mkdir(parents=True)
    asked, path = first_cell(package=tmp_path / "copy")
    assert (asked, path[-1]) == ([], str(tmp_path / "copy" / "notebooks"))
    (tmp_path / "notebooks" / "lessonkit").mkdir(parents=True)
    asked, path = first_cell(package=tmp_path / "site-packages")
    assert (asked, path[-1]) == ([], str(tmp_path / "notebooks"))


def test_first_cell_installs_from_the_copy_around_it(first_cell, tmp_path):
    (tmp_path / "notebooks" / "lessonkit").mkdir(parents=True)
    asked, path = first_cell(KIT)
    assert [c[-1] for c in asked] == [f"{tmp_path}[notebooks]"]
    assert (path[0], path[-1]) == (str(tmp_path), str(tmp_path / "notebooks"))


def test_first_cell_fetches_the_repository_once_where_its_address_is_known(first_cell, tmp_path):
    asked, path = first_cell(KIT)
    copy = tmp_path / "own" / "folder" / "ecstfl-course"
    assert asked[0] == ["git", "clone", "-q", "--depth", "1", KIT, str(copy)]
    assert asked[1][-1] == f"{copy}[notebooks]"
    assert (path[0], path[-1]) == (str(copy), str(copy / "notebooks"))
    assert [c[-1] for c in first_cell(KIT)[0]] == [f"{copy}[notebooks]"]


@pytest.mark.parametrize(
    ("address", "failing", "told"),
    [
        ("", (), "Open this notebook inside a copy"),
        (KIT, ("git",), "are you online"),
        (KIT, ("git", "no git"), "is git installed"),
        (KIT, ("pip",), "pip could not install ecstfl"),
    ],
)
def test_first_cell_stops_with_a_sentence(first_cell, address, failing, told):
    with pytest.raises(Exception, match=told) as error:
        first_cell(address, failing=failing)
    assert error.value._render_traceback_() == [str(error.value)]
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------------- leaks


def squeeze(text):
    return re.sub(r"\s+", "", text)


def student_text():
    return {
        path.stem: path.read_text(encoding="utf-8")
        for path in (ROOT / "notebooks" / "student").glob("*.ipynb")
    }


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_nothing_leaks_into_the_student_tree(lesson):
    book = books.read_notebook(notebooks.student_path(ROOT, lesson.name))
    raw = notebooks.student_path(ROOT, lesson.name).read_text(encoding="utf-8")
    assert "HIDDEN TESTS" not in raw
    assert "SOLUTION" not in raw
    everything = squeeze("\n".join(cell.source for cell in book.cells))
    for exercise in lesson.exercises:
        cells = [
            c for c in book.cells if f"exercise-{exercise.number}" in c.metadata.get("tags", [])
        ]
        assert len(cells) == 1
        assert "raise NotImplementedError" in cells[0].source
        assert not cells[0].outputs
        solved = books.without_markers(exercise.answer.text)
        assert squeeze(solved) not in everything
        body = squeeze("\n".join(books.solution_lines(exercise.answer.text)))
        assert body not in everything
        for line in books.solution_lines(exercise.answer.text):
            line = squeeze(line.removeprefix("return "))
            # what the lesson shows before the exercise is given, what comes after would tell
            given = squeeze("\n".join(c.source for c in book.cells[: book.cells.index(cells[0])]))
            assert len(line) < 40 or line in given or line not in everything, line
        for hidden in exercise.hidden:
            for line in books.without_markers(hidden.text).splitlines():
                if "assert" in line:
                    assert squeeze(line) not in everything, line
        for wrong in exercise.wrong:
            assert squeeze(wrong.text) not in everything
    assert '"part"' not in raw  # the marks of the source
    assert '"about"' not in raw
    assert {p.suffix for p in (ROOT / "notebooks" / "student").iterdir() if p.is_file()} == {
        ".ipynb"
    }


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_quiz_answers_are_not_in_clear_text_and_open(lesson):
    for path in (notebooks.complete_path, notebooks.student_path):
        book = books.read_notebook(path(ROOT, lesson.name))
        cells = [c.source for c in book.cells if "= ask(" in c.source]
        quizzes = [c for c in lesson.cells if c.part == "quiz"]
        assert len(cells) == len(quizzes)
        raw = json.dumps(book, ensure_ascii=False)
        for quiz, text in zip(quizzes, cells, strict=True):
            assert "right=" not in text
            space = {}
            exec(text.rsplit("\n", 1)[0], space)
            question = next(v for v in space.values() if isinstance(v, lessons.Question))
            replies = [question.feedback(k) for k in range(len(question.options))]
            assert sum(reply.startswith("Right. ") for reply in replies) == 1
            right = int(re.search(r"right=(\d)", quiz.text)[1])
            assert replies[right - 1].startswith("Right. ")
            for reply in replies:
                assert reply.split(". ", 1)[1] not in raw


# ---------------------------------------------------------------------------- course


def test_course_tree_has_nbgrader_cells_and_nothing_beside_the_notebook(tmp_path):
    notebooks.course(ROOT, tmp_path)
    with_exercises = [lesson for lesson in LESSONS if lesson.exercises]
    assert sorted(p.name for p in (tmp_path / "source").iterdir()) == [
        x.name for x in with_exercises
    ]
    for lesson in with_exercises:
        folder = tmp_path / "source" / lesson.name
        assert [p.name for p in folder.iterdir()] == [f"{lesson.name}.ipynb"]
        book = books.read_notebook(folder / f"{lesson.name}.ipynb")
        graded = [c for c in book.cells if "nbgrader" in c.metadata]
        ids = [c.metadata.nbgrader.grade_id for c in graded]
        assert len(set(ids)) == len(ids)
        points = sum(c.metadata.nbgrader.get("points", 0) for c in graded)
        assert points == sum(e.points for e in lesson.exercises)
        for cell in graded:
            assert cell.metadata.nbgrader.grade != cell.metadata.nbgrader.solution
            # public and hidden asserts in one cell would give no partial credit
            assert not ("HIDDEN" in cell.source and "-check" in cell.metadata.nbgrader.grade_id)


def test_solutions_hold_solutions_and_hidden_tests(tmp_path):
    notebooks.solutions(ROOT, tmp_path)
    for lesson in LESSONS:
        book = books.read_notebook(tmp_path / f"{lesson.name}.ipynb")
        text = squeeze("\n".join(c.source for c in book.cells))
        assert "###BEGIN" not in text
        for exercise in lesson.exercises:
            for cell in (exercise.answer, *exercise.hidden):
                assert squeeze(books.without_markers(cell.text)) in text
            assert all(squeeze(wrong.text) not in text for wrong in exercise.wrong)


# ---------------------------------------------------------------------------- traceability


def test_every_claim_leads_to_code_a_test_and_its_lesson():
    assert claims.broken(ROOT) == []
    text = claims.markdown()
    assert len(text.splitlines()) == len(claims.LINKS) + 2
    built = books.read_notebook(notebooks.complete_path(ROOT, "00_start"))
    shown = [
        o.data["text/markdown"] for c in built.cells for o in c.get("outputs", []) if "data" in o
    ]
    assert text in shown, "lesson 00 shows an old table: build it again"


def test_stale_links_are_found():
    test = "test_loss.py::test_values_by_hand"
    used = claims.sections_with(SOURCES[0].with_name("04_formula.py").read_text(), "ec_stfl_loss")
    links = (
        claims.Link("a", "", "ecstfl.losses.ec_stfl.no_such_loss", test),
        claims.Link("b", "", "ecstfl.no_module.x", test),
        claims.Link("c", "", "ecstfl.losses.ec_stfl.ec_stfl_loss", "test_loss.py::test_values"),
        claims.Link("d", "", "ecstfl.losses.ec_stfl.ec_stfl_loss", "test_none.py::test_x"),
        claims.Link("e", "", "ecstfl.losses.ec_stfl.ec_stfl_loss", test, "98_none", "x"),
        claims.Link("f", "", "ecstfl.losses.ec_stfl.ECSTFLLoss", test, "07_table", "x"),
        claims.Link("g", "", "ecstfl.losses.ec_stfl.ec_stfl_loss", test, "04_formula", used[1]),
        claims.Link("h", "", "ecstfl.losses.ec_stfl.ec_stfl_loss", test, "04_formula", used[0]),
    )
    assert [line[0] for line in claims.broken(ROOT, links)] == ["a", "b", "c", "d", "e", "f", "g"]
    with pytest.raises(ValueError, match="claim 99"):
        claims.find("claim 99")


def test_only_what_a_student_sees_counts_as_use():
    source = (
        '# %% [markdown] part="header"\n# # 01 · Test\n#\n# `tim` here\n\n'
        '# %% part="setup"\nfrom x import tim\n\n'
        "# %% [markdown]\n# ## One\n#\n# tim without its marks\n#\n# ## Two\n\n"
        "# %%\nfrom x import (\n    tim,\n)\n\n# %% [markdown]\n# ## Three\n\n"
        '# %% exercise="1.1" part="answer"\ntim()\n\n# %% exercise="1.1" part="hidden"\ntim()\n\n'
        "# %% [markdown]\n# ### Four\n#\n# Now `tim(x)`.\n#\n# ## Five\n\n# %%\nx.tim(1)\n"
    )
    assert claims.sections_with(source, "tim") == ["Four", "Five"]


def test_every_step_of_the_claims_has_its_row():
    text = " ".join(link.where for link in claims.LINKS)
    steps = ["1 (1)", "1 (2)", "1 (3)", "1 (5)", "2 (2-1)", "2 (2-2)", "2 (2-3)", "2 (2-4)"]
    steps += ["3 (3-1)", "3 (3-2)", "3 (3-3)", "4", "5"]
    for step in steps:
        assert f"claim {step}" in text, step
    assert all(link.lesson for link in claims.LINKS)


# ---------------------------------------------------------------------------- builder, bad input


HEAD = '# %% [markdown] part="header"\n# # 01 · Test\n\n'
TASK = '# %% [markdown] exercise="1.1" part="task" level=1\n# ### Exercise 1.1: One\n\n'
ANSWER = (
    '# %% exercise="1.1" part="answer"\ndef f():\n    ### BEGIN SOLUTION\n    return 1\n'
    "    ### END SOLUTION\n\n"
)
CHECK = '# %% exercise="1.1" part="check" points=1\nassert f() == 1\n\n'
HIDDEN = '# %% exercise="1.1" part="hidden" points=1\nassert f() == 1\n\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nothing", "has no cell"),
        ("# %%\nx = 1\n", "first cell must be the header"),
        (HEAD + '# %% part="soluton"\nx = 1\n', "soluton"),
        (HEAD + '# %% part="answer"\nx = 1\n', "need an exercise"),
        (HEAD + ANSWER + CHECK + HIDDEN, "expected one task"),
        (HEAD + TASK + ANSWER + HIDDEN, "expected check cells"),
        (HEAD + TASK + ANSWER + CHECK.replace(" points=1", "") + HIDDEN, "each with points"),
        (HEAD + TASK.replace("1.1: One", "1.2: One") + ANSWER + CHECK + HIDDEN, "must begin with"),
    ],
)
def test_a_broken_source_is_told_in_one_sentence(tmp_path, text, told):
    path = tmp_path / "01_test.py"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(told)):
        reading.read_lesson(path).exercises  # noqa: B018


def test_stub_keeps_signature_and_indentation():
    text = (
        "def f(x):\n    '''Doc.'''\n    ### BEGIN SOLUTION\n    y = x\n    return y\n"
        "    ### END SOLUTION"
    )
    assert books.stub(text, "1.1") == (
        "def f(x):\n    '''Doc.'''\n    ...\n    raise NotImplementedError(\"Exercise 1.1\")"
    )
    assert books.solution_lines(text) == ["y = x", "return y"]
    for broken in (
        "x = 1",
        "### BEGIN SOLUTION\nx",
        "### END SOLUTION",
        text + "\n### BEGIN SOLUTION",
    ):
        with pytest.raises(UserError, match=r"exercise 1\.1"):
            books.stub(broken, "1.1")


def test_commands_report_bad_input_and_exit_with_2(tmp_path, monkeypatch, capsys):
    assert notebooks.main(["refresh", "77"]) == 2
    assert "there is no lesson '77'" in capsys.readouterr().err
    root = copy_of_lessons(tmp_path)
    monkeypatch.chdir(root)
    assert notebooks.main(["check"]) == 0
    notebooks.student_path(root, LESSONS[0].name).unlink()
    assert notebooks.main(["check"]) == 2
    assert "not built" in capsys.readouterr().err
    assert notebooks.main(["refresh"]) == 0
    assert notebooks.main(["check"]) == 0


def test_outputs_that_name_the_machine_or_warn_are_found():
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    outputs = [
        new_output("stream", name="stdout", text="wrote /srv/me/x\n"),
        new_output("stream", name="stderr", text="UserWarning: old\n"),
        new_output("execute_result", data={"text/plain": "<object at 0x7f12ab34cd>"}),
        new_output("stream", name="stdout", text="loss nan\n"),
        new_output("display_data", data={"image/png": "/srv/me"}),  # not text
    ]
    book = new_notebook(cells=[new_code_cell("print(x)", outputs=[o]) for o in outputs])
    told = execution.examine_outputs(book, ["/srv/me"])
    assert [line.split()[1] for line in told] == ["0", "1", "2", "3"]


# ---------------------------------------------------------------------------- lessons module


def test_profiles(monkeypatch, capsys):
    monkeypatch.delenv("ECSTFL_PROFILE", raising=False)
    assert lessons.start("04").choose(smoke=1, quick=2, full=3) == 2
    monkeypatch.setenv("ECSTFL_PROFILE", " Smoke ")
    assert lessons.start("04").choose(smoke=1, quick=2, full=3) == 1
    monkeypatch.setenv("ECSTFL_PROFILE", "fast")
    with pytest.raises(UserError, match="set it to one of smoke, quick, full"):
        lessons.start("04")


def test_check_tells_each_kind_of_failure_in_a_sentence(capsys):
    def fail(answer):
        with pytest.raises(checks.ExerciseError) as error, checks.check("9.9"):
            answer()
        return error.value

    def unanswered():
        raise NotImplementedError("Exercise 9.9")

    def crash():
        return 1 / 0

    def warn():
        import sys
        import warnings

        warnings.warn("old", stacklevel=1)
        print("grumble", file=sys.stderr)

    assert fail(unanswered).kind == "unanswered"
    error = fail(crash)
    assert error.kind == "stopped"
    assert "ZeroDivisionError: division by zero" in str(error)
    error = fail(lambda: abs(None - 1))
    assert error.kind == "stopped"
    assert str(error).endswith("gave None back: does every way through it end in a return?")
    error = fail(lambda: abs("1" - 1))
    assert "can do nothing with what your code gave back (TypeError: unsupported" in str(error)
    space = {}
    exec(compile("def answer():\n    return None + 1", "<cell>", "exec"), space)
    error = fail(space["answer"])
    assert "your code stopped with TypeError: unsupported" in str(error)
    assert "(line 2 of the cell, in answer:" in str(error)
    error = fail(lambda: undefined_name)  # noqa: F821
    assert "Run the cells above first" in str(error)
    assert error._render_traceback_() == [str(error)]
    capsys.readouterr()
    with checks.check("9.9"):
        warn()
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "grumble" in shown.out
    assert shown.out.endswith("Exercise 9.9: right.\n")


def test_quiz_seal_opens_only_with_its_question():
    sealed = lessons.seal("Which?", 1, ["not a", "because of b"])
    assert "because" not in sealed
    assert lessons.unseal("Which?", sealed) == (1, ["not a", "because of b"])
    question = lessons.ask("Which?", ["a", "b"], sealed)
    assert question.feedback(1) == "Right. because of b"
    assert question.feedback(0) == "Not this one. not a"
    with pytest.raises(UserError, match="use one of a, b"):
        question.answer("c")
    with pytest.raises(UserError, match="was changed"):
        lessons.unseal("Who?", sealed)
    with pytest.raises(UserError, match="was changed"):
        lessons.unseal("Which?", "~~ not base 85 ~~ \x00")


def test_sliders_start_where_the_still_figure_stands(monkeypatch):
    pytest.importorskip("ipywidgets")
    monkeypatch.setattr(lessons, "widgets_run", lambda: True)
    drawn = []

    def draw(T=16, noise=0.0, form="paper", seed=0, hidden=7):
        drawn.append((T, noise, form, seed, hidden))

    widget = lessons.play(
        draw, T=(2, 48), noise=(0.0, 4.0, 0.5), form=["patent", "paper"], seed=(0, 9)
    )
    names = [child.description for child in widget.children if hasattr(child, "value")]
    assert names == ["T", "noise", "form", "seed"]  # none for what the lesson does not offer
    assert drawn == [(16, 0.0, "paper", 0, 7)]


def test_play_says_so_where_sliders_do_not_run(capsys):
    assert lessons.play(lambda a=7: a, a=(0, 1)) == 7
    assert lessons.play(lambda a=7: a, still=False, a=(0, 1)) is None
    assert "sliders move" in capsys.readouterr().out
