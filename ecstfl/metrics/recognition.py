"""Recognition metrics, all from one integer confusion matrix with fixed classes.

UAR (unweighted average recall) is the mean of the per-class recalls: every class counts the
same. WAR (weighted average recall) is plain accuracy: every clip counts the same. With DFEW's
prior they part ways by ten points and more. A class without clips counts in neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecstfl.labels import N_CLASSES


def confusion_matrix(
    labels: Sequence[int] | np.ndarray,
    predictions: Sequence[int] | np.ndarray,
    n_classes: int = N_CLASSES,
) -> np.ndarray:
    """Count clips by (true, predicted) class: (c, c) int64, rows are the truth.

    Raises:
        ValueError: lengths differ, or a value is outside 0..n_classes-1 or no whole number.
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
        if not np.array_equal(values, values.astype(np.int64)):  # 1.9 would be counted as 1
            raise ValueError(f"expected {name} as whole numbers, got {values[:5].tolist()} ...")
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
