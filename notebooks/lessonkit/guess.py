"""Predict, then see: a guess before each main result, the truth beside it, and a progress card.

How to use it in a lesson. Three cells: commit, compute as before, show the truth::

    from lessonkit.guess import guess_choice, guess_number, progress

    kept = guess_number("02-jaw", "How much of a jaw drop is left?", 0, 100, unit="%")
    kept                                     # last line of its cell: the form, or how to commit

    kept.truth(21.3)                         # last line of the cell that shows the result

    best = guess_choice("03-eye", "Which looks smoothest?", ["uniform", "linear", "TIM"])
    best.truth("TIM", "It has no corners.")  # a sentence why, if you like

    progress()                               # once, at the end of the lesson

A number is guessed as an interval that should hold the truth **four times in five**; a choice with
how sure one is, in percent. In JupyterLab there are sliders and a button; without widgets, and in
an nbgrader course, ``kept.commit(10, 40)`` or ``best.commit("TIM", sure=70)`` does the same.
Without a guess (*Run All*, a page without a kernel) ``truth`` shows the result and says that no
guess was made. A name begins with its lesson; names are the keys of the student's file: keep them.

Guesses lie in ``my-guesses.json`` beside the notebook, and never leave the machine. A guess that
was compared with its truth is not changed any more: else the card would say nothing.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ecstfl.errors import UserError
from ecstfl.files import write_json

FILE: Final = "my-guesses.json"
"""In the working folder of the notebook, which is where the student's copy lies."""

LEVEL: Final = 0.8
"""How often an interval is asked to hold the truth."""


# ---------------------------------------------------------------------------- the student's file


def read_guesses(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return all guesses by name; a damaged file is named in a sentence and begun afresh."""
    path = (folder or Path.cwd()) / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError
        return {name: _sound(entry) for name, entry in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        print(f"{FILE} cannot be read: your earlier guesses are lost, a new list begins.")
        return {}


def _sound(entry: Any) -> dict[str, Any]:
    """Return an entry of the file as it should be.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    if "choice" in entry:
        sound: dict[str, Any] = {"choice": str(entry["choice"]), "sure": float(entry["sure"])}
        if "right" in entry:
            sound["right"] = bool(entry["right"])
    else:
        sound = {name: float(entry[name]) for name in ("low", "high", "width")}
        if "truth" in entry:
            sound["truth"] = float(entry["truth"])
    if not all(math.isfinite(v) for v in sound.values() if isinstance(v, float)):
        raise ValueError
    return sound


def _keep(name: str, entry: Mapping[str, Any]) -> None:
    """Write one guess into the file; where nothing can be written, say so and go on."""
    try:
        write_json(Path.cwd() / FILE, {**read_guesses(), name: dict(entry)})
    except UserError as error:
        print(f"Your guess could not be kept: {error}")


# ---------------------------------------------------------------------------- what a cell shows


@dataclass(frozen=True)
class Shown:
    """A result in words, and as a small drawing where a page can show one."""

    text: str
    drawing: str = ""

    def __repr__(self) -> str:
        """Return the words."""
        return self.text

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.text)}</p>{self.drawing}".replace("\n", "<br>")


@dataclass
class _Guess:
    """What numbers and choices share: a name, a question, and whether the truth was shown."""

    name: str
    question: str
    seen: bool = field(default=False, init=False)

    def _entry(self) -> dict[str, Any] | None:
        return read_guesses().get(self.name)

    def _take(self, entry: Mapping[str, Any], told: str) -> str:
        """Keep a guess unless it comes too late; return what to say."""
        before = self._entry()
        if before and ("truth" in before or "right" in before):
            return "You have seen the truth of this one: your first guess stays."
        if self.seen:
            return "The truth is shown already, so this guess is not counted."
        _keep(self.name, entry)
        return f"Noted: {told}. Now go on and see."

    def _ipython_display_(self) -> None:
        from IPython.display import Markdown, display

        from lessonkit.lessons import widgets_run

        if widgets_run() and not self.seen:
            display(self._form())
        else:
            display(Markdown(f"**Guess first.** {self.question}\n\n{self._how()}"))

    def _boxed(self, *parts: Any, read: Any) -> Any:
        """Return a form: the question, its parts, a button that commits, and a line of reply."""
        import ipywidgets

        reply = ipywidgets.HTML()
        button = ipywidgets.Button(description="This is my guess", button_style="primary")

        def commit(_: Any) -> None:
            reply.value = html.escape(read())

        button.on_click(commit)
        head = ipywidgets.HTML(f"<b>Guess first.</b> {html.escape(self.question)}")
        return ipywidgets.VBox([head, *parts, button, reply])

    def _form(self) -> Any:
        raise NotImplementedError

    def _how(self) -> str:
        raise NotImplementedError


# ---------------------------------------------------------------------------- a number


@dataclass
class NumberGuess(_Guess):
    """A number to be guessed as an interval; see :func:`guess_number`."""

    low: float
    high: float
    unit: str = ""
    digits: int = 0

    def commit(self, low: float, high: float) -> None:
        """Commit to an interval.

        Raises:
            UserError: it is no interval of numbers.
        """
        try:
            low, high = float(low), float(high)
        except (TypeError, ValueError):
            low = high = math.nan
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise UserError("a guess is two numbers, the smaller one first: commit(low, high)")
        print(self._commit(low, high))

    def _commit(self, low: float, high: float) -> str:
        width = (high - low) / (self.high - self.low)
        entry = {"low": low, "high": high, "width": width}
        return self._take(entry, f"{self._say(low)} to {self._say(high)}")

    def truth(self, value: float, why: str = "") -> Shown:
        """Return the truth beside the guess, and count it for the progress card."""
        value = float(value)
        entry, said = self._entry(), f"It is {self._say(value)}."
        self.seen = True
        if entry is None or "low" not in entry:
            return Shown(f"{said} No guess was made.{why and ' ' + why}", self._draw(value))
        _keep(self.name, {**entry, "truth": value})
        low, high = entry["low"], entry["high"]
        inside = "inside" if low <= value <= high else "outside"
        told = f"You said {self._say(low)} to {self._say(high)}: the truth is {inside}."
        return Shown(f"{said} {told}{why and ' ' + why}", self._draw(value, low, high))

    def _say(self, value: float) -> str:
        return f"{value:.{self.digits}f}{self.unit and ' ' + self.unit}"

    def _draw(self, value: float, *guess: float) -> str:
        """Return a line from low to high with the guess as a bar and the truth as a dot."""
        ends = (min(self.low, value, *guess), max(self.high, value, *guess))
        place = [20 + 400 * (x - ends[0]) / (ends[1] - ends[0]) for x in (value, *guess)]
        bar = ""
        if guess:
            bar = f'<rect x="{place[1]:.0f}" y="8" width="{max(place[2] - place[1], 2):.0f}" '
            bar += 'height="12" fill="#9ecae1"/>'
        label = f"A line from {self._say(ends[0])} to {self._say(ends[1])}; the truth, "
        label += f"{self._say(value)}, is a dot" + ("; the guess is a bar" if guess else "")
        texts = "".join(
            f'<text x="{x}" y="38" font-size="11" text-anchor="middle">{self._say(end)}</text>'
            for x, end in zip((20, 420), ends, strict=True)
        )
        return (
            f'<svg width="440" height="44" role="img" aria-label="{html.escape(label)}" '
            f'style="background:#fff"><line x1="20" x2="420" y1="14" y2="14" stroke="#888"/>{bar}'
            f'<circle cx="{place[0]:.0f}" cy="14" r="6" fill="#d95f02"/>{texts}</svg>'
        )

    def _form(self) -> Any:
        import ipywidgets

        span = self.high - self.low
        slider = ipywidgets.FloatRangeSlider(
            value=(self.low + span / 4, self.high - span / 4),
            min=self.low,
            max=self.high,
            step=max(10.0**-self.digits, span / 1000),
            readout_format=f".{self.digits}f",
            description=self.unit,
            layout=ipywidgets.Layout(width="30em"),
        )
        note = ipywidgets.HTML("An interval that you would trust four times in five:")
        return self._boxed(note, slider, read=lambda: self._commit(*slider.value))

    def _how(self) -> str:
        return (
            f"Between {self._say(self.low)} and {self._say(self.high)}: choose two numbers between "
            "which the truth lies, so that you would be right four times in five. With a kernel: "
            "`.commit(low, high)`."
        )


def guess_number(
    name: str, question: str, low: float, high: float, *, unit: str = "", digits: int = 0
) -> NumberGuess:
    """Ask for a number before it is shown.

    Args:
        name: lesson and subject, ``02-jaw``; the key in the student's file.
        question: in one sentence.
        low, high: what is thinkable; a wider truth is drawn all the same.
        unit: after the number.
        digits: after the point.

    Raises:
        ValueError: low is not below high.
    """
    if not low < high:
        raise ValueError(f"expected low < high, got {low} and {high}")
    return NumberGuess(name, question, low, high, unit, digits)


# ---------------------------------------------------------------------------- a choice


@dataclass
class ChoiceGuess(_Guess):
    """One of several answers, and how sure one is of it; see :func:`guess_choice`."""

    options: tuple[str, ...]

    def commit(self, choice: str, sure: float = 100) -> None:
        """Commit to an option.

        Args:
            choice: one of the options.
            sure: in percent, 0..100.

        Raises:
            UserError: there is no such option, or no such percentage.
        """
        if choice not in self.options:
            raise UserError(f"no option {choice!r}: choose one of {', '.join(self.options)}")
        try:
            percent = float(sure)
        except (TypeError, ValueError):
            percent = math.nan
        if not 0 <= percent <= 100:
            raise UserError(f"how sure are you? A number from 0 to 100, not {sure!r}")
        print(self._commit(choice, percent))

    def _commit(self, choice: str, sure: float) -> str:
        return self._take({"choice": choice, "sure": sure / 100}, f"{choice}, {sure:.0f} % sure")

    def truth(self, option: str, why: str = "") -> Shown:
        """Return the right option beside the guess, and count it for the progress card.

        Raises:
            ValueError: there is no such option.
        """
        if option not in self.options:
            raise ValueError(f"expected one of {self.options}, got {option!r}")
        entry, said = self._entry(), f"It is: {option}."
        self.seen = True
        if entry is None or "choice" not in entry:
            return Shown(f"{said} No guess was made.{why and ' ' + why}")
        right = entry["choice"] == option
        _keep(self.name, {**entry, "right": right})
        told = f"You said {entry['choice']}, {100 * entry['sure']:.0f} % sure"
        return Shown(f"{said} {told}: {'right' if right else 'wrong'}.{why and ' ' + why}")

    def _form(self) -> Any:
        import ipywidgets

        buttons = ipywidgets.RadioButtons(
            options=self.options, index=None, layout=ipywidgets.Layout(width="auto")
        )
        slider = ipywidgets.IntSlider(
            value=70, min=0, max=100, step=5, description="sure, in %", continuous_update=False
        )

        def read() -> str:
            if buttons.value is None:
                return "Choose one first."
            return self._commit(buttons.value, slider.value)

        return self._boxed(buttons, slider, read=read)

    def _how(self) -> str:
        listed = "\n".join(f"* {option}" for option in self.options)
        return (
            f"{listed}\n\nHow sure are you, in percent? With a kernel: `.commit(option, sure=70)`."
        )


def guess_choice(name: str, question: str, options: Sequence[str]) -> ChoiceGuess:
    """Ask which of several answers is right before it is shown.

    Args:
        name: lesson and subject, ``03-eye``; the key in the student's file.
        question: in one sentence.
        options: two or more, all different.

    Raises:
        ValueError: fewer than two options, or two that are equal.
    """
    if len(set(options)) != len(options) or len(options) < 2:
        raise ValueError(f"expected two or more different options, got {list(options)}")
    return ChoiceGuess(name, question, tuple(options))


# ---------------------------------------------------------------------------- progress


def progress(folder: Path | None = None) -> Shown:
    """Return the progress card: how well the student judged, over all lessons so far.

    Args:
        folder: where the file lies; default: the working folder.
    """
    every = read_guesses(folder).values()
    numbers = [one for one in every if "truth" in one]
    choices = [one for one in every if "right" in one]
    lines = []
    if numbers:
        held = sum(one["low"] <= one["truth"] <= one["high"] for one in numbers)
        width = sum(one["width"] for one in numbers) / len(numbers)
        lines.append(
            f"Numbers: {held} of your {_many(len(numbers), 'interval')} held the truth (good "
            f"would be about {LEVEL * len(numbers):.0f}); on average they covered {width:.0%} "
            f"of what was thinkable.{_advice(held, len(numbers))}"
        )
    if choices:
        hits = sum(one["right"] for one in choices)
        brier = sum((one["sure"] - one["right"]) ** 2 for one in choices) / len(choices)
        sure = sum(one["sure"] for one in choices) / len(choices)
        lines.append(
            f"Choices: {hits} of {len(choices)} right, {sure:.0%} sure on average; Brier score "
            f"{brier:.2f} (0 is perfect, 0.25 is to be 50 % sure of everything)."
        )
    if not lines:
        lines = ["No guess yet: commit to one before a result is shown, and this card begins."]
    return Shown("How well do you judge?\n" + "\n".join(lines))


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count != 1 else ''}"


def _advice(held: int, total: int) -> str:
    """Say whether the intervals were too narrow or too wide, when there are enough of them."""
    if total < 5:
        return ""
    if held / total < LEVEL - 0.2:
        return " They are too narrow: you are surer than you may be."
    if held == total and total >= 10:
        return " They are a little too wide: dare more."
    return ""
