"""Lay out the source tree of the book: pages as they are in the repository, lessons made readable.

A lesson's page is the executed notebook with three changes: an exercise shows its stub and not its
answer, a quiz answers in the page, and what needs a kernel (sliders, guesses) becomes plain HTML
that ``static/book.js`` brings to life. Needs nothing but Python.

Pages keep their places, so that links between them hold; :func:`rewrite_links` sees to the others.
"""

from __future__ import annotations

import ast
import hashlib
import html
import json
import posixpath
import re
import shutil
import sys
import tomllib
from base64 import b64decode
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

PAGES = ("docs/*.md", "data/README.md", "models/MODEL_CARD.md", "INSTRUCTOR.md")
"""Documents that are pages of the book; a landed table that one of them links to is one, too."""

Cell = dict[str, Any]


def repository(root: Path) -> str:
    """Return ``Repository`` of ``[project.urls]`` in pyproject.toml; empty while it is not set.

    This is the one place for the address: links to files and launch badges hang on it.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "").rstrip("/").removesuffix(".git")


def stage(root: Path, out: Path) -> None:
    """Write the source tree into ``out``, which is emptied first.

    Args:
        root: of the repository.
        out: folder for the tree; ``out/alt.json`` names the alternative text of each figure by
            the SHA-256 of its PNG.
    """
    shutil.rmtree(out, ignore_errors=True)
    address = repository(root)
    texts = {"book/index.md": (root / "book" / "index.md").read_text("utf-8")}
    for pattern in PAGES:
        for path in sorted(root.glob(pattern)):
            texts[path.relative_to(root).as_posix()] = path.read_text("utf-8")
    tables = sorted({name for page, text in texts.items() for name in _linked(page, text, root)})
    texts |= {name: landed_page(name, (root / name).read_text("utf-8")) for name in tables}
    texts["results/landed/index.md"] = _contents("The tables", tables, "results/landed")

    names = [path.stem for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))]
    books = {name: read_notebook(root / "notebooks" / f"{name}.ipynb") for name in names}
    texts["notebooks/README.md"] = lessons_page(books)
    known = {*texts, *(f"notebooks/{name}.ipynb" for name in names)}

    for page, text in texts.items():
        place = "index.md" if page == "book/index.md" else page
        shown = rewrite_links(text, page, root, known, address, place)
        if place == "index.md":
            shown = shown.replace("{{picture}}", moving_picture(root))
            shown = shown.replace("{{documents}}", "\n".join(_documents(texts)))
        _write(out / place, shown)
        for picture in _pictures(place, shown):
            if (root / picture).is_file():  # Sphinx complains of one that is missing
                _copy(root / picture, out / picture)
        for picture in re.findall(r'<a href="([^"]+\.png)">', shown):
            path = _resolve(place, picture)
            _copy(root / path, out / "extra" / path)
    alt: dict[str, str] = {}
    for name, book in books.items():
        student = read_notebook(root / "notebooks" / "student" / f"{name}.ipynb")
        source = (root / "notebooks" / "src" / f"{name}.py").read_text("utf-8")
        page = f"notebooks/{name}.ipynb"
        made = Lesson(name, book, student, source, address).page()
        for cell in made["cells"]:
            if cell["cell_type"] == "markdown":
                text = re.sub(r"(?<!\[)`(docs/\w+\.md)`", r"[\1](../\1)", cell["source"])
                cell["source"] = rewrite_links(text, page, root, known, address)
        alt |= alternative_texts(made)
        _write(out / page, json.dumps(made, ensure_ascii=False))
        _copy(root / "notebooks" / "student" / f"{name}.ipynb", out / "extra" / "open" / page[10:])
    _write(out / "alt.json", json.dumps(alt, ensure_ascii=False))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


# ---------------------------------------------------------------------------- links and pictures

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def rewrite_links(
    text: str, page: str, root: Path, known: set[str], address: str, place: str = ""
) -> str:
    """Let the links of a page lead to pages and pictures of the book, or to the repository.

    Args:
        text: Markdown.
        page: where it lies in the repository.
        root: of the repository.
        known: pages of the book.
        address: of the repository; while it is empty, a link to a file that is no page becomes
            its text.
        place: where the page lies in the book, if elsewhere.
    """
    folder = posixpath.dirname(place or page) or "."

    def rewrite(link: re.Match[str]) -> str:
        bang, words, target = link.groups()
        name, _, anchor = target.partition("#")
        if bang or not name or re.match(r"[a-z]+:", name):
            return link[0]
        path = _resolve(page, name).replace("notebooks/student/", "notebooks/")
        if path in known:
            there = posixpath.relpath(path, folder)
            return f"[{words}]({there}{'#' + anchor if anchor else ''})"
        if path.startswith("ecstfl/") and path.endswith(".py"):
            if " " in words:
                room = path.split("/")[1] if path.count("/") > 1 else "index"
                return f"[{words}]({posixpath.relpath(f'api/{room}.rst', folder)})"
            return _to_docstring(words.strip("`"), path, root)
        if path.endswith(".png") and (root / path).is_file():
            return f'<a href="{posixpath.relpath(path, folder)}">{words}</a>'
        if address and (root / path).exists():
            return f"[{words}]({address}/blob/main/{path})"
        return words

    # fences, and formulas with brackets, are left alone
    parts = re.split(r"(^```.*?^```|\$[^$\n]+\$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if k % 2 else _LINK.sub(rewrite, part) for k, part in enumerate(parts))


def _to_docstring(words: str, path: str, root: Path) -> str:
    """Return a link to a function's description where the words name one, else to its module's."""
    target = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if re.fullmatch(r"[A-Za-z]\w*", words):
        text = (root / path).read_text("utf-8") if (root / path).is_file() else ""
        if re.search(rf"^(?:def|class) {words}\b", text, re.MULTILINE):
            target += f".{words}"
    return f"{{py:obj}}`{words} <{target}>`"


def _resolve(page: str, place: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), place))


def _linked(page: str, text: str, root: Path) -> Iterator[str]:
    """The landed tables that a page links to."""
    for _, _, target in _LINK.findall(text):
        path = _resolve(page, target.partition("#")[0])
        if re.fullmatch(r"results/landed/.+\.md", path) and (root / path).is_file():
            yield path


def _pictures(page: str, text: str) -> Iterator[str]:
    """The pictures that a page shows."""
    found = [target for _, _, target in _LINK.findall(text)]
    found += re.findall(r'<img[^>]* src="([^"]+)"', text)
    for target in found:
        if re.fullmatch(r"(?![a-z]+:).+\.(png|jpg|gif)", target):
            yield _resolve(page, target)


def moving_picture(root: Path) -> str:
    """Return Markdown of the film on the landing page; the README's first picture without one."""
    found = sorted((root / "figures").rglob("watch-it-pull.gif"))
    if found:
        alt = "Points of three colours, one for each expression. While a small network learns, "
        alt += "EC-STFL pulls the points of one colour together and pushes the colours apart."
        return f"![{alt}]({found[0].relative_to(root).as_posix()})"
    still = re.search(r"!\[[^\]]*\]\(([^()]+)\)", (root / "README.md").read_text("utf-8"))
    return still[0] if still and (root / still[1]).is_file() else ""


def _documents(pages: Iterable[str]) -> list[str]:
    """The documents in the order of the table of contents, without those that it names itself."""
    first = [
        "docs/glossary.md",
        "docs/reading.md",
        "docs/install.md",
        "docs/data.md",
        "docs/faces.md",
    ]
    named = ["docs/results.md", "docs/recipe.md"]
    found = [page for page in pages if page.startswith("docs/") and page not in named]
    return sorted(found, key=lambda page: (first.index(page) if page in first else 99, page))


def landed_page(name: str, text: str) -> str:
    """Return a landed table with a title: ``results/landed/full/table.md`` is "full: table"."""
    *_, folder, stem = name.removesuffix(".md").split("/")
    which = "all settings" if folder == "landed" else folder
    return f"# {which}: {stem.replace('-', ' ')}\n\n{text}"


def _contents(title: str, pages: list[str], folder: str) -> str:
    listed = "\n".join(posixpath.relpath(page, folder) for page in pages)
    return f"# {title}\n\n```{{toctree}}\n:maxdepth: 1\n{listed}\n```\n"


# ---------------------------------------------------------------------------- lessons


def read_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook; each cell's source becomes one string."""
    book = json.loads(path.read_text("utf-8"))
    for cell in book["cells"]:
        cell["source"] = _joined(cell["source"])
    return book


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def lessons_page(books: dict[str, dict[str, Any]]) -> str:
    """Return the list of lessons: what each is about, and how long it runs."""
    lines = [
        "# Lessons",
        "",
        "Read them here: formulas, figures, quizzes and sliders work in the page. Exercises want a",
        "notebook: `make lab` in a copy of the repository opens all lessons in JupyterLab, with",
        "copies of your own and checks that know the usual mistakes.",
        "",
    ]
    for name, book in books.items():
        head = book["cells"][0]["source"]
        title = head.partition("\n")[0].lstrip("# ")
        about = " ".join(head.split("\n\n")[1].split())
        minutes = book["metadata"].get("ecstfl", {}).get("measured", {}).get("minutes", "?")
        lines += [f"**[{title}]({name}.ipynb)**  ", f"{about}  ", f"*runs in {minutes} min*", ""]
    listed = "\n".join(f"{name}.ipynb" for name in books)
    return "\n".join([*lines, f"```{{toctree}}\n:hidden:\n{listed}\n```", ""])


class Lesson:
    """The page of one lesson.

    Args:
        name: ``04_formula``.
        book: the executed notebook.
        student: the student's copy, for its stubs.
        source: the text source, for the answers of the quizzes.
        address: of the repository, or empty.
    """

    def __init__(
        self, name: str, book: dict[str, Any], student: dict[str, Any], source: str, address: str
    ) -> None:
        self.name, self.book, self.address = name, book, address
        self.stubs = {
            tag: cell["source"] for cell in student["cells"] for tag in _exercise_tags(cell)
        }
        self.tried = _tried(student["cells"])
        self.quizzes = read_quizzes(source)
        self.guesses: dict[str, tuple[str, int]] = {}  # variable -> name, place of its form
        self.cells: list[Cell] = []

    def page(self) -> dict[str, Any]:
        """Return the notebook to be rendered."""
        for number, cell in enumerate(self.book["cells"]):
            text = cell["source"]
            if cell["cell_type"] == "markdown":
                text = _NAVIGATION.sub("", text)  # the book has its own
                self.cells.append(_markdown(text if number else self._head(text)))
            else:
                self.cells += self._code(cell)
        cells = [{**cell, "id": f"cell{number}"} for number, cell in enumerate(self.cells)]
        return {**self.book, "cells": cells}

    def _head(self, text: str) -> str:
        """Add the ways to a notebook of one's own; an image from elsewhere goes."""
        text = re.sub(r"\[!\[[^\]]*\]\(https?:[^)]*\)\]\([^)]*\)", "", text).rstrip()
        ways = [f'<a href="../open/{self.name}.ipynb" download>Download the notebook</a>']
        place = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", self.address)
        if place:
            path = f"notebooks/student/{self.name}.ipynb"
            colab = f"https://colab.research.google.com/github/{place[1]}/blob/main/{path}"
            binder = f"https://mybinder.org/v2/gh/{place[1]}/main?urlpath=lab/tree/{path}"
            ways += [f'<a href="{colab}">Open in Colab</a>', f'<a href="{binder}">Binder</a>']
        return f'{text}\n\n<p class="ways">{" ".join(ways)}</p>'

    def _code(self, cell: Cell) -> list[Cell]:
        """Return what stands for a code cell."""
        text = cell["source"]
        hidden = cell["metadata"].get("jupyter", {}).get("source_hidden", False)
        tags = _exercise_tags(cell)
        if tags:
            return [_shown(cell, self.stubs[tags[0]], outputs=[])]
        if text.startswith("# Finds the package") or re.match(r'with check\("', text):
            return []
        if "lessons.start(" in text:
            return [_shown(cell, text, hide=True, outputs=[])]
        if text in self.tried:
            said = _raw('<p class="expected">With a right answer, this is what comes out:</p>')
            return [said, _shown(cell, text)]
        if "import ask\n" in text and (quiz := self._quiz(text)):
            return [_raw(quiz)]
        if guess := read_guess(cell):
            self.guesses[guess["variable"]] = (guess["name"], len(self.cells) + 1)
            return [_raw(guess_html(guess))]
        truth = re.search(r"^(\w+)\.truth\(", text, re.MULTILINE)
        if truth and truth[1] in self.guesses:
            return self._truth(cell, *self.guesses.pop(truth[1]))
        if re.search(r"^progress\(", text, re.MULTILINE):
            return [_raw('<div class="progress-card" role="status"></div>')]
        return [_shown(cell, text, hide=hidden or _long(text))]

    def _quiz(self, text: str) -> str:
        """Return the quiz of a cell whose answer is sealed; empty where the source has it not."""
        for number, (question, *rest) in enumerate(self.quizzes):
            if json.dumps(question, ensure_ascii=False) in text:
                return quiz_html(f"{self.name}-quiz{number}", question, *rest)
        return ""

    def _truth(self, cell: Cell, name: str, place: int) -> list[Cell]:
        """Return the cell that shows a truth; it waits, with what stands since the guess."""
        since = self.cells[place:]
        whole = all(
            one["cell_type"] == "code"
            or not re.search("^#|<form|<div|<section", one["source"], re.M)
            for one in since
        )
        begin = _raw(f'<div class="truth" data-name="{html.escape(name)}">')
        self.cells.insert(place if whole else len(self.cells), begin)
        return [_without_guess(_shown(cell, cell["source"], hide=True)), _raw("</div>")]


def _exercise_tags(cell: Cell) -> list[str]:
    return [t for t in cell["metadata"].get("tags", []) if t.startswith("exercise-")]


def _tried(cells: list[Cell]) -> set[str]:
    """The cells that call an answer: in a student's copy their output is shown below them."""
    return {
        before["source"]
        for before, cell in pairwise(cells)
        if cell["cell_type"] == "markdown" and cell["source"].startswith("Expected output:")
    }


_NAVIGATION = re.compile(r"^\[(?:←|all lessons\]).*\.(?:ipynb|md)\)$", re.MULTILINE)


def _long(text: str) -> bool:
    """Whether a block of code is so long that it stands in a reader's way."""
    return text.count("\n") > 25


def _markdown(text: str) -> Cell:
    """Return a Markdown cell; formulas inside HTML are marked as such, for Markdown leaves them."""
    marked = re.sub(r"<details>.*?</details>", lambda m: _formulas(m[0]), text, flags=re.DOTALL)
    return {"cell_type": "markdown", "metadata": {}, "source": marked}


def _formulas(text: str) -> str:
    def mark(formula: re.Match[str]) -> str:
        safe = formula[1].replace("<", "&lt;")
        return rf'<span class="math notranslate nohighlight">\({safe}\)</span>'

    return re.sub(r"\$([^$]+)\$", mark, text)


def _raw(text: str) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _shown(cell: Cell, text: str, *, hide: bool = False, outputs: Any = None) -> Cell:
    outputs = cell["outputs"] if outputs is None else outputs
    tags = ["hide-input"] if hide else []
    moving = any("image/vnd.ecstfl.frames" in output.get("data", {}) for output in outputs)
    made = [
        _output(output)
        for output in outputs
        if not (moving and _joined(output.get("text", "")).startswith("(In JupyterLab"))
    ]
    return {**cell, "source": text, "outputs": made, "metadata": {"tags": tags}}


def _without_guess(cell: Cell) -> Cell:
    """Leave out what the build, which guesses nothing, was told: the reader's page says better."""
    said = json.dumps(cell["outputs"]).replace(" No guess was made.", "")
    return {**cell, "outputs": json.loads(said)}


def _output(output: dict[str, Any]) -> dict[str, Any]:
    """Return an output for a page: frames become HTML; nothing is fetched from elsewhere."""
    data = output.get("data", {})
    if frames := data.get("image/vnd.ecstfl.frames"):
        made = frames_html(json.loads(_joined(frames)))
        return {**output, "data": {"text/html": made}, "metadata": {}}
    if "text/html" in data:
        fetched = r"<(?:link|script)[^>]*https?:[^>]*>(?:\s*</script>)?"
        text = re.sub(fetched, "", _joined(data["text/html"]))
        return {**output, "data": {**data, "text/html": text}}
    return output


def alternative_texts(book: dict[str, Any]) -> dict[str, str]:
    """Return the alternative text of each figure by the SHA-256 of its PNG.

    It stands in the output's metadata; a figure without one is named after its heading.
    """
    texts, heading = {}, ""
    for cell in book["cells"]:
        if cell["cell_type"] == "markdown":
            heads = re.findall(r"^#+ (.+)$", cell["source"], re.MULTILINE)
            heading = heads[-1] if heads else heading
            continue
        for output in cell["outputs"]:
            png = output.get("data", {}).get("image/png")
            if png:
                given = output.get("metadata", {}).get("image/png", {}).get("alt", "")
                name = hashlib.sha256(b64decode(_joined(png))).hexdigest()
                texts[name] = given or f"Figure in the section “{re.sub('[$`*]', '', heading)}”"
    return texts


# ---------------------------------------------------------------------------- quizzes and guesses


def read_quizzes(source: str) -> list[tuple[str, list[str], int, list[str]]]:
    """Return (question, options, index of the right one, reasons) of a lesson's text source."""
    found = []
    for part in re.split(r"^# %%", source, flags=re.MULTILINE):
        head, _, body = part.partition("\n")
        if 'part="quiz"' in head:
            call = ast.parse(body).body[0].value  # type: ignore[attr-defined]
            question, options = (ast.literal_eval(argument) for argument in call.args)
            named = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
            found.append((question, options, named["right"] - 1, named["why"]))
    return found


def quiz_html(name: str, question: str, options: list[str], right: int, why: list[str]) -> str:
    """Return a question whose options open to say whether they are right, and why.

    Plain HTML: it works without JavaScript, with the keyboard and in a screen reader.
    """
    lines = [f'<section class="quiz" aria-label="Quiz"><p class="question">{_inline(question)}</p>']
    for number, (option, reason) in enumerate(zip(options, why, strict=True)):
        kind, word = ("right", "Right.") if number == right else ("wrong", "Not this one.")
        lines.append(
            f'<details class="option {kind}" name="{name}"><summary>{_inline(option)}</summary>'
            f"<p><strong>{word}</strong> {_inline(reason)}</p></details>"
        )
    return "\n".join([*lines, "</section>"])


def _inline(text: str) -> str:
    """Return HTML of a sentence; only `code` and $formulas$ are marked up."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    return _formulas(text)


def read_guess(cell: Cell) -> dict[str, Any] | None:
    """Return what a cell asks with ``guess_number`` or ``guess_choice``; None if it does not.

    Returns:
        ``variable`` and ``name`` from its code; from its output the ``question``, and ``options``
        or the sentence ``between``.
    """
    made = re.search(r"^(\w+) = guess_\w+\(\s*[\"']([\w-]+)[\"']", cell["source"], re.MULTILINE)
    for output in cell["outputs"] if made else ():
        text = _joined(output.get("data", {}).get("text/markdown", ""))
        question, _, rest = text.partition("\n\n")
        if made and question.startswith("**Guess first.** "):
            found = {"variable": made[1], "name": made[2], "question": question[17:]}
            if options := re.findall(r"^\* (.+)$", rest, re.MULTILINE):
                return {**found, "options": options}
            return {**found, "between": rest.partition(":")[0]}
    return None


def guess_html(guess: dict[str, Any]) -> str:
    """Return the form of a guess; book.js keeps what is entered, and opens the truth."""
    name = html.escape(guess["name"])
    lines = [
        f'<form class="guess" data-name="{name}">',
        f'<p class="question"><strong>Guess first.</strong> {_inline(guess["question"])}</p>',
    ]
    if "options" in guess:
        lines.append("<fieldset><legend>Your answer</legend>")
        for option in guess["options"]:
            value = html.escape(option)
            lines.append(
                f'<label><input type="radio" name="{name}" value="{value}"> {value}</label>'
            )
        lines.append("</fieldset>")
    else:
        lines.append(
            f"<p>{_inline(guess['between'])}. Name an interval that you would trust four times in "
            "five.</p>"
        )
        lines += [
            f'<label>{which} <input type="number" step="any" name="{which}"></label>'
            for which in ("from", "to")
        ]
    lines += [
        '<p class="buttons"><button type="submit">This is my guess</button> '
        '<button type="button" class="skip">Show without a guess</button></p>',
        '<p class="reply" role="status"></p></form>',
    ]
    return "\n".join(lines)


# ---------------------------------------------------------------------------- sliders


def frames_html(frames: dict[str, Any]) -> str:
    """Return a figure whose sliders walk through frames.

    Args:
        frames: as ``notebooks/lessonkit/frames.py`` makes them.
    """
    alt, still = html.escape(frames["alt"]), frames["still"]
    lines = [f'<figure class="frames"><img src="{still}" alt="{alt}">']
    for number, control in enumerate(frames["controls"]):
        start, last = control["start"], len(control["values"]) - 1
        lines.append(
            f"<label><span>{html.escape(control['name'])}</span> "
            f'<input type="range" min="0" max="{last}" value="{start}" data-control="{number}"> '
            f"<output>{html.escape(control['values'][start])}</output></label>"
        )
    data = json.dumps(frames["controls"]).replace("</", "<\\/")
    lines += [
        "<figcaption>Move one slider at a time: the others go back to where they began. In "
        "JupyterLab all of them move freely.</figcaption>",
        f'<script type="application/json">{data}</script></figure>',
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    stage(Path(__file__).resolve().parents[1], Path(sys.argv[1]))
