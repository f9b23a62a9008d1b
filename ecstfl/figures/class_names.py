"""Class names on a map of the feature space: beside their clips, hiding few, on no other name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from ecstfl.labels import CLASSES

_ANGLES = np.arange(0, 2 * np.pi, np.pi / 12)
_RINGS = (0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 5.5)  # of a name's height, beyond its own extent
_PAD = 0.2  # between a name and its frame, of the font's size


def name_classes(
    figure: Figure,
    maps: Sequence[tuple[Axes, np.ndarray]],
    labels: np.ndarray,
    colours: Sequence[str],
    fontsize: float,
) -> None:
    """Write each class's name beside the middle of its clips, with a line to it where it is away.

    The middle is the clip nearest to the class's median. Of many places around it that one is
    taken which hides the fewest clips; two names never share a place while there is another.

    Args:
        figure: whole but for the names: its layout is settled here.
        maps: (axes, points (n, 2) drawn in them).
        labels: (n,) 0..6.
        colours: one a class.
        fontsize: in points.
    """
    figure.draw_without_rendering()  # only a settled layout tells where points and names lie
    for axis, points in maps:
        pixels = axis.transData.transform(points)
        taken: list[Bbox] = []
        for c in np.unique(labels):
            chosen = pixels[labels == c]
            near = np.linalg.norm(chosen - np.median(chosen, axis=0), axis=1).argmin()
            middle = chosen[near]
            name = axis.text(
                0, 0, CLASSES[c], transform=None, ha="center", va="center", zorder=3, clip_on=False,
                fontsize=fontsize, fontweight="bold", color="black",
                bbox={
                    "boxstyle": f"round,pad={_PAD}", "fc": "white", "ec": colours[c], "alpha": 0.85
                },
            )  # fmt: skip
            name.set_in_layout(False)
            box = name.get_window_extent().padded(_PAD * fontsize * figure.dpi / 72)
            spot = _best(middle, (box.width, box.height), pixels, taken, axis.bbox)
            taken.append(_around(spot, (box.width, box.height)))
            inverse = axis.transData.inverted()
            name.set_transform(axis.transData)
            name.set_position(inverse.transform(spot))
            if not taken[-1].contains(*middle):
                axis.plot(
                    *inverse.transform([spot, middle]).T, color=colours[c], lw=fontsize / 10,
                    zorder=2.5, scalex=False, scaley=False,
                )  # fmt: skip


def _best(
    middle: np.ndarray,
    size: tuple[float, float],
    pixels: np.ndarray,
    taken: Sequence[Bbox],
    frame: Bbox,
) -> np.ndarray:
    """Return the centre, in pixels, of the place that hides least; of equal ones the nearest."""
    width, height = size
    best, least = middle, np.inf
    for ring in _RINGS:
        for angle in _ANGLES:
            way = np.array([np.cos(angle), np.sin(angle)])
            beyond = 0.0 if ring == 0 else 0.5
            spot = middle + way * (ring * height + beyond * np.abs(way) @ (width, height))
            box = _around(spot, size).padded(2)
            inside = (np.abs(pixels - spot) < (width / 2 + 4, height / 2 + 4)).all(axis=1)
            cost = inside.sum() + 0.35 * ring
            cost += 1000 * sum(box.overlaps(other) for other in taken)
            cost += 1000 * (not (frame.containsx(box.x0) and frame.containsx(box.x1)))
            cost += 1000 * (not (frame.containsy(box.y0) and frame.containsy(box.y1)))
            if cost < least:
                best, least = spot, cost
    return best


def _around(centre: np.ndarray, size: tuple[float, float]) -> Bbox:
    return Bbox.from_bounds(centre[0] - size[0] / 2, centre[1] - size[1] / 2, *size)
