"""Built notebooks: in step with their sources, whole, stamped, linked, no leaks. No kernel."""

import ast
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")

from lessonkit import claims, lessons  # noqa: E402
from lessonkit.builder import books, execution, reading  # noqa: E402
from lessonkit.builder import build as notebooks  # noqa: E402

from ecstfl.errors import UserError  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SOURCES = reading.sources(ROOT)
LESSONS = [reading.read_lesson(path) for path in SOURCES]
EXERCISES = [(lesson, e) for lesson in LESSONS for e in lesson.exercises]
WRONG = [(lesson, e, wrong) for lesson, e in EXERCISES for wrong in e.wrong]


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


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_plotting_code_is_folded_away(lesson):
    """What draws a figure takes a few lines at most of a cell that is open."""
    for cell in lesson.cells:
        if cell.kind == "code" and not cell.closed and cell.part in ("text", "try"):
            statements = [ast.get_source_segment(cell.text, s) for s in ast.parse(cell.text).body]
            drawing = [s for s in statements if re.search(r"\bplots_\w+\.\w+\(|\bstamp\(", s)]
            lines = sum(len(s.splitlines()) for s in drawing)
            assert lines <= 8, f"{lesson.name}: fold this cell (closed=true)\n{cell.text}"


# ---------------------------------------------------------------------------- built files


def test_built_files_are_in_step_with_their_sources():
    assert notebooks.stale(ROOT) == []


FEW = [lesson.name for lesson in LESSONS[:2]]


def copy_of_lessons(tmp_path):
    """The first two lessons, which are all that this root has."""
    for path in (ROOT / "notebooks").rglob("*"):
        other = path.stem[:2].isdigit() and path.stem not in FEW
        if path.suffix in (".py", ".ipynb", ".md") and ".ipynb_checkpoints" not in path.parts:
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not other:
                target.write_bytes(path.read_bytes())
    assert notebooks.refresh(tmp_path) == []
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
    assert path.stat().st_size < 2_000_000  # a page on a phone; frames of sliders are most of it
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
            if "image/png" in output.get("data", {}):  # what a picture says to who cannot see it
                assert output.metadata.get("image/png", {}).get("alt", ""), cell.source


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
    "00": ("playing",),
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
        free = any(re.search(rf"\b{name}\b", source) for name in UNTRAINED.get(lesson.name[:2], ()))
        if trains and not free:
            assert re.match(r"<Figure, (FRESH|PRECOMPUTED): .* · .+>", form), source
    for name in UNTRAINED.get(lesson.name[:2], ()):  # no exception outlives its figure
        assert any(
            re.search(rf"\b{name}\b", source)
            and form.startswith(("<Figure size", "<clips that play"))
            for source, form in shown
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


KIT = '[project.urls]\nRepository = "https://github.com/some/kit.git"\n'
ADDRESSES = [
    (KIT, "https://github.com/some/kit"),
    ('[project.urls]\nRepository = "https://example.org/kit/"\n', "https://example.org/kit"),
    ("[project]\n", ""),
    ("broken [", ""),
]


@pytest.mark.parametrize(("text", "address"), ADDRESSES)
def test_the_address_is_one_setting(tmp_path, text, address):
    (tmp_path / "pyproject.toml").write_text(text)
    assert reading.repository(tmp_path) == address


@pytest.mark.parametrize(("text", "address"), ADDRESSES[:2])
def test_badges_follow_the_address(tmp_path, text, address):
    root = copy_of_lessons(tmp_path)
    assert reading.repository(root) == ""
    (root / "pyproject.toml").write_text(text)
    assert reading.repository(root) == address
    assert notebooks.refresh(root) == []
    assert notebooks.stale(root) == []
    colab = "https://colab.research.google.com/github/some/kit/blob/main/notebooks"
    for name in FEW:
        for path, place in (
            (notebooks.complete_path, f"{colab}/{name}.ipynb"),
            (notebooks.student_path, f"{colab}/student/{name}.ipynb"),
        ):
            book = books.read_notebook(path(root, name))
            targets = links_of(book.cells[0].source)
            badges = [t for t in targets if "colab" in t and not t.endswith(".svg")]
            assert badges == ([place] if "github" in address else [])
            assert f'address, here = "{address}"' in book.cells[1].source
    page = (root / "notebooks" / "README.md").read_text()
    assert page.count(f"{colab}/student/") == (len(FEW) if "github" in address else 0)


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


def test_lesson_00_shows_todays_table_of_claims():
    built = books.read_notebook(notebooks.complete_path(ROOT, "00_start"))
    outputs = [o for c in built.cells for o in c.get("outputs", [])]
    shown = [o.get("data", {}).get("text/markdown") for o in outputs]
    assert claims.markdown() in shown, "lesson 00 shows an old table: build it again"
