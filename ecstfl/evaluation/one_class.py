"""Does one class carry the whole ratio? Each class left out in turn, and how long its features are.

EC-STFL divides by distances to the other classes, and nothing bounds those: a network can lower the
loss by sending *one* class far away, while the others stay as mixed as they were. Within/between
of all classes cannot tell the two apart. Left-out classes and the length of features can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.spatial.distance import cdist

from ecstfl.evaluation.differences import Comparison, Measure, change, compare, grid, notes, to_csv
from ecstfl.figures.comparison import COLOURS, MARKERS, marks
from ecstfl.labels import CLASSES
from ecstfl.runs.run_folder import Run

Measured = tuple[tuple[Measure, ...], tuple[Measure, ...]]
"""Within/between (8: of all clips, and without each class) and lengths (7) of some runs."""


def ratios_without(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return within/between of all clips, and of all but each class: (8,), > 0.

    The measure is that of :func:`ecstfl.metrics.clusters.cluster_measures`. NaN where it is not defined:
    fewer than two classes are left, none has two clips, or all clips lie in one point.

    Args:
        embeddings: (n, d) real.
        labels: (n,) 0..6.
    """
    sums, pairs = _by_class(embeddings, labels)
    found = []
    for left_out in (None, *range(len(CLASSES))):
        keep = [c for c in range(len(CLASSES)) if c != left_out]
        total, number = sums[np.ix_(keep, keep)], pairs[np.ix_(keep, keep)]
        between = total.sum() - np.trace(total), number.sum() - np.trace(number)
        ours = np.array([np.trace(total), np.trace(number)])
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = (ours[0] / ours[1]) / np.divide(*between)
        found.append(ratio if np.isfinite(ratio) else np.nan)
    return np.array(found)


def _by_class(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of distances and number of ordered pairs of different clips, both (7, 7)."""
    x = np.asarray(embeddings, dtype=np.float64)
    member = np.asarray(labels)[:, None] == np.arange(len(CLASSES))  # (n, 7)
    sums = member.T @ cdist(x, x) @ member
    count = member.sum(axis=0).astype(np.float64)
    return sums, np.outer(count, count) - np.diag(count)


def relative_lengths(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each class's mean feature length over that of all other clips: (7,), 1 is like them.

    NaN for a class without clips, and where the others have length 0.
    """
    length = np.linalg.norm(np.asarray(embeddings, dtype=np.float64), axis=1)
    found = []
    for c in range(len(CLASSES)):
        own = np.asarray(labels) == c
        others = length[~own].mean() if (~own).any() else 0.0
        found.append(length[own].mean() / others if own.any() and others > 0 else np.nan)
    return np.array(found)


def measured(features: Iterable[tuple[str, Mapping[str, np.ndarray]]]) -> Measured:
    """Measure runs one after the other, so that :func:`ecstfl.evaluation.differences.change` can compare them.

    Args:
        features: name of each run, and what :func:`ecstfl.runs.run_folder.read_features` gives of it.

    Returns:
        Measures that look their runs up by name and take the mean over runs.
    """
    ratios, lengths = {}, {}
    for name, one in features:
        x, y = one["embeddings"], one["labels"].astype(int)
        ratios[name], lengths[name] = ratios_without(x, y), relative_lengths(x, y)

    def mean(table: Mapping[str, np.ndarray], column: int, name: str) -> Measure:
        return Measure(
            name, lambda runs: float(np.mean([table[r["name"]][column] for r in runs])), 2
        )

    heads = ["all seven", *(f"without {name}" for name in CLASSES)]
    return (
        tuple(mean(ratios, k, head) for k, head in enumerate(heads)),
        tuple(mean(lengths, c, name) for c, name in enumerate(CLASSES)),
    )


def markdown(
    comparisons: Sequence[Comparison], measures: Measured, about: Sequence[str] = ()
) -> str:
    """Render two tables: within/between with each class left out, and relative lengths.

    Args:
        comparisons: at least one, from :func:`ecstfl.evaluation.differences.compare`.
        measures: of all their runs, from :func:`measured`.
        about: sentences that must stand below, as the table's marks.
    """
    ratios, lengths = measures
    lines = [
        "Within/between, of the clips of all classes and with one class left out:",
        "",
        *grid(comparisons, ratios),
        "",
        "Mean length of a class's features over that of all other clips:",
        "",
        *grid(comparisons, lengths),
        "",
    ]
    told = [*about, *notes(comparisons, len(ratios) + len(lengths))]
    return "\n".join([*lines, *(f"- {note}" for note in told)]) + "\n"


def csv(comparisons: Sequence[Comparison], measures: Measured) -> str:
    """Render for spreadsheets, as :func:`ecstfl.evaluation.differences.to_csv`."""
    ratios, lengths = measures
    ratios = tuple(replace(m, name=f"within/between, {m.name}") for m in ratios)
    return to_csv(comparisons, (*ratios, *(replace(m, name=f"length, {m.name}") for m in lengths)))


def figure(runs: Sequence[Run], measures: Measured) -> Figure:
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
    for name in dict.fromkeys(c.baseline for c in comparisons):
        plain = {(p.fold, p.seed): p.baseline for c in comparisons if c.baseline == name
                 for p in c.pairs}  # fmt: skip
        values = [m.of(list(plain.values())) for m in lengths]
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
        f"{marks(runs)}\nmeasured in the embedding of the test clips; bars: 95 % intervals",
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
