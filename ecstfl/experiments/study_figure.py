"""The figure of a study: recognition over each axis, and the difference to softmax-only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ecstfl.experiments.axes import Point
from ecstfl.figures.style import COLOURS, marks, plain_style
from ecstfl.runs.run_folder import Run


@plain_style()
def draw(points: Sequence[Point], runs: Sequence[Run]) -> Figure:
    """One column an axis: recognition above, the difference to softmax-only below.

    More than four axes go on in further rows, so that the picture stays as wide as a page.
    """
    axes = list(dict.fromkeys(p.trial.axis for p in points))
    columns = min(len(axes), 4)
    bands = -(-len(axes) // columns)
    size = (max(7.0, 2.6 * columns), 0.7 + 5.7 * bands)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    for kind in (0, 1):  # all WARs on one scale, all differences on another
        for part in grid[kind::2].flat[1:]:
            part.sharey(grid[kind, 0])
    for place in range(len(axes), bands * columns):
        for part in _pair(grid, place):
            part.remove()
    for place, axis in enumerate(axes):
        chosen = [p for p in points if p.trial.axis == axis]
        at = np.arange(len(chosen))
        above, below = _pair(grid, place)
        for values, shift, marker, colour, label in (
            ("softmax_war", -0.1, "s", "0.45", "softmax only"),
            ("war", 0.1, "o", COLOURS[1], "with the loss"),
        ):
            for x, point in zip(at, chosen, strict=True):
                runs_war = 100 * np.array(getattr(point, values))
                above.plot([x + shift] * len(runs_war), runs_war, marker, color=colour, ms=4)
            means = [100 * np.mean(getattr(p, values)) for p in chosen]
            above.plot(at + shift, means, "-", color=colour, marker=marker, ms=4, label=label)
        gains = 100 * np.array(
            [[p.difference.value, p.difference.low, p.difference.high] for p in chosen]
        )
        spread = np.abs(gains[:, 1:] - gains[:, :1]).T
        below.axhline(0, color="0.45", lw=1)
        below.errorbar(at, gains[:, 0], spread, fmt="o", color=COLOURS[1], capsize=3)
        above.set_title(axis, fontsize=9)
        for part in (above, below):
            part.set_xticks(at, [p.trial.value for p in chosen], rotation=30, fontsize=8)
            part.set_xlim(-0.5, len(chosen) - 0.5)
        counts = list(dict.fromkeys(len(p.war) for p in chosen))
        if len(counts) == 1:
            below.set_xlabel(f"{counts[0]} run(s) a point", fontsize=8)
        else:  # a point of one fold is not to be read like one of five
            of_each = ", ".join(f"{len(p.war)} at {p.trial.value}" for p in chosen)
            below.set_xlabel(f"runs: {of_each}", fontsize=8)
        if place % columns:
            for part in (above, below):
                part.tick_params(labelleft=False)
        else:
            above.set_ylabel("WAR on the validation fold, %")
            below.set_ylabel("difference to softmax only,\npoints, with 95 % interval")
    grid[0, 0].legend(fontsize=8)
    figure.suptitle(f"{_finding(points)}\n{marks(runs)}", fontsize=10)
    return figure


def _pair(grid: np.ndarray, place: int) -> np.ndarray:
    """Return the two axes, above and below, of the axis at ``place``."""
    band, column = divmod(place, grid.shape[1])
    return grid[2 * band : 2 * band + 2, column]


def _finding(points: Sequence[Point]) -> str:
    """Say what the intervals allow to be said; a setting on several axes counts once."""
    tried = {p.trial.setting: p.difference for p in points}.values()
    above = sum(difference.low > 0 for difference in tried)
    below = sum(difference.high < 0 for difference in tried)
    return (
        f"Of {len(tried)} settings tried, {above} did better than softmax only and {below} worse, "
        "by intervals that leave out zero"
    )
