"""The film of :mod:`lessonkit.pull`: points in the plane, one picture an epoch.

It plays as an animated picture, in JupyterLab as on a page without a kernel. README's GIF::

    PYTHONPATH=notebooks .venv/bin/python -m lessonkit.film figures/watch-it-pull.gif

trains the four networks of lesson 04 anew (about half a minute) and writes it.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from ecstfl.figures.style import COLOURS, MARKERS, plain_style
from ecstfl.files import atomic_write
from ecstfl.labels import CLASSES
from lessonkit.pictures import Playing, animated
from lessonkit.pull import Pull, lesson_pulls
from lessonkit.stamp import FRESH, stamp

FPS: Final = 6
"""Epochs in a second."""

HOLD: Final = 2.5
"""Seconds that the last picture stays."""


class Film(Playing):
    """A film of networks that were trained in this session."""

    def __repr__(self) -> str:
        """Return the stamp, as of a figure."""
        return f"<Figure, {FRESH} · pull: {self.alt}>"


def film(pulls: Mapping[str, Pull], title: str = "", *, columns: int = 2) -> Film:
    """Show networks side by side while they learn, in step, over and over.

    Each panel has its own scale, which follows its points: only shapes can be compared.

    Args:
        pulls: what is to be seen -> the points of a network; the same number of epochs for all.
        title: above all panels.
        columns: panels in a row.
    """
    pictures = [Image.fromarray(one) for one in _frames(pulls, title, columns)]
    made = animated(pictures, _words(pulls, title), fps=FPS, hold=HOLD)
    return Film(made.png, made.alt)


@plain_style()
def moment(one: Pull, epoch: int) -> Figure:
    """Draw the points of one network after an epoch (0 = untrained)."""
    figure = Figure(figsize=(5.2, 5.0), dpi=84, layout="constrained")
    axis = figure.subplots()
    _move(axis, _panel(axis, f"λ = {one.weight:g}, epoch {epoch}", one), one, epoch)
    axis.legend(loc="upper right", fontsize=9)
    axis.set_xlabel(f"feature 1 (no unit; the other axis is feature 2)\n{_NOTE}", fontsize=9)
    return stamp(figure, one.name, fresh=True)


_NOTE: Final = "hollow: people it has never seen · SYNTHETIC: rendered clips"


def _words(pulls: Mapping[str, Pull], title: str) -> str:
    """Return the film in words."""
    ends = "; ".join(
        f"{name}: {one.ratio:.2f} after {len(one.points) - 1} epochs" for name, one in pulls.items()
    )
    return (
        f"Film: {title or 'points of three expressions move while a network learns'}. "
        "Mean distance within a class over mean distance between classes: "
        f"{ends}. Synthetic: rendered clips."
    )


@plain_style()
def _frames(pulls: Mapping[str, Pull], title: str, columns: int) -> list[np.ndarray]:
    """Draw one picture (H, W, 3) uint8 for each epoch; all panels are drawn once and then moved."""
    rows = -(-len(pulls) // columns)
    figure = Figure(figsize=(3.3 * columns, 3.35 * rows + 0.85), dpi=80)
    canvas = FigureCanvasAgg(figure)
    height = figure.get_figheight()
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.subplots_adjust(0.02, 0.62 / height, 0.98, 1 - 0.62 / height, 0.05, 0.16)
    for axis in axes[len(pulls) :]:
        axis.set_visible(False)
    moving = [
        _panel(axis, name, one) for axis, (name, one) in zip(axes, pulls.items(), strict=False)
    ]
    first = next(iter(pulls.values()))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="lower center",
        ncols=len(names),
        frameon=False,
        fontsize=11,
        bbox_to_anchor=(0.5, 0.19 / height),
        borderpad=0,
        handletextpad=0.1,
    )
    figure.text(
        0.5,
        0.06 / height,
        _NOTE,
        ha="center",
        va="bottom",
        fontsize=9,
        color="0.25",
    )
    head = figure.text(0.5, 1 - 0.09 / height, "", ha="center", va="top", fontsize=13)
    pictures = []
    for epoch in range(len(first.points)):
        head.set_text(f"{title + ': ' if title else ''}epoch {epoch} of {len(first.points) - 1}")
        for axis, parts, one in zip(axes, moving, pulls.values(), strict=False):
            _move(axis, parts, one, epoch)
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return pictures


Parts = list[tuple[PathCollection, np.ndarray]]


def _panel(axis: Axes, name: str, one: Pull) -> Parts:
    """Draw the points of a network; return the moving parts and which clips each shows."""
    parts = []
    for c in np.unique(one.labels):
        for held_out in (False, True):
            chosen = (one.labels == c) & (one.held_out == held_out)
            drawn = axis.scatter(
                *one.points[0][chosen].T,
                s=34,
                marker=MARKERS[c],
                facecolors="white" if held_out else COLOURS[c],
                edgecolors=COLOURS[c] if held_out else "white",
                linewidths=1.3 if held_out else 0.4,
                zorder=3 + held_out,
                label=None if held_out else CLASSES[c],
            )
            parts.append((drawn, chosen))
    axis.set(xticks=[], yticks=[], aspect="equal", box_aspect=1)
    axis.set_title(name, fontsize=12)
    return parts


def _move(axis: Axes, parts: Parts, one: Pull, epoch: int) -> None:
    """Put the points where they lie after an epoch; the panel grows fast and shrinks slowly."""
    for drawn, chosen in parts:
        drawn.set_offsets(one.points[epoch][chosen])
    reach = 0.0
    for points in one.points[: epoch + 1]:
        reach = max(0.85 * reach, 1.08 * np.abs(points - _middle(points)).max())
    x, y = _middle(one.points[epoch])
    axis.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach))


def _middle(points: np.ndarray) -> np.ndarray:
    return (points.min(axis=0) + points.max(axis=0)) / 2


def write_gif(playing: Playing, path: Path) -> None:
    """Write a film as a GIF that loops; README's code host plays no other kind."""
    frames, times = [], []
    with Image.open(io.BytesIO(playing.png)) as picture:
        for k in range(picture.n_frames):
            picture.seek(k)
            times.append(picture.info["duration"])
            frames.append(picture.convert("RGB"))
    palette = frames[-1].quantize(64)
    small = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in frames]
    with atomic_write(path) as file:
        small[0].save(
            file,
            "GIF",
            save_all=True,
            append_images=small[1:],
            duration=times,
            loop=0,
            optimize=True,
        )


def main(arguments: list[str]) -> int:
    """Write README's film."""
    if len(arguments) != 1:
        print("usage: python -m lessonkit.film FILE.gif", file=sys.stderr)
        return 2
    write_gif(film(lesson_pulls(), "A network learns three expressions"), Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
