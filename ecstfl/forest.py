"""Forest plot: what each method adds to softmax-only, run by run and pooled, from run.json alone.

A dot is one pair of runs, equal in fold and seed and everything but the method. The diamond below
pools the pairs as the table does, from the summed confusion matrices; its interval is a
delete-one-fold jackknife with Student's t. Folds are the units because their test clips are
disjoint, while two seeds on one fold score the same clips. (The table's own intervals redraw
identities and seeds instead. Two ways to an interval that disagree are a warning.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from ecstfl.config import RunConfig, from_dict
from ecstfl.figures import COLOURS, MARKERS, Run, marks
from ecstfl.metrics import Interval, uar, war
from ecstfl.table import baseline_of, by_row, row_names

METRICS: dict[str, Callable[[np.ndarray], float]] = {"war": war, "uar": uar}


@dataclass(frozen=True)
class Pair:
    """A run of the method and its softmax-only twin: confusion matrices (c, c), rows the truth."""

    fold: int
    seed: int
    ours: np.ndarray
    baseline: np.ndarray

    def gain(self, metric: str) -> float:
        """Method minus softmax-only, in [-1, 1]; ``metric`` is ``war`` or ``uar``."""
        return METRICS[metric](self.ours) - METRICS[metric](self.baseline)


@dataclass(frozen=True)
class Gains:
    """All pairs of one method, in the order of fold and seed, under the table's name for it."""

    method: str
    pairs: tuple[Pair, ...]


def collect_gains(runs: Sequence[Run]) -> list[Gains]:
    """Pair every run with the softmax-only run of its setting, fold and seed.

    Args:
        runs: contents of ``run.json``; runs without a twin are left out.

    Returns:
        One entry a method, in the order of the runs.

    Raises:
        UserError: a run was written by another version.
    """
    by_config = {from_dict(RunConfig, run["config"]): run for run in runs}
    rows = by_row(list(by_config))
    names = row_names(list(rows))
    found = []
    for key, configs in rows.items():
        baseline = baseline_of(key, rows)
        if baseline is None:
            continue
        plain = {(c.fold, c.seed): by_config[c] for c in rows[baseline]}
        pairs = [
            Pair(
                c.fold,
                c.seed,
                np.array(by_config[c]["confusion"]),
                np.array(plain[c.fold, c.seed]["confusion"]),
            )
            for c in sorted(configs, key=lambda c: (c.fold, c.seed))
            if (c.fold, c.seed) in plain
        ]
        if pairs:
            found.append(Gains(names[key], tuple(pairs)))
    return found


def units(pairs: Sequence[Pair]) -> str:
    """What varies between the pairs and carries the interval: ``folds``, ``seeds``, or nothing."""
    if len({pair.fold for pair in pairs}) > 1:
        return "folds"
    return "seeds" if len({pair.seed for pair in pairs}) > 1 else ""


def pooled_gain(pairs: Sequence[Pair], metric: str, level: float = 0.95) -> Interval:
    """Difference on the pooled predictions, with its jackknife interval.

    Where folds are of one size, WAR's is Student's interval over the means of the folds. With a
    single fold the units are the seeds: the interval then says nothing about other clips.

    Args:
        pairs: at least one.
        metric: ``war`` or ``uar``.
        level: coverage, in (0, 1).

    Returns:
        Value and ends in [-1, 1]; both ends NaN when there is a single pair or unit.

    Raises:
        ValueError: no pairs, or an unknown metric.
    """
    if metric not in METRICS:
        raise ValueError(f"expected metric 'uar' or 'war', got {metric!r}")
    if not pairs:
        raise ValueError("expected at least one pair of runs, got none")
    over = units(pairs)
    of = [pair.fold if over == "folds" else pair.seed for pair in pairs]
    names = sorted(set(of))

    def value(chosen: list[Pair]) -> float:
        score = METRICS[metric]
        return score(sum(p.ours for p in chosen)) - score(sum(p.baseline for p in chosen))

    whole, k = value(list(pairs)), len(names)
    if k < 2:
        return Interval(whole, float("nan"), float("nan"))
    without = np.array(
        [value([p for p, unit in zip(pairs, of, strict=True) if unit != n]) for n in names]
    )
    pseudo = k * whole - (k - 1) * without
    half = stats.t.ppf((1 + level) / 2, k - 1) * pseudo.std(ddof=1) / np.sqrt(k)
    return Interval(whole, float(whole - half), float(whole + half))


def forest(runs: Sequence[Run]) -> Figure:
    """Draw the differences to softmax-only in WAR and UAR, percent points.

    A row a fold, a marker a seed; the pooled difference of each method is a diamond with its
    interval and its numbers. The zero line is softmax-only.

    Raises:
        ValueError: no run has a softmax-only twin.
    """
    methods = collect_gains(runs)
    if not methods:
        raise ValueError("expected runs with softmax-only twins of the same fold and seed")
    seeds = sorted({pair.seed for gains in methods for pair in gains.pairs})
    rows = sum(2 + len({p.fold for p in gains.pairs}) for gains in methods)
    figure = Figure(figsize=(11, 1.7 + 0.34 * rows), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, metric in zip(axes, ("war", "uar"), strict=True):
        ticks, names = _panel(axis, methods, metric, seeds)
        axis.axvline(0, color="0", lw=1.2, zorder=1)
        axis.margins(x=0.12)
        axis.set_title(f"{metric.upper()}: method minus softmax-only")
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
    axis: Axes, methods: Sequence[Gains], metric: str, seeds: list[int]
) -> tuple[list[float], list[str]]:
    ticks: list[float] = []
    names: list[str] = []
    y = 0.0
    for number, gains in enumerate(methods):
        colour = COLOURS[(2 * number + 1) % len(COLOURS)]
        ticks.append(y)
        names.append(gains.method)
        pooled = pooled_gain(gains.pairs, metric)
        text = f"{100 * pooled.value:+.1f}"
        if np.isfinite(pooled.low):
            low, high = 100 * pooled.low, 100 * pooled.high
            axis.plot([low, high], [y, y], color=colour, lw=2.5, zorder=2)
            text += f" [{low:+.1f}, {high:+.1f}]"
        axis.plot(100 * pooled.value, y, "D", ms=9, color=colour, mec="black", zorder=3)
        axis.annotate(
            text, (100 * pooled.value, y), (0, 9), textcoords="offset points", ha="center",
            fontsize=9, fontweight="bold",
        )  # fmt: skip
        for fold in sorted({pair.fold for pair in gains.pairs}):
            y += 1
            ticks.append(y)
            names.append(f"fold {fold}")
            for pair in (p for p in gains.pairs if p.fold == fold):
                marker = MARKERS[seeds.index(pair.seed) % len(MARKERS)]
                axis.plot(
                    100 * pair.gain(metric), y, marker, ms=7, mfc="white", mec=colour, mew=1.6,
                    zorder=2,
                )  # fmt: skip
        y += 2
    return ticks, names


def _meaning(methods: Sequence[Gains]) -> str:
    over = {units(gains.pairs) for gains in methods}
    if "folds" in over:
        return "bars: 95 % interval of the pooled difference, jackknife over test folds"
    if "seeds" in over:
        return "bars: 95 % interval over training seeds of one fold; other clips may differ"
    return "one pair of runs: no interval can be given"
