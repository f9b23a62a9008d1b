"""Find the recipe: vary one setting at a time, on validation folds only.

What does EC-STFL need in order to help, and does it? Each point of an axis is a *difference to
softmax-only under the same setting*. Test folds are in no part of any run (``evaluate`` is
``validation``), so nothing that is chosen here has seen a test clip.

A study is resumable and shares the run directories' rules with the table: the same setting is
trained once, whatever axes it is on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecstfl.errors import UserError
from ecstfl.evaluation import grid as grids
from ecstfl.evaluation.differences import WITHIN_BETWEEN, Pair, change
from ecstfl.evaluation.grid import Grid
from ecstfl.evaluation.rows import baseline_of, by_row
from ecstfl.evaluation.table import paired_difference
from ecstfl.evaluation.without_class import ratios_without
from ecstfl.experiments.axes import Point, Trial
from ecstfl.experiments.plan import Plan, Work, carry_out
from ecstfl.figures.files import save_figure
from ecstfl.files import write_text
from ecstfl.runs.config import RunConfig
from ecstfl.runs.places import Places
from ecstfl.runs.run_folder import Run, finished_run, read_features


def collect(places: Places, trials: Sequence[Trial], runs: Sequence[RunConfig]) -> list[Point]:
    """Return the points of which a run and its softmax-only twin are finished."""
    rows = by_row(list(runs))
    points = []
    for trial in trials:
        baseline = baseline_of(trial.setting, rows)
        if baseline is None:
            continue
        difference = paired_difference(places.results, rows[trial.setting], rows[baseline])
        if difference is None:
            continue
        finished, twins = (_by_place(places, rows[key]) for key in (trial.setting, baseline))
        both = [place for place in finished if place in twins]
        ours, theirs = [finished[place] for place in both], [twins[place] for place in both]
        pairs = [Pair(*place, finished[place], twins[place]) for place in both]
        points.append(
            Point(
                trial,
                tuple(run["war"] for run in ours),
                tuple(run["war"] for run in theirs),
                tuple(run["uar"] for run in ours),
                tuple(
                    run["clusters"]["within_between"] if run["clusters"] else float("nan")
                    for run in ours
                ),
                tuple(_one_aside(places, run) for run in ours),
                difference.war,
                change(pairs, WITHIN_BETWEEN),
            )
        )
    return points


def _one_aside(places: Places, run: Run) -> float:
    """Return the largest within/between that is left when one class is set aside."""
    features = read_features(places.results / "runs" / run["name"])
    left = ratios_without(features["embeddings"], features["labels"])[1:]
    return float(np.nanmax(left)) if np.isfinite(left).any() else float("nan")


def _by_place(places: Places, configs: Sequence[RunConfig]) -> dict[tuple[int, int], Run]:
    """Return the finished runs by (fold, seed), to pair those of two methods."""
    found = {(c.fold, c.seed): finished_run(places.results, c) for c in configs}
    return {place: run for place, run in found.items() if run is not None}


def study(plan: Plan, trials: Sequence[Trial], places: Places, work: Work) -> list[Point]:
    """Train what is missing of a study and write ``study.csv``, ``study.md`` and its figure.

    Args:
        plan: with the runs of :func:`ecstfl.experiments.axes.plan_study`.
        trials: from there, too.
        places: where to read and write.
        work: how.

    Raises:
        UserError: as :func:`ecstfl.experiments.reproduce.reproduce`, or nothing is finished yet.
    """
    from ecstfl.experiments.study_figure import draw  # matplotlib takes a second

    carry_out(plan, places, work)
    points = collect(places, trials, plan.runs)
    if not points:
        raise UserError(f"no trial of this study is finished in {places.results}")
    runs = [run for c in plan.runs if (run := finished_run(places.results, c)) is not None]
    work.say("Step 3 of 3: table and figure")
    for name, text in {"study.csv": to_csv(points), "study.md": markdown(points)}.items():
        write_text(places.results / name, text)
        work.say(f"  {places.results / name}")
    for path in save_figure(draw(points, runs), places.figures / "study", runs, work.command):
        work.say(f"  {path}")
    return points


def to_csv(points: Sequence[Point]) -> str:
    """One row a trial: n, mean and sd of its measures, the differences with their intervals."""
    names = ("war", "uar", "within_between", "one_aside", "softmax_war")
    head = ["axis", "value", "n", *(f"{name}_{s}" for name in names for s in ("mean", "sd"))]
    rows = []
    for p in points:
        numbers = [x for name in names for x in _mean_sd(getattr(p, name))]
        for told in (p.difference, p.tighter):
            numbers += [told.value, told.low, told.high]
        cells = [f"{x:.4f}" for x in numbers]  # nan where there is no number
        rows.append([p.trial.axis, p.trial.value, len(p.war), *cells])
    head += ["difference", "low", "high", "tighter", "tighter_low", "tighter_high"]
    return grids.to_csv(head, rows)


def markdown(points: Sequence[Point]) -> str:
    """Render for the documentation: percent, 95 % intervals in brackets.

    "Change" is within/between against softmax-only, over folds; "one class aside" is
    within/between without that class without which it is largest.
    """
    head = ("axis", "value", "n", "WAR, %", "softmax-only, %", "difference [95 %]")
    lines = []
    for p in points:
        value, low, high = (
            100 * x for x in (p.difference.value, p.difference.low, p.difference.high)
        )
        cells = (
            p.trial.axis,
            p.trial.value,
            f"{len(p.war)}",
            f"{100 * np.mean(p.war):.1f}",
            f"{100 * np.mean(p.softmax_war):.1f}",
            f"{value:+.1f} [{low:+.1f}, {high:+.1f}]",
            f"{np.mean(p.within_between):.2f}",
            f"{p.tighter.value:+.2f} [{p.tighter.low:+.2f}, {p.tighter.high:+.2f}]",
            f"{np.mean(p.one_aside):.2f}",
        )
        lines.append(cells)
    head = (*head, "within / between", "change [95 %]", "one class aside")
    return Grid(head, tuple(lines)).markdown() + "\n"


def _mean_sd(values: Sequence[float]) -> tuple[float, float]:
    array = np.array(values)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else float("nan")
