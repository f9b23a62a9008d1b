"""Recognition metrics, all from one integer confusion matrix with fixed classes.

UAR (unweighted average recall) is the mean of the per-class recalls: every class counts the
same. WAR (weighted average recall) is plain accuracy: every clip counts the same. With DFEW's
prior they part ways by ten points and more. A class without clips counts in neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ecstfl.labels import N_CLASSES


def confusion_matrix(
    labels: Sequence[int] | np.ndarray,
    predictions: Sequence[int] | np.ndarray,
    n_classes: int = N_CLASSES,
) -> np.ndarray:
    """Count clips by (true, predicted) class: (c, c) int64, rows are the truth.

    Raises:
        ValueError: lengths differ, or a value is outside 0..n_classes-1.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(
            f"expected labels and predictions of one length, got {labels.shape} "
            f"and {predictions.shape}"
        )
    for name, values in (("labels", labels), ("predictions", predictions)):
        if values.size and (values.min() < 0 or values.max() >= n_classes):
            raise ValueError(
                f"expected {name} in 0..{n_classes - 1}, got {values.min()}..{values.max()}"
            )
    flat = labels.astype(np.int64) * n_classes + predictions.astype(np.int64)
    return np.bincount(flat, minlength=n_classes**2).reshape(n_classes, n_classes)


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Recall of each class (c,), in [0, 1]; NaN for a class without clips, which has none."""
    confusion = np.asarray(confusion)
    total = confusion.sum(axis=1)
    return np.divide(
        np.diagonal(confusion), total, out=np.full(len(confusion), np.nan), where=total > 0
    )


def uar(confusion: np.ndarray) -> float:
    """Unweighted average recall in [0, 1]: the mean recall of the classes that have clips.

    A data set may lack a class (CREMA-D has no Surprise): counting it with recall 0 would cap
    UAR at 6/7. scikit-learn's ``balanced_accuracy_score`` averages the same way. Over other
    classes it is another number: the table shows a dash for a class without clips, and says so.

    Raises:
        ValueError: there is no clip.
    """
    known = recalls(confusion)
    if np.isnan(known).all():
        raise ValueError("expected at least one clip, got an empty confusion matrix")
    return float(np.nanmean(known))


def war(confusion: np.ndarray) -> float:
    """Weighted average recall in [0, 1]: the share of clips that are right (accuracy).

    Raises:
        ValueError: there is no clip.
    """
    confusion = np.asarray(confusion)
    total = confusion.sum()
    if total == 0:
        raise ValueError("expected at least one clip, got an empty confusion matrix")
    return float(np.trace(confusion) / total)


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval, all in the value's own unit."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    labels: np.ndarray,
    predictions: np.ndarray,
    groups: np.ndarray,
    metric: str,
    baseline: np.ndarray | None = None,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of UAR or WAR over test *groups* (identities), or of a difference.

    Clips of one face are not independent, so whole groups are drawn with replacement. The
    interval covers the choice of test faces; it says nothing about the seed of the training.

    Args:
        labels: (n,) truth.
        predictions: (n,) predicted classes.
        groups: (n,) identity of each clip; an empty name is a group of its own.
        metric: ``"uar"`` or ``"war"``.
        baseline: (n,) predictions of another model on the same clips; then the interval is
            of the difference ``predictions - baseline``, resampled in pairs.
        resamples: number of bootstrap draws.
        level: coverage, in (0, 1).
        seed: of the draws.

    Raises:
        ValueError: unknown metric, or lengths that differ.
    """
    if metric not in ("uar", "war"):
        raise ValueError(f"expected metric 'uar' or 'war', got {metric!r}")
    function = uar if metric == "uar" else war
    labels = np.asarray(labels)
    # An unknown identity must not make strangers one person.
    groups = np.array([str(g) or f"\0{i}" for i, g in enumerate(np.asarray(groups).tolist())])
    _, member = np.unique(groups, return_inverse=True)
    n_groups = int(member.max()) + 1

    def by_group(predicted: np.ndarray) -> np.ndarray:  # (groups, c, c)
        return np.stack(
            [
                confusion_matrix(labels[member == g], np.asarray(predicted)[member == g])
                for g in range(n_groups)
            ]
        )

    ours = by_group(predictions)
    theirs = None if baseline is None else by_group(baseline)

    def score(weights: np.ndarray) -> float:  # how often each group was drawn
        value = function(np.tensordot(weights, ours, 1))
        return value if theirs is None else value - function(np.tensordot(weights, theirs, 1))

    rng = np.random.default_rng(seed)
    draws = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples)
    scores = [score(draw) for draw in draws]
    tail = (1 - level) / 2
    low, high = np.quantile(scores, [tail, 1 - tail])
    return Interval(score(np.ones(n_groups, dtype=np.int64)), float(low), float(high))


def mcnemar(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """Exact McNemar test of two models on the same clips.

    Returns:
        (clips only ``first`` gets right, clips only ``second`` gets right, two-sided p in [0, 1]).
    """
    labels, first, second = map(np.asarray, (labels, first, second))
    only_first = int(((first == labels) & (second != labels)).sum())
    only_second = int(((first != labels) & (second == labels)).sum())
    if only_first + only_second == 0:
        return 0, 0, 1.0
    p = stats.binomtest(only_first, only_first + only_second, 0.5).pvalue
    return only_first, only_second, float(p)
