"""Confusion matrices: integer counts in the cells, the share of their row as colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ecstfl.figures.style import marks, plain_style, title_of
from ecstfl.labels import CLASSES
from ecstfl.runs.run_folder import Run

DARK = 0.48
"""Share of the row above which a cell is dark, and its number white."""


@plain_style()
def confusion_pair(runs: Sequence[Run]) -> Figure:
    """Draw the confusion matrix of each run with integer counts; colour is the share of the row."""
    panels = [
        (f"{title_of(run)}: {100 * run['war']:.1f} % of the clips right", run["confusion"])
        for run in runs
    ]
    return _confusions(panels, marks(runs))


@plain_style()
def confusion_pooled(runs: Sequence[Run]) -> Figure:
    """Draw one confusion matrix a method: the sum over its folds and seeds.

    With several seeds the integers count predictions: each clip was predicted once a seed.
    """
    methods: dict[str, list[Run]] = {}
    for run in runs:
        methods.setdefault(title_of(run), []).append(run)
    panels = []
    for name, group in methods.items():
        counts = sum(np.array(run["confusion"]) for run in group)
        right, total = int(np.trace(counts)), int(counts.sum())
        panels.append((f"{name}\n{right} of {total} right, {100 * right / total:.1f} %", counts))
    return _confusions(panels, marks(runs))


def _confusions(panels: Sequence[tuple[str, Any]], line: str) -> Figure:
    columns = 2 if len(panels) == 4 else min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.6 * columns, 5.2 * rows + 0.3), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, (title, confusion) in zip(axes, panels, strict=False):
        counts = np.array(confusion)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axis.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, linewidths=0.5, edgecolor="white")
        for (row, column), count in np.ndenumerate(counts):
            colour = "w" if share[row, column] > DARK else ".15"
            axis.text(column + 0.5, row + 0.5, f"{count}", color=colour, ha="center", va="center")
        axis.set(aspect="equal", xlim=(0, len(CLASSES)), ylim=(len(CLASSES), 0))
        axis.spines[:].set_visible(False)
        places = np.arange(len(CLASSES)) + 0.5
        axis.set_xticks(places, CLASSES)
        axis.set_yticks(places, CLASSES, va="center")
        axis.set_title(title, fontsize=12)
        axis.set_xlabel("recognised as")
        axis.set_ylabel("shown")
        axis.tick_params(axis="x", rotation=40)
        axis.tick_params(axis="y", rotation=0)
    figure.suptitle(line, fontsize=10)
    return figure
