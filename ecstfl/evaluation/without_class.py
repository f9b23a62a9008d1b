"""Does one class carry the whole ratio? Each class left out in turn, and how long its features are.

EC-STFL divides by distances to the other classes, and nothing bounds those: a network can lower the
loss by sending *one* class far away, while the others stay as mixed as they were. Within/between
of all classes cannot tell the two apart. Left-out classes and the length of features can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.distance import cdist

from ecstfl.evaluation import differences
from ecstfl.evaluation.differences import Comparison, Measure, grid, notes
from ecstfl.evaluation.grid import Page
from ecstfl.labels import CLASSES
from ecstfl.metrics.clusters import within_between

Measured = tuple[tuple[Measure, ...], tuple[Measure, ...]]
"""Within/between (8: of all clips, and without each class) and lengths (7) of some runs."""


def ratios_without(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return within/between of all clips, and of all but each class: (8,), > 0.

    See :func:`ecstfl.metrics.clusters.within_between`, also for where it is not defined.

    Args:
        embeddings: (n, d) real.
        labels: (n,) 0..6.
    """
    x, labels = np.asarray(embeddings, dtype=np.float64), np.asarray(labels)
    distance = cdist(x, x)
    kept = (labels != left_out for left_out in (None, *range(len(CLASSES))))
    return np.array([within_between(distance[keep][:, keep], labels[keep]) for keep in kept])


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
    """Measure runs one after the other, for :func:`ecstfl.evaluation.differences.change`.

    Args:
        features: name of each run, and what its ``features.npz`` holds.

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


def page(comparisons: Sequence[Comparison], measures: Measured, marks: Sequence[str] = ()) -> Page:
    """Return two tables: within/between with each class left out, and relative lengths.

    Args:
        comparisons: at least one, from :func:`ecstfl.evaluation.differences.compare`.
        measures: of all their runs, from :func:`measured`.
        marks: sentences that must stand below, as the table's.
    """
    ratios, lengths = measures
    parts = (
        "Within/between, of the clips of all classes and with one class left out:",
        grid(comparisons, ratios),
        "Mean length of a class's features over that of all other clips:",
        grid(comparisons, lengths),
    )
    return Page(parts, (*marks, *notes(comparisons, len(ratios) + len(lengths))))


def to_csv(comparisons: Sequence[Comparison], measures: Measured) -> str:
    """Render for spreadsheets, as :func:`ecstfl.evaluation.differences.to_csv`."""
    ratios, lengths = measures
    ratios = tuple(replace(m, name=f"within/between, {m.name}") for m in ratios)
    named = (*ratios, *(replace(m, name=f"length, {m.name}") for m in lengths))
    return differences.to_csv(comparisons, named)
