"""Forest plot: what each method adds to softmax-only, run by run and pooled, from run.json alone.

A dot is one pair of runs, equal in fold and seed and everything but the method. The diamond below
pools the pairs, with the interval over folds of :func:`ecstfl.evaluation.differences.change`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ecstfl.evaluation.differences import UAR, WAR, Comparison, Measure, change, compare, units
from ecstfl.figures.style import COLOURS, MARKERS, marks, plain_style
from ecstfl.runs.run_folder import Run


@plain_style()
def forest(runs: Sequence[Run]) -> Figure:
    """Draw the differences to softmax-only in WAR and UAR, percent points.

    A row a fold, a marker a seed; the pooled difference of each method is a diamond with its
    interval and its numbers. The zero line is softmax-only.

    Raises:
        ValueError: no run has a softmax-only twin.
    """
    methods = compare(runs)
    if not methods:
        raise ValueError("expected runs with softmax-only twins of the same fold and seed")
    seeds = sorted({pair.seed for compared in methods for pair in compared.pairs})
    rows = sum(2 + len({p.fold for p in compared.pairs}) for compared in methods)
    figure = Figure(figsize=(11, 1.7 + 0.34 * rows), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, measure, short in zip(axes, (WAR, UAR), ("WAR", "UAR"), strict=True):
        ticks, names = _panel(axis, methods, measure, seeds)
        axis.axvline(0, color="0", lw=1.2, zorder=1)
        axis.margins(x=0.12)
        axis.set_title(f"{short}: method minus softmax-only")
        axis.set_xlabel("percent points (right of 0: better than softmax-only)")
        axis.grid(axis="x", color="0.9", zorder=0)
    axes[0].set_yticks(ticks, names)
    axes[0].set_ylim(rows - 1.3, -0.9)
    for tick, name in zip(axes[0].get_yticklabels(), names, strict=True):
        tick.set_fontweight("normal" if name.startswith("fold") else "bold")
    neutral = [Line2D([], [], ls="", marker="D", ms=9, color="0.5", mec="black", label="pooled")]
    for number, seed in enumerate(seeds):
        marker = MARKERS[number % len(MARKERS)]
        neutral.append(
            Line2D([], [], ls="", marker=marker, mfc="white", mec="0.2", label=f"seed {seed}")
        )
    figure.legend(handles=neutral, loc="outside lower center", ncols=8, frameon=False)
    figure.suptitle(f"{marks(runs)}\n{_meaning(methods)}", fontsize=10)
    return figure


def _panel(
    axis: Axes, methods: Sequence[Comparison], measure: Measure, seeds: list[int]
) -> tuple[list[float], list[str]]:
    ticks: list[float] = []
    names: list[str] = []
    y = 0.0
    for number, compared in enumerate(methods):
        colour = COLOURS[(2 * number + 1) % len(COLOURS)]
        ticks.append(y)
        names.append(compared.method)
        pooled = change(compared.pairs, measure)
        text = f"{pooled.value:+.1f}"
        if np.isfinite(pooled.low):
            axis.plot([pooled.low, pooled.high], [y, y], color=colour, lw=2.5, zorder=2)
            text += f" [{pooled.low:+.1f}, {pooled.high:+.1f}]"
        axis.plot(pooled.value, y, "D", ms=9, color=colour, mec="black", zorder=3)
        axis.annotate(
            text, (pooled.value, y), (0, 9), textcoords="offset points", ha="center",
            fontsize=9, fontweight="bold",
        )  # fmt: skip
        for fold in sorted({pair.fold for pair in compared.pairs}):
            y += 1
            ticks.append(y)
            names.append(f"fold {fold}")
            for pair in (p for p in compared.pairs if p.fold == fold):
                marker = MARKERS[seeds.index(pair.seed) % len(MARKERS)]
                axis.plot(
                    pair.gain(measure), y, marker, ms=7, mfc="white", mec=colour, mew=1.6, zorder=2
                )
        y += 2
    return ticks, names


def _meaning(methods: Sequence[Comparison]) -> str:
    over = {units(compared.pairs) for compared in methods}
    if "folds" in over:
        return "bars: 95 % interval of the pooled difference, jackknife over folds"
    if "seeds" in over:
        return "bars: 95 % interval over training seeds of one fold; other clips may differ"
    return "one pair of runs: no interval can be given"
