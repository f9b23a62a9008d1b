"""The figure of a study: recognition over each axis, and what the loss changes of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecstfl.experiments.axes import Point
from ecstfl.figures.style import COLOURS, marks, plain_style
from ecstfl.metrics.intervals import Interval
from ecstfl.runs.run_folder import Run


@plain_style()
def draw(points: Sequence[Point], runs: Sequence[Run]) -> Figure:
    """One column an axis: recognition, then the changes of WAR and of within/between.

    More than four axes go on in further rows, so that the picture stays as wide as a page.
    """
    axes = list(dict.fromkeys(p.trial.axis for p in points))
    columns = min(len(axes), 4)
    bands = -(-len(axes) // columns)
    size = (max(7.0, 2.6 * columns), 0.7 + 7.6 * bands)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(3 * bands, columns, squeeze=False)
    for kind in (0, 1, 2):  # each kind on one scale
        for part in grid[kind::3].flat[1:]:
            part.sharey(grid[kind, 0])
    for place in range(len(axes), bands * columns):
        for part in _parts(grid, place):
            part.remove()
    for place, axis in enumerate(axes):
        chosen = [p for p in points if p.trial.axis == axis]
        at = np.arange(len(chosen))
        above, below, lowest = _parts(grid, place)
        for values, shift, marker, colour, label in (
            ("softmax_war", -0.1, "s", "0.45", "softmax only"),
            ("war", 0.1, "o", COLOURS[1], "with the loss"),
        ):
            for x, point in zip(at, chosen, strict=True):
                runs_war = 100 * np.array(getattr(point, values))
                above.plot([x + shift] * len(runs_war), runs_war, marker, color=colour, ms=4)
            means = [100 * np.mean(getattr(p, values)) for p in chosen]
            above.plot(at + shift, means, "-", color=colour, marker=marker, ms=4, label=label)
        _changes(below, at, [p.difference for p in chosen], 100)
        _changes(lowest, at, [p.tighter for p in chosen], 1)
        above.set_title(axis, fontsize=9)
        for part in (above, below, lowest):
            part.set_xticks(at, [p.trial.value for p in chosen], rotation=30, fontsize=8)
            part.set_xlim(-0.5, len(chosen) - 0.5)
        counts = list(dict.fromkeys(len(p.war) for p in chosen))
        if len(counts) == 1:
            lowest.set_xlabel(f"{counts[0]} run(s) a point", fontsize=8)
        else:  # a point of one fold is not to be read like one of five
            of_each = ", ".join(f"{len(p.war)} at {p.trial.value}" for p in chosen)
            lowest.set_xlabel(f"runs: {of_each}", fontsize=8)
        if place % columns:
            for part in (above, below, lowest):
                part.tick_params(labelleft=False)
        else:
            above.set_ylabel("WAR on the validation fold, %")
            below.set_ylabel("change of WAR, points\n(95 %: people and seeds)")
            lowest.set_ylabel("change of within / between\n(95 %: folds; below 0: tighter)")
    grid[0, 0].legend(fontsize=8)
    figure.suptitle(f"{_finding(points)}\n{marks(runs)}", fontsize=10)
    return figure


def _parts(grid: np.ndarray, place: int) -> np.ndarray:
    """Return the three axes, from above, of the axis at ``place``."""
    band, column = divmod(place, grid.shape[1])
    return grid[3 * band : 3 * band + 3, column]


def _changes(axes: Axes, at: np.ndarray, changes: Sequence[Interval], unit: float) -> None:
    """Draw what the loss changes, with its intervals; without one, a point."""
    values = unit * np.array([[c.value, c.low, c.high] for c in changes])
    spread = np.nan_to_num(np.abs(values[:, 1:] - values[:, :1])).T
    axes.axhline(0, color="0.45", lw=1)
    axes.errorbar(at, values[:, 0], spread, fmt="o", color=COLOURS[1], capsize=3)


def _finding(points: Sequence[Point]) -> str:
    """Say what the intervals allow to be said; a setting on several axes counts once."""
    tried = {p.trial.setting: p.difference for p in points}.values()
    above = sum(difference.low > 0 for difference in tried)
    below = sum(difference.high < 0 for difference in tried)
    return (
        f"Of {len(tried)} settings tried, {above} did better than softmax only and {below} worse, "
        "by intervals that leave out zero"
    )
