"""Predict, then see: guesses are kept, judged honestly, and survive a damaged file."""

import json

import pytest
from lessonkit.guess import FILE, guess_choice, guess_number, progress, read_guesses

from ecstfl.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def jaw():
    return guess_number("02-jaw", "How much is left?", 0, 100, unit="%")


def eye():
    return guess_choice("03-eye", "Which is smoothest?", ["uniform", "linear", "TIM"])


def test_without_a_guess_the_truth_is_shown_and_no_file_is_made(home):
    shown = jaw().truth(21.3, "The fit takes the rest.")
    assert repr(shown) == "It is 21 %. No guess was made. The fit takes the rest."
    assert 'role="img" aria-label="A line from 0 % to 100 %' in shown._repr_html_()
    assert "No guess was made" in repr(eye().truth("TIM"))
    assert "No guess yet" in repr(progress())
    assert not list(home.iterdir())


def test_a_guess_is_kept_for_the_next_kernel_and_shown_beside_the_truth(home, capsys):
    jaw().commit(10, 40)
    assert "Noted: 10 % to 40 %" in capsys.readouterr().out
    shown = jaw().truth(21.3)
    assert "You said 10 % to 40 %: the truth is inside." in repr(shown)
    assert "<rect" in shown._repr_html_()
    eye().commit("linear", sure=60)
    assert "You said linear, 60 % sure: wrong." in repr(eye().truth("TIM"))
    assert [path.name for path in home.iterdir()] == [FILE]


def test_what_was_compared_with_the_truth_is_not_changed(capsys):
    jaw().commit(50, 60)
    jaw().commit(40, 60)  # not compared yet: may be changed
    jaw().truth(21.3)
    jaw().commit(20, 22)
    assert "your first guess stays" in capsys.readouterr().out
    assert read_guesses()["02-jaw"]["low"] == 40
    late = eye()
    late.truth("TIM")
    late.commit("TIM", 100)
    assert "not counted" in capsys.readouterr().out
    assert "03-eye" not in read_guesses()


def test_the_card_counts_intervals_and_choices():
    for k in range(6):
        one = guess_number(f"05-{k}", "?", 0, 10)
        one.commit(2, 4)
        one.truth(3 if k < 2 else 9)
    for k, (sure, truth) in enumerate([(100, "a"), (50, "b")]):
        one = guess_choice(f"07-{k}", "?", ["a", "b"])
        one.commit("a", sure)
        one.truth(truth)
    card = repr(progress())
    assert "2 of your 6 intervals held the truth (good would be about 5)" in card
    assert "covered 20%" in card
    assert "too narrow" in card
    assert "Choices: 1 of 2 right, 75% sure on average; Brier score 0.12" in card


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"02-jaw": 3}',
        '{"02-jaw": {"low": "a", "high": 1, "width": 1}}',
        '{"02-jaw": {"low": NaN, "high": 1, "width": 1}}',
        '{"02-jaw": {"choice": "a"}}',
        "\ud800",
    ],
)
def test_a_damaged_file_is_told_in_a_sentence_and_begun_afresh(home, capsys, text):
    (home / FILE).write_bytes(text.encode(errors="surrogatepass"))
    assert "No guess was made" in repr(jaw().truth(21))
    assert "a new list begins" in capsys.readouterr().out
    jaw().commit(10, 40)
    assert json.loads((home / FILE).read_text())["02-jaw"]["high"] == 40


def test_a_folder_that_cannot_be_written_does_not_stop_the_lesson(home, capsys):
    (home / FILE).mkdir()
    jaw().commit(10, 40)
    assert "could not be kept" in capsys.readouterr().out
    assert "No guess was made" in repr(jaw().truth(21))


@pytest.mark.parametrize("numbers", [(3, 1), ("a", 2), (None, None), (1, float("inf"))])
def test_no_interval_is_told(numbers):
    with pytest.raises(UserError, match="two numbers, the smaller one first"):
        jaw().commit(*numbers)


def test_no_option_is_told():
    with pytest.raises(UserError, match="choose one of uniform, linear, TIM"):
        eye().commit("cubic")
    with pytest.raises(UserError, match="0 to 100"):
        eye().commit("TIM", 120)
    with pytest.raises(ValueError, match="different options"):
        guess_choice("x", "?", ["a", "a"])
    with pytest.raises(ValueError, match="low < high"):
        guess_number("x", "?", 1, 1)


def test_forms_commit_what_their_sliders_say(monkeypatch):
    pytest.importorskip("ipywidgets")
    _, _, slider, button, reply = jaw()._form().children
    slider.value = (15, 35)
    button.click()
    assert "Noted: 15 % to 35 %" in reply.value
    _, buttons, sure, button, reply = eye()._form().children
    button.click()
    assert reply.value == "Choose one first."
    buttons.value, sure.value = "TIM", 80
    button.click()
    assert read_guesses()["03-eye"] == {"choice": "TIM", "sure": 0.8}
