"""What the book's pages are made of: no answers, quizzes with reasons, links that hold."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))

import stage  # noqa: E402

NAMES = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    out = tmp_path_factory.mktemp("source")
    stage.stage(ROOT, out)
    return out


def cells(staged, name):
    return json.loads((staged / "notebooks" / f"{name}.ipynb").read_text("utf-8"))["cells"]


@pytest.mark.parametrize("name", NAMES)
def test_exercises_show_their_stub_and_no_answer(staged, name):
    source = (ROOT / "notebooks" / "src" / f"{name}.py").read_text("utf-8")
    shown = "\n".join(cell["source"] for cell in cells(staged, name))
    student = (ROOT / "notebooks" / "student" / f"{name}.ipynb").read_text("utf-8")
    numbers = set(re.findall(r"NotImplementedError\(\\\"Exercise ([\d.]+)", student))
    assert numbers
    for number in numbers:
        assert f'raise NotImplementedError("Exercise {number}")' in shown
    answers = re.findall(r"### BEGIN SOLUTION\n(.*?)\n *### END SOLUTION", source, re.DOTALL)
    for answer in answers:
        if answer.count("\n") >= 2:  # a single line may well stand in the text, too
            assert answer not in shown
    assert "HIDDEN TESTS" not in shown


@pytest.mark.parametrize("name", NAMES)
def test_quizzes_stand_there_with_their_reasons(staged, name):
    shown = "\n".join(cell["source"] for cell in cells(staged, name))
    built = (ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8").count("import ask\\n")
    assert built >= 1
    assert shown.count('<section class="quiz"') == built
    assert shown.count('class="option right"') == built
    assert "import ask\n" not in shown


def test_a_quiz_tells_right_from_wrong():
    source = (
        '# %% part="quiz"\nquestion("Is $a < b$?", ["yes", "`no`"], right=2, why=["A.", "B."])\n'
    )
    ((question, options, right, why),) = stage.read_quizzes(source)
    text = stage.quiz_html("q", question, options, right, why)
    assert r"\(a &lt; b\)" in text
    assert '<details class="option wrong" name="q"><summary>yes</summary>' in text
    assert "<summary><code>no</code></summary><p><strong>Right.</strong> B.</p>" in text


def test_guesses_become_forms_and_their_truth_waits_with_what_stands_between():
    def code(text, kind="text/plain", shown=""):
        outputs = [{"output_type": "display_data", "data": {kind: shown}}] if shown else []
        return {"cell_type": "code", "metadata": {}, "source": text, "outputs": outputs}

    ask = 'kept = guess_number(\n    "02-jaw", f"How {much}?", 0, 100, unit="%"\n)\nkept'
    form = "**Guess first.** How much?\n\nBetween 0 % and 100 %: choose two numbers."
    choose = 'best = guess_choice("02-eye", "Which?", names)\nbest'
    options = "**Guess first.** Which?\n\n* one\n* two & three\n\nHow sure are you?"
    book = {
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": "# 02 · Faces\n\nAbout."},
            code(ask, "text/markdown", form),
            code("print(21.3)", shown="21.3"),
            code("kept.truth(21.3)", shown="It is 21 %. No guess was made."),
            code(choose, "text/markdown", options),
            {"cell_type": "markdown", "metadata": {}, "source": "## A heading"},
            code('best.truth("one")', shown="It is: one. No guess was made. So."),
            code("progress()"),
        ]
    }
    made = stage.Lesson("02_faces", book, {"cells": []}, "", "").page()["cells"]
    texts = [cell["source"] for cell in made[1:]]
    assert '<form class="guess" data-name="02-jaw">' in texts[0]
    assert "Between 0 % and 100 %." in texts[0]
    assert texts[1:4] == [
        '<div class="truth" data-name="02-jaw">',
        "print(21.3)",
        "kept.truth(21.3)",
    ]
    assert texts[4] == "</div>"
    assert 'value="two &amp; three"' in texts[5]
    assert texts[6:9] == [
        "## A heading",
        '<div class="truth" data-name="02-eye">',
        'best.truth("one")',
    ]
    assert made[4]["outputs"][0]["data"]["text/plain"] == "It is 21 %."
    assert "progress-card" in texts[-1]


@pytest.mark.parametrize(
    ("given", "address", "shown"),
    [
        ("[a](data.md#x)", "", "[a](data.md#x)"),
        ("[a](../notebooks/student/01_data.ipynb)", "", "[a](../notebooks/01_data.ipynb)"),
        ("[a](../ecstfl/losses/naive.py)", "", "{py:obj}`a <ecstfl.losses.naive>`"),
        ("[`Tap`](../ecstfl/models/tap.py)", "", "{py:obj}`Tap <ecstfl.models.tap.Tap>`"),
        ("[a](../ecstfl/__init__.py)", "", "{py:obj}`a <ecstfl>`"),
        ("[all of it](../ecstfl/__init__.py)", "", "[all of it](../api/index.rst)"),
        ("[a tap](../ecstfl/models/tap.py)", "", "[a tap](../api/models.rst)"),
        ("[`t`](../tests/toy.py)", "", "`t`"),
        ("[t](../tests/toy.py)", "https://x.y/z", "[t](https://x.y/z/blob/main/tests/toy.py)"),
        ("![p](faces.jpg) $[a](b.py)$", "", "![p](faces.jpg) $[a](b.py)$"),
        ("```\n[a](../tests/toy.py)\n```", "", "```\n[a](../tests/toy.py)\n```"),
        ("[a](https://x.y)", "", "[a](https://x.y)"),
        (
            "[a](../figures/landed/when.png)",
            "https://x.y/z",
            '<a href="../figures/landed/when.png">a</a>',
        ),
        ("[a](../figures/missing.png)", "", "a"),
    ],
)
def test_links_lead_into_the_book_or_to_the_repository(given, address, shown):
    known = {"docs/data.md", "notebooks/01_data.ipynb"}
    assert stage.rewrite_links(given, "docs/loss.md", ROOT, known, address) == shown


def test_launch_links_appear_with_the_address():
    book = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": "# 04 · F\n\nAbout."}]}

    def head(address):
        return stage.Lesson("04_formula", book, {"cells": []}, "", address).page()["cells"][0]

    assert "Colab" not in head("")["source"]
    assert "Binder" not in head("")["source"]
    text = head("https://github.com/a/b")["source"]
    assert "https://mybinder.org/v2/gh/a/b/main?" in text
    assert "colab.research.google.com/github/a/b/blob/main/notebooks/student/04_formula" in text


def test_outputs_fetch_nothing():
    output = {
        "output_type": "display_data",
        "data": {"text/html": '<link rel="stylesheet" href="https://x.y/a.css"><b>film</b>'},
    }
    assert stage._output(output)["data"]["text/html"] == "<b>film</b>"
