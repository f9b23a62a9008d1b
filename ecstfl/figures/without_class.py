"""Which class carries the change: within/between with each class left out, and feature lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecstfl.evaluation.differences import baselines, change, compare
from ecstfl.evaluation.without_class import Measured
from ecstfl.figures.style import COLOURS, MARKERS, marks, plain_style
from ecstfl.runs.run_folder import Run


@plain_style()
def without_class(runs: Sequence[Run], measures: Measured) -> Figure:
    """Draw the differences with each class left out, and the relative lengths of all rows.

    Raises:
        ValueError: no run has a softmax-only twin.
    """
    comparisons = compare(runs)
    if not comparisons:
        raise ValueError("expected runs with softmax-only twins of the same fold and seed")
    ratios, lengths = measures
    drawn = Figure(figsize=(11, 1.9 + 0.55 * len(ratios) * 1.15), layout="constrained")
    left, right = drawn.subplots(1, 2)
    step = 0.7 / len(comparisons)
    for number, compared in enumerate(comparisons):
        style = {
            "color": COLOURS[(2 * number + 1) % len(COLOURS)],
            "marker": MARKERS[number % len(MARKERS)],
        }
        up = np.arange(len(ratios)) + (number - (len(comparisons) - 1) / 2) * step
        for y, measure in zip(up, ratios, strict=True):
            told = change(compared.pairs, measure)
            left.plot([told.low, told.high], [y, y], color=style["color"], lw=2)
            left.plot(told.value, y, ls="", ms=7, mec="black", mew=0.6, **style)
        side = np.arange(len(lengths)) + (number - (len(comparisons) - 1) / 2) * step
        values = [m.of([p.ours for p in compared.pairs]) for m in lengths]
        right.plot(values, side, ls="", ms=7, mec="black", mew=0.6, label=compared.method, **style)
    for name, plain in baselines(comparisons).items():
        values = [m.of(plain) for m in lengths]
        right.plot(values, range(len(values)), "|", ms=20, mew=2, color="black", label=name)
    _frame(left, [m.name for m in ratios], "method minus softmax-only (left of 0: tighter)", 0)
    _frame(right, [m.name for m in lengths], "1: as long as the other classes' features", 1)
    left.set_title("Within/between: which class carries it?")
    right.set_title("Length of a class's features")
    drawn.legend(
        *right.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
        labelspacing=1.0,  # room for the mark of softmax-only
    )
    drawn.suptitle(
        f"{marks(runs)}\nmeasured in the embedding of the held-out clips; bars: 95 % intervals",
        fontsize=10,
    )
    return drawn


def _frame(axis: Axes, names: Sequence[str], label: str, line: float) -> None:
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.axvline(line, color="0.4", lw=1, zorder=0)
    axis.grid(axis="x", color="0.9", zorder=0)
    axis.set_xlabel(label)
    axis.xaxis.set_major_locator(MaxNLocator(6))
