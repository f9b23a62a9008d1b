"""Figures of lesson 06: what is in a batch, what lambda weighs, and how training goes.

Plain functions of plain values; each returns a matplotlib figure whose title says what is to be
seen, with numbers computed from what is drawn. Methods differ by colour *and* line style, shares
by colour *and* hatching.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats
from torch.nn import functional as F

from ecstfl.figures.style import COLOURS, title_of
from ecstfl.losses.ec_stfl import FORMS, ec_stfl_loss
from ecstfl.runs.run_folder import Run
from lessonkit.composition import Composition, composition

_LOOKS = (("-", COLOURS[1]), ("--", COLOURS[3]), (":", COLOURS[5]), ("-.", "0.2"))


def batch_shares(rows: Sequence[Composition], title: str) -> Figure:
    """Draw how often each class is missing, alone, or at least a pair in a batch.

    Args:
        rows: one for each class.
        title: what is to be seen.
    """
    figure = Figure(figsize=(8.6, 3.6), dpi=84, layout="constrained")
    axis = figure.subplots()
    names = [f"{row.name}\n{100 * row.share:.1f} % of clips" for row in rows]
    below = np.zeros(len(rows))
    for part, colour, hatch, text in (
        ("pair", COLOURS[5], "", "two or more: the loss can pull"),
        ("alone", COLOURS[0], "//", "alone: nothing to pull to"),
        ("missing", "white", "..", "missing"),
    ):
        values = 100 * np.array([getattr(row, part) for row in rows])
        bars = axis.bar(
            names, values, bottom=below, color=colour, hatch=hatch, edgecolor="0.25", label=text
        )
        texts = [f"{value:.0f}" if value >= 6 else "" for value in values]
        axis.bar_label(
            bars,
            texts,
            label_type="center",
            fontsize=9,
            bbox={"fc": "white", "ec": "none", "pad": 1},
        )
        below += values
    for label in axis.texts:
        label.set_visible(bool(label.get_text()))
    axis.set(ylabel="batches (percent)", ylim=(0, 100))
    axis.tick_params(axis="x", labelsize=8)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    axis.set_title(title, fontsize=11)
    return figure


def dfew_batch(batch: int = 24) -> Figure:
    """Draw :func:`batch_shares` of plain batches at DFEW's class sizes."""
    rows = composition(batch)
    rare = min(rows, key=lambda row: row.share)
    return batch_shares(
        rows,
        f"A plain batch of {batch} at DFEW's class sizes: in {100 * rare.pair:.1f} % of batches "
        f"{rare.name} has a pair",
    )


def pulls(
    logits: torch.Tensor, features: torch.Tensor, labels: torch.Tensor
) -> tuple[float, dict[str, float]]:
    """Measure how hard each loss pulls at the features of one batch, at lambda = 1.

    The cross-entropy reaches the features through the classifier; logits must therefore have
    been computed from ``features`` with a graph.

    Returns:
        Norm of the cross-entropy's gradient, and of each form of EC-STFL's, with respect to the
        features (n, d).
    """
    entropy = torch.autograd.grad(F.cross_entropy(logits, labels), features, retain_graph=True)
    sizes = {}
    for form in FORMS:
        x = features.detach().requires_grad_()
        sizes[form] = torch.autograd.grad(ec_stfl_loss(x, labels, form), x)[0].norm().item()
    return entropy[0].norm().item(), sizes


def paired_gain(
    first: Sequence[Run], second: Sequence[Run], key: str = "war"
) -> tuple[float, float, float]:
    """Return mean and 95 % interval of second minus first, over pairs of runs (equal seeds).

    Student's interval over the pairs: with two or three it is wide, as it should be. One pair
    has no interval: low and high are then minus and plus infinity.
    """
    gains = np.array([b[key] - a[key] for a, b in zip(first, second, strict=True)])
    if len(gains) < 2:
        return float(gains.mean()), -np.inf, np.inf
    half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return float(gains.mean()), float(gains.mean() - half), float(gains.mean() + half)


def curves(methods: Mapping[str, Sequence[Run]], title: str) -> Figure:
    """Draw cross-entropy, accuracy and within/between over the epochs, a thin line a run.

    Args:
        methods: name -> runs (``run.json``), for instance one a seed; the mean is drawn thick.
        title: what is to be seen.
    """
    figure = Figure(figsize=(10.4, 3.9), dpi=84, layout="constrained")
    axes = figure.subplots(1, 3)
    for (name, runs), (style, colour) in zip(methods.items(), _LOOKS, strict=False):
        _curve(axes[0], runs, "ce", style, colour, name)
        _curve(axes[1], runs, "train_war", style, colour, f"{name}: training", 100, faint=True)
        _curve(axes[1], runs, "held_out_war", style, colour, f"{name}: held out", 100, dots=True)
        _curve(axes[2], runs, "ratio", style, colour, name)
    axes[0].set(ylabel="cross-entropy (nats), training")
    axes[1].set(ylabel="WAR (percent; grey line: chance)", ylim=(0, 100))
    shown = np.any(next(iter(methods.values()))[0]["confusion"], axis=1).sum()  # expressions
    axes[1].axhline(100 / shown, color="0.6", lw=1)
    axes[1].legend(fontsize=7.5, loc="lower right")
    axes[2].set(ylabel="within / between, training batches")
    axes[0].legend(fontsize=8)
    for axis in (axes[0], axes[2]):
        axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
    for axis in axes:
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(title, fontsize=11)
    return figure


def _curve(
    axis: Axes,
    runs: Sequence[Run],
    key: str,
    style: str,
    colour: str,
    name: str,
    scale: float = 1,
    *,
    faint: bool = False,
    dots: bool = False,
) -> None:
    points = [[(r["epoch"], scale * r[key]) for r in run["history"] if key in r] for run in runs]
    strong = 0.45 if faint else 1.0
    for one in points if len(points) > 1 else ():
        axis.plot(*zip(*one, strict=True), style, color=colour, lw=0.6, alpha=0.5 * strong)
    epochs = [epoch for epoch, _ in points[0]]
    mean = np.mean([[value for _, value in one] for one in points], axis=0)
    axis.plot(
        epochs,
        mean,
        style,
        color=colour,
        lw=1.2 if faint else 2,
        alpha=strong,
        marker="o" if dots else "",
        ms=4,
        label=name,
    )


def curve_title(first: Sequence[Run], second: Sequence[Run]) -> str:
    """Say what the curves of two methods end with: ratios, and WAR with its interval.

    Args:
        first: runs of the method to compare with.
        second: runs of the other method, in the same order of folds and seeds.
    """
    ratios = [np.mean([run["history"][-1]["ratio"] for run in runs]) for runs in (first, second)]
    gain, low, high = (100 * value for value in paired_gain(first, second))
    held = f"held-out WAR {gain:+.1f} points"
    if np.isfinite(low):
        held += f" [95 % over {len(first)} pairs of runs: {low:+.1f}, {high:+.1f}]"
    else:
        held += ", one pair: no interval over seeds"
    names = [title_of(runs[0]) for runs in (first, second)]
    where = "Synthetic clips: " if any(run["synthetic"] for run in (*first, *second)) else ""
    return (
        f"{where}within / between falls to {ratios[1]:.2f} with {names[1]}, {ratios[0]:.2f} with "
        f"{names[0]};\n{held}"
    )


def seeds(
    first: Sequence[Run], second: Sequence[Run], measures: Mapping[str, Sequence[float]], title: str
) -> Figure:
    """Draw every run of two methods as a dot, and join the runs of one seed.

    Args:
        first: runs of the method to compare with.
        second: runs of the other method, in the same order.
        measures: what -> values of all runs: those of ``first``, then those of ``second``.
        title: what is to be seen.
    """
    figure = Figure(figsize=(9.4, 3.8), dpi=84, layout="constrained")
    axes = figure.subplots(1, len(measures), squeeze=False)[0]
    for axis, (name, values) in zip(axes, measures.items(), strict=True):
        sides = np.array(values, dtype=float).reshape(2, -1)
        for k, (one, other) in enumerate(sides.T):
            axis.plot([0, 1], [one, other], color="0.6", lw=1)
            axis.annotate(
                f"seed {first[k]['config']['seed']}",
                (1, other),
                xytext=(7, -3),
                textcoords="offset points",
                fontsize=8,
            )
        for x, (side, look) in enumerate(zip(sides, ("o", "s"), strict=True)):
            axis.plot([x] * len(side), side, look, ms=8, color=_LOOKS[x][1], mec="white")
            axis.plot([x - 0.12, x + 0.12], [side.mean()] * 2, color="black", lw=2)
        axis.set(xlim=(-0.35, 1.5), ylabel=name, title=f"{sides[1].mean() - sides[0].mean():+.3g}")
        names = [title_of(runs[0]).replace(" (", "\n(") for runs in (first, second)]
        axis.set_xticks([0, 1], names, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure
