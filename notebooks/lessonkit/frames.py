"""The frames of a slider, drawn beforehand, for a page without a kernel.

The build of the lessons draws what each slider shows at a few places, one slider at a time and the
others at their start, and keeps the pictures in the output. The book walks through them.
"""

from __future__ import annotations

import base64
import inspect
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from lessonkit.pictures import alt_text

FRAMES: Final = "ECSTFL_FRAMES"
"""Environment variable; ``on`` while the lessons are built."""

MIME: Final = "image/vnd.ecstfl.frames"
"""Type of the output, a JSON text; JupyterLab and code hosts do not know it, and show the still."""

PLACES: Final = 7
"""How many places of a slider are drawn, at most, beside its start."""


def wanted() -> bool:
    """Tell whether frames are to be drawn."""
    return os.environ.get(FRAMES, "").lower() == "on"


@dataclass(frozen=True)
class Frames:
    """What sliders show, see :func:`draw_frames`.

    Attributes:
        frames: ``still``, ``alt`` and ``controls``: of each slider its ``name``, its ``values`` in
            words, the index of its ``start``, and ``images``; they are data addresses, and None
            stands for the still.
        figure: with all sliders at their start; None where the notebook shows another still.
    """

    frames: dict[str, Any]
    figure: Figure | None

    def __repr__(self) -> str:
        """Return what a text page says."""
        return f"<frames of {len(self.frames['controls'])} sliders>"

    def _ipython_display_(self) -> None:
        from IPython.display import display

        data, about = {"text/plain": repr(self)}, {}
        if self.figure is not None:
            from IPython.core.interactiveshell import InteractiveShell

            shell = InteractiveShell.instance().display_formatter
            data, about = shell.format(self.figure)
        display({**data, MIME: json.dumps(self.frames)}, metadata=about, raw=True)


def draw_frames(draw: Callable[..., Figure], *, still: bool, controls: dict[str, Any]) -> Frames:
    """Draw what each slider shows, with the other sliders at their start.

    Args:
        draw: returns a figure; a plain function.
        still: keep the figure at the start for pages that do not know frames.
        controls: as in :func:`lessonkit.lessons.play`.
    """
    known = inspect.signature(draw).parameters
    places = {}
    for name, control in controls.items():
        default = known[name].default if name in known else inspect.Parameter.empty
        places[name] = _places(control, default)
    start = {name: values[at] for name, (values, at) in places.items()}
    figure = draw(**start)
    found = []
    for name, (values, at) in places.items():
        pictures = [
            None if k == at else _picture(draw(**{**start, name: value}))
            for k, value in enumerate(values)
        ]
        words = [_word(value) for value in values]
        found.append({"name": name, "values": words, "start": at, "images": pictures})
    frames = {"alt": alt_text(figure), "still": _picture(figure), "controls": found}
    return Frames(frames, figure if still else None)


def _places(control: Any, default: Any) -> tuple[list[Any], int]:
    """Return the values at which a slider is drawn, and the index of its start."""
    if isinstance(control, bool):
        values, default = [False, True], control if default is inspect.Parameter.empty else default
    elif isinstance(control, tuple) and all(isinstance(end, int | float) for end in control):
        low, high, *step = control
        whole = all(isinstance(end, int) for end in control)
        grain = step[0] if step else (1 if whole else (high - low) / 100)
        even = low + np.round((np.linspace(low, high, PLACES) - low) / grain) * grain
        if default is inspect.Parameter.empty:
            default = even[PLACES // 2]
        values = sorted({round(float(v), 9) for v in (*even, default)})
        values = [int(v) for v in values] if whole else values
        default = int(default) if whole else round(float(default), 9)
    else:
        values = list(control.values() if isinstance(control, dict) else control)
        default = values[0] if default is inspect.Parameter.empty else default
    return values, values.index(default)


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _picture(figure: Figure) -> str:
    """Return a figure as a data address: WebP, as small as it gets without harm."""
    from PIL import Image

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    picture = Image.open(file).convert("RGB")
    made = []
    for how in ({"lossless": True}, {"quality": 80}):
        small = io.BytesIO()
        picture.save(small, "WEBP", method=6, **how)
        made.append(small.getvalue())
    return "data:image/webp;base64," + base64.b64encode(min(made, key=len)).decode()
