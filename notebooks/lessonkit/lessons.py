"""What the lessons call: profiles, quizzes, moving parts.

A notebook holds ideas; everything that would be in its way is here. All of it works without
ipywidgets and without a GPU, and says what to do in one sentence when it cannot.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import html
import inspect
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import matplotlib.style
import numpy as np

from ecstfl.errors import UserError
from ecstfl.labels import label_index
from lessonkit import frames
from lessonkit.pictures import describe_figures

PROFILES: Final = ("smoke", "quick", "full")
"""smoke proves that a lesson runs, quick is meant for two cores, full for patience or a GPU."""

WIDGETS: Final = "ECSTFL_WIDGETS"
"""Environment variable; ``off`` shows the still twins only, as on a page without a kernel."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Settings:
    """The price at which a lesson runs.

    Attributes:
        lesson: two digits, as in the file name.
        profile: one of :data:`PROFILES`.
    """

    lesson: str
    profile: str

    def choose(self, *, smoke: _T, quick: _T, full: _T) -> _T:
        """Return the value of this profile: the same cells, another amount of work."""
        return {"smoke": smoke, "quick": quick, "full": full}[self.profile]


def start(lesson: str) -> Settings:
    """Begin a lesson: read ``ECSTFL_PROFILE``, and make mistakes readable.

    Raises:
        UserError: the profile is unknown.
    """
    _readable_errors()
    profile = os.environ.get("ECSTFL_PROFILE", "quick").strip().lower()
    if profile not in PROFILES:
        raise UserError(
            f"ECSTFL_PROFILE is {profile!r}: set it to one of {', '.join(PROFILES)}, "
            "restart the kernel and run this cell again"
        )
    print(f"Lesson {lesson}, profile {profile}: ready.")
    return Settings(lesson, profile)


def _shell() -> Any:
    """Return the running IPython shell, or None."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _readable_errors() -> None:
    """Show a UserError and an unsolved exercise as a sentence; add what helps to a NameError."""
    shell = _shell()
    if shell is None:
        return
    waiting: dict[str, str] = {}  # what a cell would have made -> the exercise that it waits for

    def show(shell: Any, kind: type, value: BaseException, tb: Any, tb_offset: Any = None) -> None:
        unsolved = re.fullmatch(r"Exercise \d+\.\d+", str(value))
        exercise = str(value) if unsolved else waiting.get(getattr(value, "name", ""))
        if exercise:
            waiting.update(dict.fromkeys(_made_by(shell.user_ns["In"][-1]), exercise))
        if isinstance(value, UserError):
            lines = [str(value)]
        elif unsolved:
            lines = [f"{exercise} is not solved yet: write it above, then run this cell."]
        elif exercise:
            lines = [
                f"{value.name} is made by a cell above that waits for {exercise}: solve that one, "  # type: ignore[attr-defined]
                "run the cell, then this one."
            ]
        else:
            lines = shell.InteractiveTB.structured_traceback(kind, value, tb)
        if isinstance(value, NameError) and not exercise:
            lines += [
                "",
                "If a cell above defines this name, run it first (Run > Run All Above Selected "
                "Cell); if it waits for an exercise, solve that first.",
            ]
        shell._showtraceback(kind, value, lines)

    shell.set_custom_exc((UserError, NameError, NotImplementedError), show)
    shell.run_line_magic("matplotlib", "inline")
    describe_figures(shell)
    matplotlib.style.use("default")  # whatever the reader's matplotlibrc says: no LaTeX is needed


def _made_by(cell: str) -> set[str]:
    """Return the names that a cell gives a value to; none of a cell that is no plain Python."""
    try:
        nodes = list(ast.walk(ast.parse(cell)))
    except SyntaxError:
        return set()
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {n.name for n in nodes if isinstance(n, ast.FunctionDef)}


_LESSON_CHECKS: Final = (
    "Python",
    "package torch",
    "package ipywidgets",
    "face detector",
    "embedded clips",
)


def doctor() -> list[str]:
    """Return the lines of ``ecstfl doctor`` that matter for the lessons; no folder is named."""
    from ecstfl.cli.doctor import examine

    checks = examine(Path("results"), Path("cache"))
    return [str(check) for check in checks if check.name in _LESSON_CHECKS]


def embedded_clip(expression: str, number: int = 0) -> tuple[str, np.ndarray]:
    """Read one rendered clip of the embedded data.

    Args:
        expression: a class name.
        number: which of its clips, counted from 0 in the order of the manifest.

    Returns:
        The clip's id and its frames (n, H, W, 3) uint8 RGB.

    Raises:
        UserError: unknown expression, no such clip, or the embedded data is missing.
    """
    from ecstfl.datasets.embedded import open_embedded
    from ecstfl.video.reading import read_frames

    label = label_index(expression)
    clips = [clip for clip in open_embedded(verify=False) if clip.label == label]
    if not 0 <= number < len(clips):
        raise UserError(
            f"there are {len(clips)} clips of {expression}, counted from 0, no {number}"
        )
    return clips[number].id, np.stack(list(read_frames(clips[number].source)))


def _keystream(question: str, length: int) -> bytes:
    key = b""
    while len(key) < length:
        key += hashlib.sha256(f"{len(key)}|{question}".encode()).digest()
    return key[:length]


def seal(question: str, right: int, why: Sequence[str]) -> str:
    """Hide which option is right, and why, from a reader's eye (not from a determined one)."""
    plain = json.dumps([right, list(why)], ensure_ascii=False).encode()
    mixed = bytes(a ^ b for a, b in zip(plain, _keystream(question, len(plain)), strict=True))
    return base64.b85encode(mixed).decode()


def unseal(question: str, sealed: str) -> tuple[int, list[str]]:
    """Undo :func:`seal`.

    Raises:
        UserError: question and seal do not belong together (one of them was edited).
    """
    try:
        mixed = base64.b85decode(sealed)
        key = _keystream(question, len(mixed))
        right, why = json.loads(bytes(a ^ b for a, b in zip(mixed, key, strict=True)))
        return int(right), [str(sentence) for sentence in why]
    except (ValueError, TypeError):
        raise UserError(
            "this quiz question was changed and its answer can no longer be read: "
            "take the cell from a fresh copy of the notebook"
        ) from None


@dataclass(frozen=True)
class Question:
    """A quiz question; shown with buttons where widgets run, as a list elsewhere."""

    text: str
    options: tuple[str, ...]
    sealed: str

    def answer(self, letter: str) -> None:
        """Print the feedback to option ``letter`` (a, b, c, ...).

        Raises:
            UserError: there is no such option.
        """
        letters = [chr(ord("a") + i) for i in range(len(self.options))]
        chosen = letter.strip().lower()
        if chosen not in letters:
            raise UserError(f"no option {letter!r}: use one of {', '.join(letters)}")
        print(self.feedback(letters.index(chosen)))

    def feedback(self, option: int) -> str:
        """Return what there is to say about option 0, 1, ..."""
        right, why = unseal(self.text, self.sealed)
        return ("Right. " if option == right else "Not this one. ") + why[option]

    def _ipython_display_(self) -> None:
        from IPython.display import Markdown, display

        if not widgets_run():
            lines = [f"**{self.text}**", ""]
            lines += [f"* ({chr(ord('a') + i)}) {text}" for i, text in enumerate(self.options)]
            display(Markdown("\n".join(lines)))
            return
        import ipywidgets

        reply = ipywidgets.HTML()
        buttons = ipywidgets.RadioButtons(
            options=[(text, i) for i, text in enumerate(self.options)],
            index=None,
            layout=ipywidgets.Layout(width="auto"),
        )

        def tell(change: dict[str, Any]) -> None:
            if change["new"] is not None:
                reply.value = html.escape(self.feedback(change["new"]))

        buttons.observe(tell, names="value")
        head = ipywidgets.HTML(f"<b>{html.escape(self.text)}</b>")
        display(ipywidgets.VBox([head, buttons, reply]))


def ask(text: str, options: Sequence[str], sealed: str) -> Question:
    """Pose a quiz question with instant feedback; see :func:`seal` for its answer.

    Without widgets: ``ask(...).answer("b")``.
    """
    return Question(text, tuple(options), sealed)


def widgets_run() -> bool:
    """Tell whether sliders can be shown: a kernel, ipywidgets, and not switched off."""
    if os.environ.get(WIDGETS, "").lower() == "off" or _shell() is None:
        return False
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        return False
    return True


def play(draw: Callable[..., Any], *, still: bool = True, **controls: Any) -> Any:
    """Let sliders call a plotting function (``ipywidgets.interactive``).

    Args:
        draw: returns a matplotlib figure; a plain function.
        still: show the figure as it stands where widgets do not run; False where another figure
            beside it serves a page without a kernel.
        controls: as in ipywidgets: (low, high, step), a list of choices, ... Each starts at the
            default of ``draw``'s argument.

    Returns:
        The widget; where widgets do not run, the figure with all defaults, or None. While the
        lessons are built, what the sliders show (:mod:`lessonkit.frames`).
    """
    if not widgets_run():
        print("(In JupyterLab, sliders move this figure.)")
        if frames.wanted():
            return frames.draw_frames(draw, still=still, controls=controls)
        return draw() if still else None
    import ipywidgets
    from IPython.display import display

    def show(**values: Any) -> None:
        display(draw(**values))

    # ipywidgets reads defaults off the signature; without one, sliders start in the middle.
    known = inspect.signature(draw).parameters
    show.__signature__ = inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=known[name].default if name in known else inspect.Parameter.empty,
            )
            for name in controls
        ]
    )
    widget = ipywidgets.interactive(show, **controls)
    for child in widget.children:
        if hasattr(child, "continuous_update"):
            child.continuous_update = False  # a figure costs more than a mouse move
    return widget
