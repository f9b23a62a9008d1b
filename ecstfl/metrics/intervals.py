"""How sure is a number? Intervals over people and seeds, and tests of paired results.

Clips of one person are not independent, so people are drawn again (bootstrap) or left out
(jackknife), never single clips. With several seeds, seeds are drawn again as well, for both
methods at once, because a gain that hangs on the seed is not a gain.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ecstfl.labels import N_CLASSES
from ecstfl.metrics.recognition import confusion_matrix


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval, all in the value's own unit."""

    value: float
    low: float
    high: float


def people(
    groups: Sequence[object] | np.ndarray, clips: Sequence[str] | np.ndarray | None = None
) -> np.ndarray:
    """Return who is in each clip: (n,) str, its group, or a name of its own where that is empty.

    DFEW names no people. Strangers must not become one person, or an interval over people would
    be one over nothing.

    Args:
        groups: (n,) identity of each clip; empty where nobody knows.
        clips: (n,) name of each clip, by which an unknown person is known again under another
            seed; without it every entry shows another one.

    Raises:
        ValueError: the lengths differ.
    """
    own = range(len(groups)) if clips is None else clips
    if len(own) != len(groups):
        raise ValueError(f"expected groups and clips of one length, got {len(groups)}, {len(own)}")
    # no group starts with a zero byte
    return np.array([str(g) or f"\0{own}" for g, own in zip(groups, own, strict=True)])


def bootstrap_interval(
    labels: np.ndarray,
    predictions: np.ndarray,
    groups: np.ndarray,
    metric: str,
    baseline: np.ndarray | None = None,
    *,
    seeds: np.ndarray | None = None,
    clips: np.ndarray | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of UAR or WAR over test people and training seeds, or of a difference.

    Each draw takes people with replacement and, independently, seeds with replacement; a
    prediction counts as often as its person times its seed was drawn. With one seed the interval
    says nothing about other seeds; two or three say little: it is then too narrow, by
    sqrt((s - 1) / s) for s seeds.

    Args:
        labels: (n,) truth, one entry a prediction.
        predictions: (n,) predicted classes.
        groups: (n,) test identity of each, see :func:`people`.
        metric: ``uar`` or ``war``.
        baseline: (n,) predictions of another model, paired by entry; then the interval is of
            the difference ``predictions - baseline``.
        seeds: (n,) training seed of each; None: all of one.
        clips: (n,) name of each clip, needed where clips without a group stand under several
            seeds.
        resamples: number of draws.
        level: coverage, in (0, 1).
        seed: of the draws.

    Raises:
        ValueError: unknown metric, lengths that differ, or ``clips`` is needed.
    """
    if metric not in ("uar", "war"):
        raise ValueError(f"expected metric 'uar' or 'war', got {metric!r}")
    arrays = [labels, predictions, groups, *(x for x in (baseline, seeds, clips) if x is not None)]
    lengths = [len(x) for x in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"expected arrays of one length, got {lengths}")
    labels = np.asarray(labels)
    run = np.unique(np.zeros(len(labels)) if seeds is None else seeds, return_inverse=True)[1]
    n_runs = int(run.max()) + 1
    if n_runs > 1 and clips is None and "" in map(str, groups):
        raise ValueError("clips without a group under several seeds: give clips, their names")
    person = np.unique(people(groups, clips), return_inverse=True)[1]
    n_people = int(person.max()) + 1

    def count(predicted: np.ndarray) -> np.ndarray:  # (seeds, people, 2, c): hits and clips
        confusion_matrix(labels, predicted)  # refuses what is no class
        counts = np.zeros((n_runs, n_people, 2, N_CLASSES))
        np.add.at(counts, (run, person, 0, labels), np.asarray(predicted) == labels)
        np.add.at(counts, (run, person, 1, labels), 1)
        return counts

    def scores(counts: np.ndarray) -> np.ndarray:  # (draws,)
        drawn = np.einsum("dr,drkc->dkc", by_runs, np.tensordot(by_people, counts, (1, 1)))
        drawn = drawn[drawn[:, 1].any(axis=1)]  # else these seeds never saw these people
        hits, clips = drawn[:, 0], drawn[:, 1]
        if metric == "war":
            return hits.sum(axis=1) / clips.sum(axis=1)
        return np.nanmean(
            np.divide(hits, clips, out=np.full(hits.shape, np.nan), where=clips > 0), axis=1
        )

    rng = np.random.default_rng(seed)
    by_runs = np.ones((resamples, 1), np.int64)
    if n_runs > 1:
        by_runs = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=resamples)
    by_people = rng.multinomial(n_people, np.full(n_people, 1 / n_people), size=resamples)
    # the first of all is what was measured: every seed and person once
    by_runs = np.vstack([np.ones(n_runs), by_runs])
    by_people = np.vstack([np.ones(n_people), by_people])
    values = scores(count(predictions))
    if baseline is not None:
        values = values - scores(count(baseline))
    tail = (1 - level) / 2
    low, high = np.quantile(values[1:], [tail, 1 - tail])
    return Interval(float(values[0]), float(low), float(high))


def jackknife(
    statistic: Callable[[np.ndarray], float | Sequence[float] | np.ndarray],
    groups: np.ndarray,
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a statistic with an interval over people, leaving out one person at a time.

    A bootstrap draws people twice, and a clip drawn twice is its own nearest neighbour at distance
    0, which spoils measures of distances. Leaving people out does not (Efron and Stein, Annals of
    Statistics 1981). The interval is about the clips' people; luck in training is not in it.

    Args:
        statistic: gets a mask (n,) bool of the clips to use; returns a number or k numbers.
        groups: (n,) the person of each clip, see :func:`people`; at least two people.
        level: of the interval, in (0, 1).

    Returns:
        value, low, high: each (k,), with value -+ t * se, where with g groups
        se^2 = (g - 1)/g * sum_i (value without group i - their mean)^2 and t is Student's with
        g - 1 degrees of freedom.

    Raises:
        ValueError: fewer than two groups, or a level outside (0, 1).
    """
    groups = people(groups)
    names = np.unique(groups)
    if len(names) < 2:
        raise ValueError(f"groups: expected at least two, got {len(names)}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected 0..1, got {level}")
    value = np.atleast_1d(np.asarray(statistic(np.ones(len(groups), bool)), np.float64))
    without = np.array([np.atleast_1d(statistic(groups != name)) for name in names], np.float64)
    g = len(names)
    error = np.sqrt((g - 1) / g * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    half = stats.t.ppf((1 + level) / 2, g - 1) * error
    return value, value - half, value + half


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
