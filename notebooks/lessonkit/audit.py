"""What the printed table says when its percentages are turned back into clips.

A recall with two decimals and a class of at most 2,669 clips leave exactly one integer. From the
clips follows how sure one can be of the gain, knowing only how many clips each model got right.

All rates here are in percent, as printed, except p-values and the overlap counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ecstfl.evaluation.published import SAME_SETTING
from ecstfl.labels import DFEW_COUNTS
from ecstfl.metrics.intervals import Interval


def decode(percent: float, clips: int, decimals: int = 2) -> int:
    """Return the one number of clips whose share of ``clips`` rounds to ``percent``.

    A value exactly between two roundings is accepted for both.

    Raises:
        ValueError: no integer fits, or more than one does.
    """
    half = 0.5 * 10.0**-decimals + 1e-9
    low = math.ceil(clips * (percent - half) / 100)
    high = math.floor(clips * (percent + half) / 100)
    fitting = list(range(max(low, 0), min(high, clips) + 1))
    if len(fitting) != 1:
        got = f"{len(fitting)}, from {fitting[0]} to {fitting[-1]}" if fitting else "none"
        raise ValueError(
            f"expected one number of {clips} clips that prints as {percent:.{decimals}f} %, "
            f"got {got}"
        )
    return fitting[0]


def decode_hits(percents: Sequence[float], counts: Sequence[int] = DFEW_COUNTS) -> np.ndarray:
    """Turn printed recalls (c,) into numbers of right clips (c,), int64.

    Raises:
        ValueError: as :func:`decode`, or lengths differ.
    """
    if len(percents) != len(counts):
        raise ValueError(f"expected {len(counts)} recalls, got {len(percents)}")
    return np.array([decode(p, n) for p, n in zip(percents, counts, strict=True)])


def wilson(hits: int, clips: int, level: float = 0.95) -> Interval:
    """Wilson's interval of a share of independent clips, in percent.

    Raises:
        ValueError: not 0 <= hits <= clips, or no clips.
    """
    if clips < 1 or not 0 <= hits <= clips:
        raise ValueError(f"expected 0 <= hits <= clips and clips >= 1, got {hits} of {clips}")
    z = stats.norm.ppf((1 + level) / 2)
    share = hits / clips
    centre = (share + z * z / (2 * clips)) / (1 + z * z / clips)
    reach = z * math.sqrt(share * (1 - share) / clips + z * z / (4 * clips**2))
    reach /= 1 + z * z / clips
    return Interval(100 * share, 100 * (centre - reach), 100 * (centre + reach))


@dataclass(frozen=True)
class Overlaps:
    """Clips of each class (c,) that both models get right, which no table prints.

    Attributes:
        most: as many as the hits allow: the better model's errors are a subset. The gain looks
            as sure as it can.
        chance: as if the two were right independently within a class (not rounded).
        fewest: as few as the hits allow. The gain looks as unsure as it can.
    """

    most: np.ndarray
    chance: np.ndarray
    fewest: np.ndarray


def overlaps(
    first: Sequence[int], second: Sequence[int], counts: Sequence[int] = DFEW_COUNTS
) -> Overlaps:
    """Bound the overlap of two models' right clips (c,) by the clips of each class (c,).

    Raises:
        ValueError: hits outside 0..counts.
    """
    a, b, n = (np.asarray(x) for x in (first, second, counts))
    if (np.minimum(a, b) < 0).any() or (np.maximum(a, b) > n).any():
        raise ValueError(f"expected hits within 0..{n.tolist()}, got {a.tolist()}, {b.tolist()}")
    return Overlaps(np.minimum(a, b), a * b / n, np.maximum(0, a + b - n))


def gain_interval(
    first: Sequence[int],
    second: Sequence[int],
    both: np.ndarray,
    metric: str = "war",
    counts: Sequence[int] = DFEW_COUNTS,
    level: float = 0.95,
) -> Interval:
    """Interval of ``second - first`` in points, for a given overlap of the right clips.

    Normal approximation, classes of fixed size, clips independent. Clips of one film are not,
    and the seed of the training is not in it: the true interval is wider.

    Args:
        first: right clips of each class (c,).
        second: right clips of each class (c,).
        both: clips that both get right (c,), see :func:`overlaps`.
        metric: ``uar`` or ``war``.
        counts: clips of each class (c,).
        level: coverage, in (0, 1).

    Raises:
        ValueError: unknown metric.
    """
    if metric not in ("uar", "war"):
        raise ValueError(f"expected metric 'uar' or 'war', got {metric!r}")
    a, b, n = (np.asarray(x, dtype=np.float64) for x in (first, second, counts))
    share = np.full(len(n), 1 / len(n)) if metric == "uar" else n / n.sum()
    gain = (b - a) / n
    differ = (a + b - 2 * np.asarray(both)) / n  # share of a class on which the models differ
    value = float((share * gain).sum())
    spread = math.sqrt(float((share**2 * (differ - gain**2) / n).sum()))
    reach = float(stats.norm.ppf((1 + level) / 2)) * spread
    return Interval(100 * value, 100 * (value - reach), 100 * (value + reach))


def mcnemar_bounds(
    first: Sequence[int], second: Sequence[int], counts: Sequence[int] = DFEW_COUNTS
) -> dict[str, tuple[int, int, float]]:
    """McNemar's exact test for every overlap that the printed hits allow.

    Returns:
        For ``most``, ``chance`` and ``fewest`` common right clips: (clips only ``first`` gets
        right, clips only ``second`` gets right, two-sided p).
    """
    found = {}
    both = overlaps(first, second, counts)
    for name, overlap in (
        ("most", both.most),
        ("chance", np.rint(both.chance).astype(int)),
        ("fewest", both.fewest),
    ):
        only_first = int((np.asarray(first) - overlap).sum())
        only_second = int((np.asarray(second) - overlap).sum())
        differ = only_first + only_second
        p = stats.binomtest(only_first, differ, 0.5).pvalue if differ else 1.0
        found[name] = (only_first, only_second, float(p))
    return found


def run_spread(pairs: Mapping[str, tuple[float, float]] = SAME_SETTING) -> float:
    """Standard deviation of one run, in points, from pairs of runs of one setting.

    Pooled over the pairs: sqrt(mean(d^2) / 2). With two pairs it is a rough number; it is also
    all that the paper gives.
    """
    differences = np.array([a - b for a, b in pairs.values()])
    return float(np.sqrt((differences**2).mean() / 2))
