"""What the lessons call: profiles, checks, quizzes, sliders."""

import pytest
from lessonkit import checks, lessons

from ecstfl.errors import UserError


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
