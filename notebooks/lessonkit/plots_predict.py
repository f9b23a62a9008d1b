"""Figures of lesson 10: what is said over time, how far to trust it, and when to be silent.

Plain functions of plain values; each returns a matplotlib figure whose title says what is to be
seen, with numbers computed from what is drawn. Classes differ by colour *and* marker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ecstfl.figures.style import COLOURS, MARKERS
from ecstfl.labels import CLASSES
from ecstfl.metrics.calibration import Reliability, reliability
from ecstfl.predict.prediction import Window

_LOOKS = (("-", COLOURS[1]), ("--", COLOURS[3]), (":", "0.15"), ("-.", COLOURS[5]))


def still(image: np.ndarray, title: str) -> Figure:
    """Show one picture (H, W, 3) uint8 with a title."""
    height, width = image.shape[:2]
    figure = Figure(figsize=(8.4, 8.4 * height / width + 0.5), dpi=84, layout="constrained")
    axis = figure.subplots()
    axis.imshow(image)
    axis.axis("off")
    axis.set_title(title, fontsize=11)
    return figure


def over_time(
    windows: Sequence[Window], title: str, shown: Sequence[tuple[float, float, str]] = ()
) -> Figure:
    """Draw the probabilities of all classes over time, a marker a window.

    Args:
        windows: of one person, in order.
        title: what is to be seen.
        shown: (start, end, expression) in seconds: what the video really shows, where known.
    """
    figure = Figure(figsize=(9.4, 4.0), dpi=84, layout="constrained")
    axis = figure.subplots()
    middle = [(w.start + w.end) / 2 for w in windows]
    for c, name in enumerate(CLASSES):
        values = [w.probabilities[c] for w in windows]
        axis.plot(middle, values, color=COLOURS[c], marker=MARKERS[c], ms=6, lw=1.2, label=name)
    axis.axhline(0.5, color="0.5", lw=1, ls=":")
    unsure = [m for m, w in zip(middle, windows, strict=True) if w.why]
    axis.plot(unsure, [1.04] * len(unsure), "kx", ms=6, label="uncertain")
    for start, end, name in shown:
        axis.axvline(start, color="0.8", lw=1, zorder=0)
        axis.annotate(f"shown:\n{name}", ((start + end) / 2, 1.1), ha="center", fontsize=9)
    axis.set(xlabel="time (seconds)", ylabel="probability (0..1)", ylim=(0, 1.28 if shown else 1.1))
    axis.set_yticks(np.arange(0, 1.01, 0.25))
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right center", fontsize=9)
    axis.set_title(title, fontsize=11)
    return figure


def scores(rows: Mapping[str, tuple[float, float, float]], title: str, xlabel: str) -> Figure:
    """Draw values with intervals, one line each, beside the chance of a guess.

    Args:
        rows: what -> (value, low, high), shares 0..1.
        title: what is to be seen.
        xlabel: what is drawn, in percent.
    """
    figure = Figure(figsize=(7.6, 1.5 + 0.5 * len(rows)), dpi=84, layout="constrained")
    axis = figure.subplots()
    for place, (value, low, high) in enumerate(rows.values()):
        axis.errorbar(
            100 * value,
            place,
            xerr=[[100 * (value - low)], [100 * (high - value)]],
            fmt="o",
            color="black",
            capsize=4,
        )
        axis.annotate(
            f"{100 * value:.1f}",
            (100 * value, place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    axis.axvline(100 / len(CLASSES), color="0.6", lw=1, ls="--")
    axis.text(100 / len(CLASSES) + 0.7, len(rows) - 0.6, "chance", fontsize=9, color="0.3")
    axis.set_yticks(range(len(rows)), list(rows))
    axis.set(xlim=(0, 100), ylim=(len(rows) - 0.4, -0.7), xlabel=xlabel)
    axis.set_title(title, fontsize=11)
    return figure


def honest_ece(
    probabilities: np.ndarray, bins: int = 10, draws: int = 500, seed: int = 0
) -> tuple[float, float]:
    """Return the range (2.5 % to 97.5 %) of the ECE if every probability were exactly right.

    With few clips the calibration error of a perfect model is not 0; this says how large it is.
    Clips are taken for independent, so the range is a little too narrow for clips of few people.

    Args:
        probabilities: (n, c), rows sum to 1; the truth is drawn from them.
        bins: as in :func:`ecstfl.metrics.calibration.reliability`.
        draws: how often.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    edges = np.cumsum(probabilities, axis=1)
    edges = edges / edges[:, -1:]
    found = []
    for _ in range(draws):
        truth = (rng.random((len(probabilities), 1)) > edges).sum(axis=1)
        found.append(reliability(probabilities, truth, bins).ece)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def reliabilities(
    rows: Mapping[str, tuple[Reliability, tuple[float, float]]], title: str
) -> Figure:
    """Draw accuracy against confidence, a panel for each row.

    Args:
        rows: name -> (reliability, range of the ECE of a perfect model from :func:`honest_ece`).
        title: what is to be seen.
    """
    figure = Figure(figsize=(3.5 * len(rows), 4.4), dpi=84, layout="constrained")
    axes = figure.subplots(1, len(rows), sharey=True, squeeze=False)[0]
    for axis, (name, (result, (low, high))) in zip(axes, rows.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="0.6", lw=1, zorder=1)
        some = [i for i, count in enumerate(result.counts) if count]
        for i in some:
            confidence, accuracy = result.confidence[i], result.accuracy[i]
            axis.plot([confidence] * 2, [confidence, accuracy], color=COLOURS[3], lw=2, zorder=2)
        axis.scatter(
            [result.confidence[i] for i in some],
            [result.accuracy[i] for i in some],
            s=[10 + 2 * result.counts[i] for i in some],
            color=COLOURS[1],
            edgecolors="white",
            zorder=3,
            clip_on=False,
        )
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence (0..1)", aspect="equal")
        axis.set_title(
            f"{name}\nECE {100 * result.ece:.1f} %\n(a perfect model: "
            f"{100 * low:.1f} to {100 * high:.1f} %)",
            fontsize=9.5,
        )
    axes[0].set_ylabel("share that is right (0..1)")
    figure.suptitle(title, fontsize=11)
    return figure


def answered_curve(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coverage and accuracy as the threshold falls from the surest clip to none.

    Returns:
        (n,) share of clips answered, 1/n..1, and (n,) share of those that is right.
    """
    order = np.argsort(-np.asarray(confidence), kind="stable")
    hits = np.cumsum(np.asarray(right, float)[order])
    number = np.arange(1, len(order) + 1)
    return number / len(order), hits / number


def answered(
    rows: Mapping[str, tuple[np.ndarray, np.ndarray]], threshold: float = 0.5, name: str = ""
) -> Figure:
    """Draw accuracy among the answered clips against the share that is answered.

    Args:
        rows: name -> (confidence (n,), right (n,) bool).
        threshold: the model is silent below it; marked.
        name: of the data, for the title.
    """
    figure = Figure(figsize=(7.4, 4.2), dpi=84, layout="constrained")
    axis = figure.subplots()
    told = []
    for (style, colour), (which, (confidence, right)) in zip(_LOOKS, rows.items(), strict=False):
        coverage, accuracy = answered_curve(confidence, right)
        few = max(1, len(coverage) // 20)  # the first few clips jump about
        axis.plot(
            100 * coverage[few:], 100 * accuracy[few:], style, color=colour, lw=1.8, label=which
        )
        chosen = np.asarray(confidence) >= threshold
        if chosen.any():
            at = 100 * chosen.mean(), 100 * np.asarray(right)[chosen].mean()
            axis.plot(*at, "o", color=colour, ms=8, mec="white")
            told.append(f"{which}: {at[0]:.0f} % answered, {at[1]:.0f} % of them right")
        else:
            told.append(f"{which}: nothing answered")
    axis.set(xlabel="clips answered (percent)", ylabel="right among them (percent)")
    axis.set(xlim=(0, 102), ylim=(0, 102))
    axis.legend(fontsize=9, loc="lower left")
    head = f"{name}: silent" if name else "Silent"
    axis.set_title(f"{head} below {threshold:.2f} (dots)\n" + "; ".join(told), fontsize=10.5)
    return figure


def believed(hit: float, false_alarm: float, share: np.ndarray | float) -> np.ndarray:
    """Return how often a class is really shown when it is said, at another share of the class.

    P(shown | said) = hit * share / (hit * share + false_alarm * (1 - share)).

    Args:
        hit: P(said | shown), the recall, 0..1.
        false_alarm: P(said | not shown), 0..1.
        share: P(shown), 0..1.
    """
    share = np.asarray(share, float)
    said = hit * share + false_alarm * (1 - share)
    return np.divide(hit * share, said, out=np.zeros_like(said), where=said > 0)


def base_rates(confusion: np.ndarray, shares: Mapping[str, Sequence[float]], name: str) -> Figure:
    """Draw how often a class is right when it is said, under several class shares.

    Args:
        confusion: (7, 7) counts, rows the truth.
        shares: two priors or more -> (7,) shares of the classes, sum 1.
        name: of the data.
    """
    recalled = confusion / confusion.sum(axis=1, keepdims=True)  # P(said | shown)
    figure = Figure(figsize=(8.8, 3.9), dpi=84, layout="constrained")
    axis = figure.subplots()
    place, width = np.arange(7), 0.8 / len(shares)
    values = {}
    for k, (prior, share) in enumerate(shares.items()):
        said = np.asarray(share) @ recalled
        values[prior] = 100 * np.asarray(share) * recalled.diagonal() / np.maximum(said, 1e-12)
        bars = axis.bar(
            place + width * (k - (len(shares) - 1) / 2),
            values[prior],
            width,
            color=(COLOURS[4], COLOURS[0], "0.7")[k % 3],
            hatch=("", "//", "..")[k % 3],
            edgecolor="0.25",
            label=prior,
        )
        axis.bar_label(bars, [f"{v:.0f}" for v in values[prior]], fontsize=9)
    axis.set_xticks(place, CLASSES)
    axis.set(ylabel="really shown when said (percent)", ylim=(0, 112))
    axis.legend(fontsize=9, loc="upper right")
    first, *_, last = values.values()
    worst = int((first - last).argmax())
    axis.set_title(
        f"{name}: a said '{CLASSES[worst]}' is right {first[worst]:.0f} times in 100, or "
        f"{last[worst]:.0f}: the same model",
        fontsize=11,
    )
    return figure
