"""What a picture is to somebody who cannot see it, and clips that play.

Every figure that a lesson shows carries a text (``alt``) in the metadata of its output: its title
says what is to be seen, and axes, panels and legend follow. :func:`lessonkit.lessons.start` sees to
it. Words of one's own: ``figure.set_label("...")``.

Clips play as an animated PNG: it is shown where a picture is shown, in JupyterLab, on a code host
and in a book, and needs neither a kernel nor trust.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def alt_text(figure: Figure) -> str:
    """Return a figure in words: its label where it has one, else title, panels, axes, legend."""
    if own := str(figure.get_label()):
        return own
    axes = [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]
    parts = _unlike([*(text.get_text() for text in figure.texts), *_titles(axes)])
    for name, labels in (
        ("horizontal", [axis.get_xlabel() for axis in axes] + [figure.get_supxlabel()]),
        ("vertical", [axis.get_ylabel() for axis in axes] + [figure.get_supylabel()]),
    ):
        if found := _unlike(labels):
            parts.append(f"{name} axis: {', '.join(found)}")
    entries = []
    for one in [*figure.legends, *(axis.get_legend() for axis in axes)]:
        entries += [text.get_text() for text in one.get_texts()] if one else []
    if found := _unlike(entries):
        parts.append(f"legend: {', '.join(found)}")
    return ". ".join(_plain(part).rstrip(".") for part in parts if part.strip()) or "a figure"


def _titles(axes: list[Any]) -> list[str]:
    return [axis.get_title(place) for axis in axes for place in ("center", "left")]


def _unlike(texts: list[str]) -> list[str]:
    """Return the texts that are not empty, each once."""
    return list(dict.fromkeys(text for text in texts if text.strip()))


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("$", "").replace("\\", "")).strip()


def describe_figures(shell: Any) -> None:
    """Let an IPython shell send each figure with its text; called once the backend is chosen."""
    from IPython.core.pylabtools import print_figure

    def png(figure: Figure) -> tuple[str, dict[str, str]]:
        return print_figure(figure, fmt="png", base64=True), {"alt": alt_text(figure)}

    shell.display_formatter.formatters["image/png"].for_type(Figure, png)


@dataclass(frozen=True)
class Playing:
    """Clips that play beside each other, over and over; see :func:`playing`."""

    png: bytes
    alt: str

    def __repr__(self) -> str:
        """Return the words."""
        return f"<clips that play: {self.alt}>"

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return self.png, {"alt": self.alt}


def playing(
    clips: Mapping[str, np.ndarray], alt: str, *, fps: float = 12, height: int = 140
) -> Playing:
    """Show clips side by side, in step: a name above each, a bar of time below.

    Args:
        clips: name -> frames (T, H, W, 3) uint8 RGB; the same T and H for all.
        alt: what is to be seen, for those who cannot see it.
        fps: frames in a second.
        height: of each clip on the page, in pixels.

    Raises:
        ValueError: no clip, or clips of different length.
    """
    from PIL import Image, ImageDraw, ImageFont

    lengths = {len(frames) for frames in clips.values()}
    if len(lengths) != 1:
        raise ValueError(f"expected clips of one length, got {sorted(lengths)}")
    (length,) = lengths
    gap, head, foot = 8, 18, 8
    widths = [round(frames.shape[2] * height / frames.shape[1]) for frames in clips.values()]
    starts = np.cumsum([0, *(width + gap for width in widths)])
    pictures = []
    for t in range(length):
        picture = Image.new("RGB", (int(starts[-1]) - gap, height + head + foot), "white")
        drawn = ImageDraw.Draw(picture)
        for (name, frames), width, left in zip(clips.items(), widths, starts, strict=False):
            x = int(left)
            shown = Image.fromarray(frames[t]).resize((width, height), Image.Resampling.BOX)
            picture.paste(shown, (x, head))
            drawn.text((x + 1, 2), name, fill="black", font=ImageFont.load_default(12))
            time = (x, height + head + 3, x + width * (t + 1) // length, height + head + 5)
            drawn.rectangle(time, fill="#888")
        pictures.append(picture)
    return animated(pictures, alt, fps=fps)


def animated(pictures: Sequence[Any], alt: str, *, fps: float = 12, hold: float = 0) -> Playing:
    """Let PIL images of one size follow each other, over and over.

    Args:
        pictures: in RGB.
        alt: what is to be seen, for those who cannot see it.
        fps: pictures in a second.
        hold: seconds that the last picture stays longer.
    """
    from PIL import Image

    # one palette for all frames: a third of the size
    palette = Image.new("RGB", (pictures[0].width, sum(p.height for p in pictures)))
    for t, picture in enumerate(pictures):
        palette.paste(picture, (0, t * picture.height))
    palette = palette.quantize(96)
    small = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = [1000 / fps] * len(small)
    times[-1] += 1000 * hold
    file = io.BytesIO()
    small[0].save(file, "PNG", save_all=True, append_images=small[1:], duration=times, loop=0)
    return Playing(file.getvalue(), alt)
