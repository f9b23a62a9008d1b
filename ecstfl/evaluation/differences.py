"""Differences to softmax-only, measure by measure, from run.json alone.

Runs are compared in pairs, equal in fold and seed and everything but the loss. Recognition is
pooled as the table pools it, from summed confusion matrices; what is measured once a run (the
clusters of the tapped test features, the training clips that are right) is averaged over runs.

The intervals are a delete-one-fold jackknife with Student's t. Folds are the units because their
test clips are disjoint, while two seeds on one fold score the same clips. The table's intervals
redraw identities and seeds instead: two ways to an interval that disagree are a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ecstfl.evaluation import grid as grids
from ecstfl.evaluation.grid import Grid, Page
from ecstfl.evaluation.rows import baseline_of, by_row, row_names
from ecstfl.labels import CLASSES
from ecstfl.metrics.intervals import Interval, jackknife
from ecstfl.metrics.recognition import recalls, uar, war
from ecstfl.runs.config import RunConfig, from_dict
from ecstfl.runs.run_folder import Run


@dataclass(frozen=True)
class Measure:
    """One number of a set of runs.

    Attributes:
        name: as in the head of a table, with its unit.
        of: the number; NaN where the runs do not tell it.
        digits: decimals to print.
    """

    name: str
    of: Callable[[Sequence[Run]], float]
    digits: int = 1

    def show(self, value: float, sign: str = "") -> str:
        """Print a value; a dash where there is none."""
        return "–" if np.isnan(value) else f"{value:{sign}.{self.digits}f}"

    def tell(self, change: Interval) -> str:
        """Print a change with its interval in brackets, where there is one."""
        value, low, high = (self.show(x, "+") for x in (change.value, change.low, change.high))
        return value if np.isnan(change.low) else f"{value} [{low}, {high}]"


def _confusion(runs: Sequence[Run]) -> np.ndarray:
    return np.sum([run["confusion"] for run in runs], axis=0)


def _recall(label: int) -> Callable[[Sequence[Run]], float]:
    return lambda runs: 100 * float(recalls(_confusion(runs))[label])


def _mean_cluster(name: str) -> Callable[[Sequence[Run]], float]:
    def of(runs: Sequence[Run]) -> float:
        told = [(run["clusters"] or {}).get(name) for run in runs]  # None: too few clips to tell
        return float(np.mean([np.nan if value is None else value for value in told]))

    return of


def _training(runs: Sequence[Run]) -> float:
    return 100 * float(np.mean([run["history"][-1]["train_war"] for run in runs]))


WITHIN_BETWEEN = Measure("within/between", _mean_cluster("within_between"), 2)
SILHOUETTE = Measure("silhouette", _mean_cluster("silhouette"), 2)
WAR = Measure("WAR, %", lambda runs: 100 * war(_confusion(runs)))
UAR = Measure("UAR, %", lambda runs: 100 * uar(_confusion(runs)))
MEASURES = (
    WAR,
    UAR,
    Measure("training clips right, %", _training),
    WITHIN_BETWEEN,
    SILHOUETTE,
    Measure("neighbour purity", _mean_cluster("purity"), 2),
)
"""Recognition of the test clips, of the training clips in the last epoch, and the clusters of the
tapped test features (:mod:`ecstfl.metrics.clusters`): smaller within/between is tighter."""

RECALLS = tuple(Measure(f"{name}, %", _recall(label)) for label, name in enumerate(CLASSES))
"""Recall of each class."""


@dataclass(frozen=True)
class Pair:
    """A run of the method and its softmax-only twin."""

    fold: int
    seed: int
    ours: Run
    baseline: Run

    def gain(self, measure: Measure) -> float:
        """Method minus softmax-only, in the measure's unit."""
        return measure.of([self.ours]) - measure.of([self.baseline])


@dataclass(frozen=True)
class Comparison:
    """All pairs of one method, in the order of fold and seed, under the table's names."""

    method: str
    baseline: str
    pairs: tuple[Pair, ...]


def compare(runs: Sequence[Run]) -> list[Comparison]:
    """Pair every run with the softmax-only run of its setting, fold and seed.

    Args:
        runs: contents of ``run.json``; runs without a twin are left out.

    Returns:
        One entry a method, in the order of the runs.

    Raises:
        UserError: a run was written by another version.
    """
    by_config = {from_dict(RunConfig, run["config"]): run for run in runs}
    rows = by_row(list(by_config))
    names = row_names(list(rows))
    found = []
    for key, configs in rows.items():
        baseline = baseline_of(key, rows)
        if baseline is None:
            continue
        plain = {(c.fold, c.seed): by_config[c] for c in rows[baseline]}
        pairs = [
            Pair(c.fold, c.seed, by_config[c], plain[c.fold, c.seed])
            for c in sorted(configs, key=lambda c: (c.fold, c.seed))
            if (c.fold, c.seed) in plain
        ]
        if pairs:
            found.append(Comparison(names[key], names[baseline], tuple(pairs)))
    return found


def units(pairs: Sequence[Pair]) -> str:
    """What varies between the pairs and carries the interval: ``folds``, ``seeds``, or nothing."""
    if len({pair.fold for pair in pairs}) > 1:
        return "folds"
    return "seeds" if len({pair.seed for pair in pairs}) > 1 else ""


def change(pairs: Sequence[Pair], measure: Measure, level: float = 0.95) -> Interval:
    """Method minus softmax-only over all pairs, with its jackknife interval.

    Where folds are of one size and have as many pairs, it is Student's interval over the means of
    the folds (for WAR, recalls and what is averaged). With a single fold the units are the seeds:
    the interval then says nothing about other clips.

    Args:
        pairs: at least one.
        measure: see :data:`MEASURES` and :data:`RECALLS`.
        level: coverage, in (0, 1).

    Returns:
        Value and ends in the measure's unit; both ends NaN when there is a single unit.

    Raises:
        ValueError: no pairs, or a level outside (0, 1).
    """
    if not pairs:
        raise ValueError("expected at least one pair of runs, got none")
    over = units(pairs)

    def value(chosen: np.ndarray) -> float:
        kept = [pair for pair, keep in zip(pairs, chosen, strict=True) if keep]
        return measure.of([p.ours for p in kept]) - measure.of([p.baseline for p in kept])

    if not over:
        return Interval(value(np.ones(len(pairs), bool)), float("nan"), float("nan"))
    of = np.array([pair.fold if over == "folds" else pair.seed for pair in pairs])
    ((whole,), (low,), (high,)) = jackknife(value, of, level)
    return Interval(float(whole), float(low), float(high))


def page(comparisons: Sequence[Comparison], marks: Sequence[str] = ()) -> Page:
    """Return two tables, of :data:`MEASURES` and of :data:`RECALLS`, with notes below.

    A softmax-only line gives values, over all its runs that have a twin; a method's line gives
    differences with their 95 % intervals.

    Args:
        comparisons: at least one, from :func:`compare`.
        marks: sentences that must stand below the tables, as the table's.
    """
    told = (*marks, *notes(comparisons, len(MEASURES) + len(RECALLS)))
    return Page((grid(comparisons, MEASURES), grid(comparisons, RECALLS)), told)


def grid(comparisons: Sequence[Comparison], measures: Sequence[Measure]) -> Grid:
    """Return the values of softmax-only and the differences of every method."""
    lines = []
    for name, plain in baselines(comparisons).items():
        lines.append((name, str(len(plain)), *(m.show(m.of(plain)) for m in measures)))
        for c in (c for c in comparisons if c.baseline == name):
            told = [measure.tell(change(c.pairs, measure)) for measure in measures]
            lines.append((f"difference: {c.method}", str(len(c.pairs)), *told))
    return Grid(("Method", "runs", *(measure.name for measure in measures)), tuple(lines))


def baselines(comparisons: Sequence[Comparison]) -> dict[str, list[Run]]:
    """Return every softmax-only run that has a twin, once, under its row's name."""
    found: dict[str, dict[tuple[int, int], Run]] = {}
    for c in comparisons:
        found.setdefault(c.baseline, {}).update({(p.fold, p.seed): p.baseline for p in c.pairs})
    return {name: list(runs.values()) for name, runs in found.items()}


def notes(comparisons: Sequence[Comparison], measures: int) -> list[str]:
    """Return what must be known to read a :func:`grid` of so many measures."""
    over = {units(c.pairs) for c in comparisons}
    found = ["differences are to softmax-only on the same runs, in pairs of equal fold and seed"]
    if "folds" in over:
        found.append("[95 %]: jackknife over folds, Student's t")
    if "seeds" in over:
        found.append("[95 %] of a single fold: over its training seeds; other clips may differ")
    if "" in over:
        found.append("a single pair of runs has no interval")
    if over - {""}:
        n = sum(measures for c in comparisons if units(c.pairs))
        found.append(
            f"{n} intervals were looked at: without any change, one in twenty would leave out zero"
        )
    return found


def to_csv(
    comparisons: Sequence[Comparison], measures: Sequence[Measure] = (*MEASURES, *RECALLS)
) -> str:
    """Render for spreadsheets: a line a method and measure, in the measure's unit."""
    head = ["method", "measure", "pairs", "softmax_only", "with_it", "difference", "low", "high"]
    rows = []
    for c in comparisons:
        for measure in measures:
            values = [measure.of([pair.baseline for pair in c.pairs])]
            values.append(measure.of([pair.ours for pair in c.pairs]))
            gain = change(c.pairs, measure)
            values += [gain.value, gain.low, gain.high]
            rows.append([c.method, measure.name, len(c.pairs), *values])
    return grids.to_csv(head, rows)
