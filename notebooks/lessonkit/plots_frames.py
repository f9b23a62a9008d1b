"""Figures of lessons 01 and 03: strips of frames, and one pixel over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ecstfl.figures.style import COLOURS


def filmstrip(
    rows: Mapping[str, np.ndarray], title: str, *, ticks: Mapping[str, Sequence[str]] | None = None
) -> Figure:
    """Draw several clips (T, H, W, 3) uint8 as rows of frames.

    Args:
        rows: name -> frames; rows may differ in length.
        title: what is to be seen.
        ticks: name -> a short text under each frame.
    """
    longest = max(len(frames) for frames in rows.values())
    figure = Figure(figsize=(min(13.0, 0.78 * longest + 1.2), 1.15 * len(rows) + 0.5), dpi=96)
    axes = figure.subplots(len(rows), longest, squeeze=False)
    for row, (name, frames) in zip(axes, rows.items(), strict=True):
        for k, axis in enumerate(row):
            axis.axis("off")
            if k < len(frames):
                axis.imshow(frames[k])
                if ticks and name in ticks:
                    axis.set_title(ticks[name][k], fontsize=7, pad=2, y=-0.28)
        row[0].set_title(name, fontsize=9, loc="left", pad=3)
    figure.suptitle(title, fontsize=11)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.84, bottom=0.05, wspace=0.04, hspace=0.45)
    return figure


def interpolated_pixel(
    frames: np.ndarray, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str
) -> Figure:
    """Draw one pixel over time: its frames, and curves laid through them.

    Args:
        frames: (n,) values of the pixel, 0..255.
        curves: name -> (time in frames, counted from 1; value).
        title: what is to be seen.
    """
    figure = Figure(figsize=(8.5, 3.6), dpi=96, layout="constrained")
    axis = figure.subplots()
    for k, (name, (when, value)) in enumerate(curves.items()):
        axis.plot(when, value, label=name, color=COLOURS[(1, 0, 5)[k % 3]], lw=1.6)
    axis.plot(np.arange(1, len(frames) + 1), frames, "ko", ms=5, label="frames of the clip")
    axis.set(xlabel="time (frame of the clip)", ylabel="brightness of one pixel (0..255)")
    axis.legend(fontsize=9)
    axis.set_title(title)
    return figure
