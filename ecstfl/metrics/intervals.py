"""Statistics over several runs: intervals that know about seeds, and paired tests of runs.

With one seed, an interval covers the choice of test faces only. With several, seeds are drawn
again as well, for both methods at once, because a gain that hangs on the seed is not a gain.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ecstfl.metrics.recognition import Interval, confusion_matrix, uar, war


def nested_interval(
    labels: np.ndarray,
    predictions: np.ndarray,
    groups: np.ndarray,
    seeds: np.ndarray,
    metric: str,
    baseline: np.ndarray | None = None,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of UAR or WAR over test identities *and* training seeds.

    Each draw takes identities with replacement and, independently, seeds with replacement; a
    prediction counts as often as its identity times its seed was drawn. Two or three seeds say
    little about all seeds: the bootstrap is then too narrow, by sqrt((s - 1) / s) for s seeds.

    Args:
        labels: (n,) truth, one entry a prediction.
        predictions: (n,) predicted classes.
        groups: (n,) test identity of each.
        seeds: (n,) training seed of each.
        metric: ``uar`` or ``war``.
        baseline: (n,) predictions of another method, paired by entry; then the interval is of
            the difference ``predictions - baseline``.
        resamples: number of draws.
        level: coverage, in (0, 1).
        seed: of the draws.

    Raises:
        ValueError: unknown metric, or lengths that differ.
    """
    if metric not in ("uar", "war"):
        raise ValueError(f"expected metric 'uar' or 'war', got {metric!r}")
    lengths = [len(x) for x in (labels, predictions, groups, seeds)]
    if len(set(lengths)) > 1 or (baseline is not None and len(baseline) != lengths[0]):
        raise ValueError(f"expected arrays of one length, got {lengths}")
    function = uar if metric == "uar" else war
    labels = np.asarray(labels)
    group = np.unique(groups, return_inverse=True)[1]
    run = np.unique(seeds, return_inverse=True)[1]
    n_groups, n_runs = int(group.max()) + 1, int(run.max()) + 1

    def cells(predicted: np.ndarray) -> np.ndarray:  # (seeds, groups, c, c)
        predicted = np.asarray(predicted)
        return np.array(
            [
                [
                    confusion_matrix(labels[chosen], predicted[chosen])
                    for chosen in ((run == r) & (group == g) for g in range(n_groups))
                ]
                for r in range(n_runs)
            ]
        )

    ours = cells(predictions)
    theirs = None if baseline is None else cells(baseline)

    def score(by_run: np.ndarray, by_group: np.ndarray) -> float | None:
        def pooled(counts: np.ndarray) -> np.ndarray:
            return np.tensordot(by_group, np.tensordot(by_run, counts, 1), 1)

        first = pooled(ours)
        if not first.sum():
            return None  # the drawn seeds never saw the drawn identities
        value = function(first)
        return value if theirs is None else value - function(pooled(theirs))

    rng = np.random.default_rng(seed)
    by_runs = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=resamples)
    by_groups = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples)
    scores = [score(r, g) for r, g in zip(by_runs, by_groups, strict=True)]
    tail = (1 - level) / 2
    low, high = np.quantile([s for s in scores if s is not None], [tail, 1 - tail])
    value = score(np.ones(n_runs, dtype=np.int64), np.ones(n_groups, dtype=np.int64))
    return Interval(float(value), float(low), float(high))


def sign_flip_test(differences: Sequence[float], *, draws: int = 100_000, seed: int = 0) -> float:
    """Two-sided test that paired differences are as often positive as negative.

    If the methods did not differ, each difference could as well have the other sign. p is the
    share of all sign patterns with a sum at least as far from 0: exact up to 16 pairs, drawn
    beyond. With n pairs it cannot fall below 2 / 2^n. Runs on different folds share training
    clips, so that it is a guide rather than a proof.

    Returns:
        p in (0, 1].

    Raises:
        ValueError: no differences, or one that is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"expected finite differences (n,), got {differences!r}")
    seen = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if len(values) <= 16:
        signs = np.array(list(itertools.product((1, -1), repeat=len(values))), dtype=np.int8)
        return float((np.abs(signs @ values) >= seen).mean())
    signs = np.random.default_rng(seed).choice(np.array([1, -1], np.int8), (draws, len(values)))
    return float((1 + (np.abs(signs @ values) >= seen).sum()) / (1 + draws))
