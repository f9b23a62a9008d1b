"""Figures of lessons 07 and 11: what a printed table says, and how much of it may be luck."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ecstfl.figures.style import COLOURS
from ecstfl.labels import CLASSES
from ecstfl.metrics.intervals import Interval


def prior_scores(counts: Sequence[int], rows: Mapping[str, tuple[float, float]]) -> Figure:
    """Draw clips per class, and (UAR, WAR) in percent of some classifiers on them."""
    figure = Figure(figsize=(10, 3.6), dpi=96, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    bars = left.bar(CLASSES, counts, color=COLOURS)
    left.bar_label(bars, fontsize=9)
    left.set(ylabel="clips", ylim=(0, 1.12 * max(counts)))
    left.set_title(f"DFEW has {max(counts) / min(counts):.0f} times more Neutral than Disgust")
    left.tick_params(axis="x", labelsize=9)
    place = np.arange(len(rows))
    for shift, index, name in ((-0.2, 0, "UAR"), (0.2, 1, "WAR")):
        values = [value[index] for value in rows.values()]
        drawn = right.bar(place + shift, values, 0.38, label=name, color=COLOURS[1 - index])
        right.bar_label(drawn, [f"{v:.1f}" for v in values], fontsize=9)
    right.set_xticks(place, list(rows))
    right.set(ylabel="percent", ylim=(0, 66))
    right.legend(loc="upper left")
    right.set_title("WAR rewards saying Neutral, UAR does not")
    return figure


def hit_gain(before: Sequence[int], after: Sequence[int]) -> Figure:
    """Draw the change of right answers per class between two rows of integers."""
    change = np.asarray(after) - np.asarray(before)
    largest = int(change.argmax())
    figure = Figure(figsize=(8, 3.6), dpi=96, layout="constrained")
    axis = figure.subplots()
    bars = axis.bar(CLASSES, change, color=[COLOURS[5] if c >= 0 else COLOURS[3] for c in change])
    axis.bar_label(bars, [f"{c:+d}" for c in change], padding=2)
    axis.axhline(0, color="0.3", lw=0.8)
    axis.margins(y=0.15)
    axis.set_ylabel("clips more (or fewer) right")
    lost = change[change < 0].sum()
    axis.set_title(
        f"{change.sum():+d} clips: {CLASSES[largest]} gives {change[largest]}, and {-lost} are lost"
    )
    return figure


def repeated_luck(gains: np.ndarray, claimed: float, sd: float) -> Figure:
    """Draw simulated gains of a method that does nothing, and the gain that is claimed."""
    share = float((gains >= claimed).mean())
    figure = Figure(figsize=(8, 3.6), dpi=96, layout="constrained")
    axis = figure.subplots()
    width = max(abs(gains).max(), claimed) * 1.05
    bin_width = width / 20  # an edge lies on the claim, so that no bar has two colours
    bins = claimed + bin_width * np.arange(-math.ceil(2 * width / bin_width), 40)
    axis.hist(gains[gains < claimed], bins, color="0.7", label="smaller than the claim")
    axis.hist(gains[gains >= claimed], bins, color=COLOURS[3], label="as large, or larger")
    axis.axvline(claimed, color="0.2", lw=1.2, label=f"claimed: {claimed:.2f}")
    axis.set(xlabel="gain in WAR (points)", ylabel="simulated pairs", xlim=(-width, width))
    axis.legend(fontsize=9)
    axis.set_title(
        f"No effect at all, seeds with sd {sd:.1f}: a gain of {claimed:.2f} or more "
        f"in {100 * share:.0f} % of pairs",
        size=11,
    )
    return figure


def lambda_curve(weights: Sequence[float], scores: Sequence[float], sd: float) -> Figure:
    """Draw a published score against λ with the spread between equal runs as a band."""
    values = np.asarray(scores)
    figure = Figure(figsize=(8, 3.6), dpi=96, layout="constrained")
    axis = figure.subplots()
    axis.axhspan(values.mean() - sd, values.mean() + sd, color=COLOURS[4], alpha=0.25)
    axis.annotate(
        f"mean ± {sd:.1f} (sd between equal runs)",
        (weights[0], values.mean() + sd),
        va="top",
        xytext=(0, -3),
        textcoords="offset points",
        fontsize=9,
    )
    axis.plot(weights, values, "o-", color=COLOURS[1])
    axis.set(xscale="log", xlabel="λ (log scale)", ylabel="WAR, fold 1 (percent)")
    axis.set_xticks(weights, [f"{w:g}" for w in weights])
    axis.minorticks_off()
    inside = int((abs(values - values.mean()) <= sd).sum())
    axis.set_title(f"{inside} of {len(values)} points lie within one sd of a flat line")
    return figure


def recall_intervals(rows: Mapping[str, Sequence[tuple[float, float, float]]]) -> Figure:
    """Draw recalls of each class with intervals, in percent: (value, low, high) for each class."""
    figure = Figure(figsize=(9, 3.8), dpi=96, layout="constrained")
    axis = figure.subplots()
    place = np.arange(len(CLASSES))
    widths = []
    for k, (name, values) in enumerate(rows.items()):
        value, low, high = np.array(values).T
        widths.append(high - low)
        axis.errorbar(
            place + 0.18 * (k - (len(rows) - 1) / 2),
            value,
            [value - low, high - value],
            fmt="os"[k % 2],
            capsize=3,
            color=COLOURS[(3, 1)[k % 2]],
            label=name,
        )
    axis.set_xticks(place, CLASSES)
    axis.set(ylabel="recall, 95 % interval (percent)", ylim=(-2, 85))
    axis.legend()
    apart = [
        CLASSES[c]
        for c in place
        if max(v[c][1] for v in rows.values()) > min(v[c][2] for v in rows.values())
    ]
    axis.set_title(
        f"The intervals come apart for {', '.join(apart) or 'no class'} only"
        if len(apart) < len(CLASSES)
        else "The intervals come apart for every class"
    )
    return figure


def bounded_gains(rows: Mapping[str, Sequence[Interval]]) -> Figure:
    """Draw printed gains with what the hits allow: a thick line at best, a thin one at worst.

    Args:
        rows: comparison -> (interval at best, interval at worst), in points.
    """
    figure = Figure(figsize=(9.4, 0.8 + 0.5 * len(rows)), dpi=96, layout="constrained")
    axis = figure.subplots()
    for place, (best, worst) in enumerate(rows.values()):
        clear = worst.low > 0
        axis.plot([worst.low, worst.high], [place, place], color="0.4", lw=1.2)
        axis.plot([best.low, best.high], [place, place], color=COLOURS[5 if clear else 1], lw=5)
        axis.plot(best.value, place, "o", color="black", ms=5)
        axis.annotate(
            f"{worst.low:+.2f} to {worst.high:+.2f}",
            (worst.high, place),
            xytext=(6, -4),
            textcoords="offset points",
            fontsize=9,
        )
    axis.axvline(0, color="0.3", lw=0.8)
    axis.set_yticks(range(len(rows)), list(rows), fontsize=9)
    axis.invert_yaxis()
    axis.set_xlim(right=axis.get_xlim()[1] + 1)  # room for the numbers
    axis.set_xlabel("gain in WAR (points), 95 % intervals over clips")
    held = sum(worst.low <= 0 <= worst.high for _, worst in rows.values())
    axis.set_title(
        f"At worst, {held} of {len(rows)} printed gains are not told from 0", fontsize=11
    )
    return figure
