"""Confusion matrices: integer counts in the cells, the share of their row as colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import seaborn  # at the top: where it is broken, that is found before the training
from matplotlib.figure import Figure

from ecstfl.figures.style import marks, plain_style, title_of
from ecstfl.labels import CLASSES
from ecstfl.runs.run_folder import Run


@plain_style()
def confusion_matrices(runs: Sequence[Run]) -> Figure:
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
    columns = 2 if len(panels) == 4 else min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.6 * columns, 5.2 * rows + 0.3), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, (title, counts) in zip(axes, panels, strict=False):
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        seaborn.heatmap(
            share, ax=axis, annot=counts, fmt="d", cmap="Blues", vmin=0, vmax=1, cbar=False,
            square=True, xticklabels=CLASSES, yticklabels=CLASSES, linewidths=0.5,
        )  # fmt: skip
        axis.set_title(title, fontsize=12)
        axis.set_xlabel("recognised as")
        axis.set_ylabel("shown")
        axis.tick_params(axis="x", rotation=40)
        axis.tick_params(axis="y", rotation=0)
    figure.suptitle(marks(runs), fontsize=10)
    return figure
