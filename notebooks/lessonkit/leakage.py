"""What leaks when folds ignore who is shown: count it, and measure it without a network.

The measurement uses the true landmarks of the embedded data, so that it takes seconds and shows
the folds' effect alone. Its scores are no results of recognition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ecstfl.datasets.embedded import Truth
from ecstfl.metrics.intervals import people

MODELS: Final = ("nearest", "linear")
"""``nearest`` copies the label of the closest training clip; ``linear`` is a ridge classifier."""


def leaking(groups: Sequence[str] | np.ndarray, folds: Sequence[int] | np.ndarray) -> np.ndarray:
    """Tell which clips are tested by a model that was trained on their own group.

    Args:
        groups: (n,) person, actor or film of each clip; empty where nobody knows.
        folds: (n,) the fold in which each clip is tested; all other folds train.

    Returns:
        (n,) bool: a clip of the same group lies in another fold.

    Raises:
        ValueError: the lengths differ.
    """
    groups, folds = np.asarray(groups), np.asarray(folds)
    if groups.shape != folds.shape or groups.ndim != 1:
        raise ValueError(f"expected (n,) groups and folds, got {groups.shape} and {folds.shape}")
    first: dict[object, int] = {}
    spread = set()
    groups = people(groups)
    for group, fold in zip(groups.tolist(), folds.tolist(), strict=True):
        if first.setdefault(group, fold) != fold:
            spread.add(group)
    return np.array([group in spread for group in groups.tolist()], bool)


def random_folds(n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Deal n clips into folds 1..k of (nearly) equal size, whoever they show: (n,) int."""
    return rng.permutation(np.arange(n) % k + 1)


def landmark_features(
    truth: Truth,
    clips: Sequence[str],
    start: float = 0.0,
    stop: float = 1.0,
    frames: int = 4,
) -> np.ndarray:
    """Describe clips by their true landmarks at a few moments.

    Each frame is moved, turned and scaled so that the eyes lie at (0, 0) and (1, 0); where no
    face is visible the nearest frame with one stands in.

    Args:
        truth: of the embedded data.
        clips: n ids.
        start, stop: the part of the clip that is described, as shares of its length.
        frames: moments, equally spaced over that part.

    Returns:
        (n, frames * 136) float64, in eye distances.

    Raises:
        ValueError: not 0 <= start < stop <= 1, or no moment at all.
    """
    if not 0 <= start < stop <= 1 or frames < 1:
        raise ValueError(
            f"expected 0 <= start < stop <= 1 and frames >= 1, got {start}, {stop}, {frames}"
        )
    return np.stack([_describe(truth, clip, start, stop, frames) for clip in clips])


def _describe(truth: Truth, clip: str, start: float, stop: float, frames: int) -> np.ndarray:
    known = truth[clip]
    last = len(known.visible) - 1
    wanted = np.linspace(start * last, stop * last, frames).round().astype(int)
    seen = np.flatnonzero(known.visible)
    nearest = seen[np.abs(wanted[:, None] - seen).argmin(axis=1)]
    points = known.landmarks[nearest].astype(np.float64)
    left, right = points[:, 36:42].mean(axis=1), points[:, 42:48].mean(axis=1)
    axis = right - left
    turn = np.stack([axis, np.stack([-axis[:, 1], axis[:, 0]], axis=1)], axis=1)
    turn /= (axis**2).sum(axis=1)[:, None, None]
    return np.einsum("fij,fkj->fki", turn, points - left[:, None]).ravel()


def cross_validated(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray, model: str = "nearest"
) -> float:
    """Return the share of clips that are labelled right when their own fold is left out.

    Args:
        features: (n, d).
        labels: (n,) int.
        folds: (n,) fold of each clip; at least two different ones.
        model: one of :data:`MODELS`.

    Raises:
        ValueError: unknown model, lengths that differ, or a single fold.
    """
    if model not in MODELS:
        raise ValueError(f"model: expected one of {', '.join(MODELS)}, got {model!r}")
    features, labels, folds = np.asarray(features), np.asarray(labels), np.asarray(folds)
    if not len(features) == len(labels) == len(folds) or len(np.unique(folds)) < 2:
        raise ValueError(
            f"expected n features, labels and folds in two or more folds, got {len(features)}, "
            f"{len(labels)} and {len(folds)} in {len(np.unique(folds))}"
        )
    right = 0
    for fold in np.unique(folds):
        train = folds != fold
        centre, spread = features[train].mean(axis=0), features[train].std(axis=0)
        scaled = (features - centre) / np.where(spread > 0, spread, 1)
        said = _PREDICT[model](scaled[train], labels[train], scaled[~train])
        right += int((said == labels[~train]).sum())
    return right / len(labels)


def _nearest(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    # |a - b|^2 without |a|^2, which is the same for all candidates of one clip
    return y[((x**2).sum(axis=1) - 2 * new @ x.T).argmin(axis=1)]


def _linear(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeClassifier

    return RidgeClassifier(alpha=10.0).fit(x, y).predict(new)


_PREDICT: Final = {"nearest": _nearest, "linear": _linear}
