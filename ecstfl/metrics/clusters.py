"""How well an embedding separates the classes, measured in the space itself, not on a map.

UMAP bends distances until a picture fits on paper, so no conclusion rests on it alone: these
three numbers are computed from the features and stand beside every map.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_score


@dataclass(frozen=True)
class ClusterMeasures:
    """Class structure of an embedding.

    Attributes:
        within_between: mean distance between clips of one class over the mean distance between
            clips of different classes, > 0; below 1 means that classes cluster. It does not
            depend on scale, batch size or number of classes.
        silhouette: mean silhouette coefficient, in [-1, 1].
        purity: share of the ``k`` nearest neighbours that have the clip's class, in [0, 1].
        k: the number of neighbours.
    """

    within_between: float
    silhouette: float
    purity: float
    k: int

    def as_dict(self) -> dict[str, float | int]:
        """Return the measures as plain numbers for ``run.json``."""
        return asdict(self)


def within_between(distance: np.ndarray, labels: np.ndarray) -> float:
    """Mean distance within classes over mean distance between classes, > 0.

    Args:
        distance: (n, n) between the clips.
        labels: (n,).

    Returns:
        The ratio; NaN where it is not defined: fewer than two classes, or none has two clips; 1
        where all clips lie in one point.
    """
    same = labels[:, None] == labels[None, :]
    pairs = same & ~np.eye(len(labels), dtype=bool)
    if same.all() or not pairs.any():
        return float("nan")
    between = distance[~same].mean()
    return float(distance[pairs].mean() / between) if between > 0 else 1.0


def cluster_measures(features: np.ndarray, labels: np.ndarray, k: int = 10) -> ClusterMeasures:
    """Measure the class structure of features (n, d) with labels (n,).

    Raises:
        ValueError: fewer than two classes, no class with two clips, or n <= k.
    """
    features = np.asarray(features, dtype=np.float64)
    labels = np.asarray(labels)
    n = len(labels)
    if features.ndim != 2 or len(features) != n:
        raise ValueError(f"expected features (n, d) for {n} labels, got {features.shape}")
    if n <= k:
        raise ValueError(f"expected more than k = {k} clips, got {n}")
    distance = cdist(features, features)
    ratio = within_between(distance, labels)
    if np.isnan(ratio):
        raise ValueError("expected at least two classes, one of them with two clips")
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :k]
    np.fill_diagonal(distance, 0.0)
    return ClusterMeasures(
        within_between=ratio,
        silhouette=float(silhouette_score(distance, labels, metric="precomputed")),
        purity=float((labels[nearest] == labels[:, None]).mean()),
        k=k,
    )
