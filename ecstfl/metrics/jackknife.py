"""How far would a number move with other people? The jackknife, leaving out one group at a time.

A bootstrap draws people twice, and a clip drawn twice is its own nearest neighbour at distance 0,
which spoils measures of distances. Leaving people out does not (Efron and Stein, Annals of
Statistics 1981). The interval is about the clips' people; luck in training is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats


def jackknife(
    statistic: Callable[[np.ndarray], float | Sequence[float] | np.ndarray],
    groups: np.ndarray,
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a statistic with an interval over groups.

    Args:
        statistic: gets a mask (n,) bool of the clips to use; returns a number or k numbers.
        groups: (n,) the person of each clip; at least two people.
        level: of the interval, in (0, 1).

    Returns:
        value, low, high: each (k,), with value -+ t * se, where with g groups
        se^2 = (g - 1)/g * sum_i (value without group i - their mean)^2 and t is Student's with
        g - 1 degrees of freedom.

    Raises:
        ValueError: fewer than two groups, or a level outside (0, 1).
    """
    groups = np.asarray(groups)
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
