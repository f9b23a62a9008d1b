"""Trained again: is it the same result? A reader's runs beside reference results, with a tolerance.

One configuration trained twice gives the same bits only with the same code on the same kind of
processor; elsewhere the last digits of the gradients differ, and after some epochs the two networks
differ as two seeds do. So a row trained again is not expected to be equal but to be *as near as
another draw of seeds would be*. With s the standard deviation of a measure between the seeds of one
fold of the reference runs (pooled over folds, f degrees of freedom), the difference of two means
over k runs has the 95 % range

    t(0.975, f) * s * sqrt(2 / k).

Runs of one seed begin alike, so this is, if anything, too wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from ecstfl.errors import UserError
from ecstfl.evaluation.differences import UAR, WAR, Measure
from ecstfl.evaluation.grid import Grid, Page
from ecstfl.evaluation.rows import by_row, row_names
from ecstfl.runs.config import RunConfig, from_dict
from ecstfl.runs.run_folder import Run, read_run

MEASURES = (WAR, UAR)


@dataclass(frozen=True)
class Reproduced:
    """One row of a table: the reference runs and the same trained again.

    Attributes:
        method: the row's name in the table.
        pairs: (reference, again), each of one configuration, in the order of fold and seed.
        reference: every reference run of the row, also of folds and seeds that were not trained
            again: they tell the spread.
    """

    method: str
    pairs: tuple[tuple[Run, Run], ...]
    reference: tuple[Run, ...]

    @property
    def equal(self) -> int:
        """Pairs that put every test clip into the same cell of the confusion matrix."""
        return sum(first["confusion"] == second["confusion"] for first, second in self.pairs)

    def means(self, measure: Measure) -> tuple[float, float]:
        """(reference, again): the measure's mean over the pairs, in its unit."""
        first, second = (
            float(np.mean([measure.of([run]) for run in side]))
            for side in zip(*self.pairs, strict=True)
        )
        return first, second

    def tolerance(self, measure: Measure) -> float:
        """Half of the 95 % range of the difference of the means; NaN without two seeds of a fold.

        In the measure's unit; see the module for the formula.
        """
        by_fold: dict[int, list[float]] = {}
        for run in self.reference:
            by_fold.setdefault(run["config"]["fold"], []).append(measure.of([run]))
        freedom = sum(len(values) - 1 for values in by_fold.values())
        if not freedom:
            return math.nan
        squares = sum(len(values) * np.var(values) for values in by_fold.values())
        spread = math.sqrt(squares / freedom)
        return float(stats.t.ppf(0.975, freedom) * spread * math.sqrt(2 / len(self.pairs)))


def reference_runs(results: Path, configs: Sequence[RunConfig]) -> list[Run]:
    """Read the finished runs of a results folder, and check that one of them is planned here.

    Raises:
        UserError: no finished run, none of this plan, or a run is damaged.
    """
    read = (read_run(path.parent) for path in sorted(results.glob("runs/*/run.json")))
    runs = [run for run in read if run is not None]
    if not runs:
        raise UserError(
            f"{results} holds no finished run to compare with: name a results folder, "
            "for example results/landed/quick"
        )
    if not {run["config_hash"] for run in runs} & {config.hash for config in configs}:
        raise UserError(
            f"{results} holds {len(runs)} finished run(s), but none of this plan (other data, "
            "profile, settings, folds or seeds): there is nothing to compare"
        )
    return runs


def compare(reference: Sequence[Run], again: Sequence[Run]) -> list[Reproduced]:
    """Pair runs of equal configuration.

    Args:
        reference: contents of ``run.json``, of one table.
        again: likewise; runs that have no partner are left out.

    Returns:
        One entry a row that has a pair, in the order of ``again``.

    Raises:
        UserError: a run was written by another version.
    """
    theirs = {from_dict(RunConfig, run["config"]): run for run in reference}
    ours = {from_dict(RunConfig, run["config"]): run for run in again}
    whole = by_row(list(theirs))
    shared = by_row([config for config in ours if config in theirs])
    names = row_names(list(shared))
    return [
        Reproduced(
            names[key],
            tuple(
                (theirs[config], ours[config])
                for config in sorted(configs, key=lambda c: (c.fold, c.seed))
            ),
            tuple(theirs[config] for config in whole[key]),
        )
        for key, configs in shared.items()
    ]


def page(rows: Sequence[Reproduced], marks: Sequence[str] = ()) -> Page:
    """Return a table of landed value, value again, difference and tolerance, with notes below.

    Args:
        rows: at least one, from :func:`compare`.
        marks: sentences that must stand below, as the table's.
    """
    head = ["Method", "runs", "equal"]
    for measure in MEASURES:
        name = measure.name.removesuffix(", %")
        head += [f"{name}, landed", f"{name}, again", "difference", "tolerance"]
    lines = []
    within = looked = 0
    for row in rows:
        cells = [row.method, str(len(row.pairs)), str(row.equal)]
        for measure in MEASURES:
            (before, now), tolerance = row.means(measure), row.tolerance(measure)
            cells += [measure.show(before), measure.show(now), measure.show(now - before, "+")]
            cells.append("–" if math.isnan(tolerance) else f"± {measure.show(tolerance)}")
            if not math.isnan(tolerance):
                looked += 1
                within += abs(now - before) <= tolerance
        lines.append(tuple(cells))
    told = [*marks, "means over runs, in %; equal: runs with the very same confusion matrix"]
    if looked:
        told.append(
            f"{within} of {looked} differences are within the tolerance: the 95 % range that the "
            "spread between the landed seeds of a fold gives, one in twenty lies outside"
        )
    if looked < len(MEASURES) * len(rows):
        told.append("– no tolerance: the landed runs have one seed, so their spread is not known")
    return Page((Grid(tuple(head), tuple(lines)),), tuple(told))
