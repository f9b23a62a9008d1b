"""What may be concluded from a comparison, in one line a method.

Recognition is judged by the table's interval, which redraws people and seeds. The clusters are
judged by the interval over folds, or over seeds where there is one fold. An interval that holds
zero shows no difference; that does not prove that there is none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecstfl.evaluation.differences import MEASURES, Comparison, change
from ecstfl.evaluation.table import Difference
from ecstfl.metrics.intervals import Interval

_CLUSTERS = {
    "within/between": (-1, "classes are tighter", "classes are looser"),
    "silhouette": (1, "classes are better separated", "classes are worse separated"),
}
"""Measure -> the sign of an improvement, and what a change for the better and the worse is."""


def verdicts(comparisons: Sequence[Comparison], differences: Sequence[Difference]) -> list[str]:
    """Return one sentence for each method.

    Args:
        comparisons: pairs of each method, see :func:`ecstfl.evaluation.differences.compare`.
        differences: the table's, whose intervals hold people and seeds.
    """
    war = {d.method: d.war for d in differences}
    told = []
    for comparison in comparisons:
        n, name = len(comparison.pairs), comparison.method
        if n == 1:
            told.append(f"{name}: one pair of runs shows nothing; train more seeds")
            continue
        parts = [_recognition(war[name])] if name in war else []
        parts += [_cluster(comparison, measure) for measure in _CLUSTERS]
        told.append(f"{name}, {n} pairs: " + "; ".join(parts))
    return told


def _recognition(war: Interval) -> str:
    low, high = 100 * war.low, 100 * war.high
    shown = f"(WAR {100 * war.value:+.1f} points [{low:+.1f}, {high:+.1f}])"
    if low <= 0 <= high:
        return f"no change of recognition is shown {shown}"
    return f"recognition is {'better' if low > 0 else 'worse'} {shown}"


def _cluster(comparison: Comparison, name: str) -> str:
    (measure,) = (m for m in MEASURES if m.name == name)
    gain = change(comparison.pairs, measure)
    ends = [measure.show(x, "+") for x in (gain.value, gain.low, gain.high)]
    shown = f"({name} {ends[0]} [{ends[1]}, {ends[2]}])"
    sign, better, worse = _CLUSTERS[name]
    low, high = sorted((sign * gain.low, sign * gain.high))
    if np.isnan(low) or low <= 0 <= high:
        return f"no change of {name} is shown {shown}"
    return f"{better if low > 0 else worse} {shown}"
