"""The table: recalls, UAR and WAR of each method, rendered from finished runs alone.

Each row pools the test predictions of its runs, as the paper pools its five folds. A row is all
runs that differ in fold and seed only. Behind the value stands a 95 % interval over test
identities, and over seeds where there are several
(:func:`ecstfl.metrics.intervals.bootstrap_interval`), and, with several runs, the standard
deviation between them. Differences are to the softmax-only row of the same setting, in pairs. A
table that is synthetic, quick or incomplete says so.

:func:`page` gives the table as text, :func:`to_csv` its numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecstfl.errors import UserError
from ecstfl.evaluation import grid as grids
from ecstfl.evaluation.grid import Grid, Page
from ecstfl.evaluation.published import (
    PAPER_EC_STFL_SCORES,
    PAPER_ROWS,
    PATENT_TABLE_1,
    PublishedRow,
)
from ecstfl.evaluation.rows import baseline_of, by_row, method_name, printed_name, row_names
from ecstfl.labels import CLASSES
from ecstfl.metrics.intervals import Interval, bootstrap_interval, mcnemar, people, sign_flip_test
from ecstfl.metrics.recognition import confusion_matrix, recalls
from ecstfl.runs.config import RunConfig
from ecstfl.runs.run_folder import finished_run, read_features, run_directory


@dataclass(frozen=True)
class Row:
    """One method, pooled over its runs.

    Attributes:
        method: backbone and method, with form and weight, and whatever else tells two rows apart.
        recalls: per class, in [0, 1]; NaN for a class without test clips.
        uar: with its interval, in [0, 1].
        war: with its interval, in [0, 1].
        sd: standard deviation of (UAR, WAR) between runs; None for a single run.
        runs: how many runs are in it, of how many planned.
        planned: see ``runs``.
        clips: test clips pooled (a clip tested under three seeds counts three times).
        seeds: different seeds among the runs.
        collapsed: how many of the runs say one and the same class of every test clip.
    """

    method: str
    recalls: tuple[float, ...]
    uar: Interval
    war: Interval
    sd: tuple[float, float] | None
    runs: int
    planned: int
    clips: int
    seeds: int = 1
    collapsed: int = 0


@dataclass(frozen=True)
class Difference:
    """EC-STFL minus softmax-only on the same clips, folds and seeds; in [-1, 1].

    ``p`` is McNemar's, and None with several seeds: a clip tested twice is not two clips.
    ``pairs`` counts the runs that both methods have (same fold and seed), ``p_uar`` and
    ``p_war`` are :func:`ecstfl.metrics.intervals.sign_flip_test` over them, None for a single pair.
    """

    method: str
    uar: Interval
    war: Interval
    only_baseline_right: int
    only_method_right: int
    p: float | None
    pairs: int = 1
    p_uar: float | None = None
    p_war: float | None = None


@dataclass(frozen=True)
class Table:
    """All rows of one result, with the marks that must stand beside them.

    ``published`` are the printed results on DFEW of the networks and methods in the table.
    """

    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    marks: tuple[str, ...]
    published: tuple[PublishedRow, ...] = PATENT_TABLE_1


@dataclass(frozen=True)
class _Pool:
    labels: np.ndarray
    predictions: np.ndarray
    groups: np.ndarray
    keys: tuple[tuple[int, int, str], ...]  # (fold, seed, clip), to pair methods
    scores: dict[tuple[int, int], tuple[float, float]]  # (fold, seed) -> (UAR, WAR)
    collapsed: int  # runs that say one class only, of clips of several

    @property
    def seeds(self) -> np.ndarray:
        return np.array([seed for _, seed, _ in self.keys])


def build_table(results: Path, configs: Sequence[RunConfig]) -> Table:
    """Collect the finished runs among ``configs`` into a table.

    Raises:
        UserError: none of them is finished.
    """
    planned = by_row(configs)
    names = row_names(list(planned))
    rows, pools = [], {}
    for key, runs in planned.items():
        pool = _pool(results, runs)
        if pool is None:
            continue
        pools[key] = pool
        rows.append(_row(names[key], pool, len(runs)))
    if not rows:
        raise UserError(f"no finished run of this plan in {results}: run ecstfl reproduce first")
    differences = []
    for key, pool in pools.items():
        baseline = baseline_of(key, pools)
        if baseline is not None:
            difference = _difference(names[key], pool, pools[baseline])
            differences += [difference] if difference else []
    first = configs[0]
    marks = []
    if first.synthetic:
        marks.append("synthetic: rendered clips, says nothing about accuracy on real faces")
    if first.profile != "paper":
        marks.append(f"{first.profile} profile: small network and input, not the paper's setting")
    if first.evaluate == "validation":
        marks.append("validation fold, not test")
    if any(row.runs < row.planned for row in rows) or len(rows) < len(planned):
        done, planned_runs = sum(r.runs for r in rows), len(configs)
        marks.append(f"INCOMPLETE: {done} of {planned_runs} runs are finished")
    return Table(tuple(rows), tuple(differences), tuple(marks), _published(list(planned)))


def _published(keys: Sequence[RunConfig]) -> tuple[PublishedRow, ...]:
    """Return the patent's table and what is printed of the table's other rows."""
    wanted = {printed_name(key) for key in keys}
    others = [row for row in (*PAPER_ROWS, *PAPER_EC_STFL_SCORES) if row.method in wanted]
    return tuple(dict.fromkeys((*PATENT_TABLE_1, *others)))


def _pool(results: Path, configs: Sequence[RunConfig]) -> _Pool | None:
    labels, predictions, groups, keys = [], [], [], []
    scores: dict[tuple[int, int], tuple[float, float]] = {}
    collapsed = 0
    for config in configs:
        run = finished_run(results, config)
        if run is None:
            continue
        features = read_features(run_directory(results, config))
        labels.append(features["labels"].astype(np.int64))
        predictions.append(features["predictions"].astype(np.int64))
        groups.append(people(features["groups"], features["ids"]))
        keys += [(config.fold, config.seed, str(clip)) for clip in features["ids"]]
        scores[config.fold, config.seed] = (run["uar"], run["war"])
        collapsed += len(set(labels[-1])) > 1 and len(set(predictions[-1])) == 1
    if not labels:
        return None
    return _Pool(
        np.concatenate(labels),
        np.concatenate(predictions),
        np.concatenate(groups),
        tuple(keys),
        scores,
        collapsed,
    )


def _row(name: str, pool: _Pool, planned: int) -> Row:
    confusion = confusion_matrix(pool.labels, pool.predictions)
    pooled = pool.labels, pool.predictions, pool.groups
    sd = np.std(list(pool.scores.values()), axis=0, ddof=1) if len(pool.scores) > 1 else None
    return Row(
        method=name,
        recalls=tuple(recalls(confusion)),
        uar=bootstrap_interval(*pooled, "uar", seeds=pool.seeds),
        war=bootstrap_interval(*pooled, "war", seeds=pool.seeds),
        sd=(float(sd[0]), float(sd[1])) if sd is not None else None,
        runs=len(pool.scores),
        planned=planned,
        clips=len(pool.labels),
        seeds=len(set(pool.seeds.tolist())),
        collapsed=pool.collapsed,
    )


def paired_difference(
    results: Path, ours: Sequence[RunConfig], baseline: Sequence[RunConfig]
) -> Difference | None:
    """Compare two rows of runs on the clips, folds and seeds that both have finished.

    Returns:
        The difference, or None when no finished run of one has its twin in the other.
    """
    pools = [_pool(results, configs) for configs in (ours, baseline)]
    if pools[0] is None or pools[1] is None:
        return None
    return _difference(method_name(ours[0]), pools[0], pools[1])


def _difference(name: str, ours: _Pool, baseline: _Pool) -> Difference | None:
    # Only clips that both have: with an incomplete plan the rest would not be paired.
    position = {key: i for i, key in enumerate(baseline.keys)}
    pairs = [(i, position[key]) for i, key in enumerate(ours.keys) if key in position]
    if not pairs:
        return None
    mine, theirs = (np.array(side) for side in zip(*pairs, strict=True))
    labels, groups, seeds = ours.labels[mine], ours.groups[mine], ours.seeds[mine]
    first, second = baseline.predictions[theirs], ours.predictions[mine]
    only_first, only_second, p = mcnemar(labels, first, second)
    both = [run for run in ours.scores if run in baseline.scores]
    gains = np.array([np.subtract(ours.scores[run], baseline.scores[run]) for run in both])
    return Difference(
        method=name,
        uar=bootstrap_interval(labels, second, groups, "uar", first, seeds=seeds),
        war=bootstrap_interval(labels, second, groups, "war", first, seeds=seeds),
        only_baseline_right=only_first,
        only_method_right=only_second,
        p=p if len(set(seeds.tolist())) == 1 else None,
        pairs=len(both),
        p_uar=sign_flip_test(gains[:, 0]) if len(both) > 1 else None,
        p_war=sign_flip_test(gains[:, 1]) if len(both) > 1 else None,
    )


def _percent(interval: Interval, sign: str = "") -> str:
    value, low, high = (100 * x for x in (interval.value, interval.low, interval.high))
    return f"{value:{sign}.2f} [{low:{sign}.1f}, {high:{sign}.1f}]"


HEAD = ("Method", *CLASSES, "UAR [95 %]", "WAR [95 %]", "runs")


def grid(table: Table) -> Grid:
    """Return the cells, in percent: results, differences, published rows."""
    lines, kinds = [], []
    blank = ("",) * len(CLASSES)
    for row in table.rows:
        count = f"{row.runs}" if row.runs == row.planned else f"{row.runs} of {row.planned}"
        uar, war = _percent(row.uar), _percent(row.war)
        if row.sd is not None:
            uar += f" sd {100 * row.sd[0]:.2f}"
            war += f" sd {100 * row.sd[1]:.2f}"
        each = ("–" if np.isnan(r) else f"{100 * r:.2f}" for r in row.recalls)
        lines.append((row.method, *each, uar, war, count))
        kinds.append("result")
    for d in table.differences:
        ends = (_percent(d.uar, "+"), _percent(d.war, "+"), "")
        lines.append((f"difference: {d.method}", *blank, *ends))
        kinds.append("difference")
    for row in table.published:
        each = [f"{r:.2f}" for r in row.recalls] or blank
        ends = (f"{row.uar:.2f}", f"{row.war:.2f}", "?")
        lines.append((f"published, DFEW: {row.method}", *each, *ends))
        kinds.append("published")
    return Grid(HEAD, tuple(lines), tuple(kinds))


def page(table: Table) -> Page:
    """Return the table with what must stand below it."""
    return Page((grid(table),), notes(table))


def notes(table: Table) -> tuple[str, ...]:
    """Return the sentences that stand below the table, its marks first."""
    found = [*table.marks]
    if table.rows:
        clips = sorted({row.clips for row in table.rows})
        n = " to ".join(str(c) for c in dict.fromkeys((clips[0], clips[-1])))
        seeded = {row.seeds > 1 for row in table.rows}
        if seeded == {True}:
            over = "identities and training seeds"
        elif seeded == {False}:
            over = "identities and do not cover the choice of training seed"
        else:
            over = "identities, and training seeds in rows of several"
        found.append(f"n = {n} test predictions a row; intervals resample test {over}")
        if len({row.runs for row in table.rows}) > 1:
            found.append(
                "rows pool different runs: compare the differences, which are paired, not the rows"
            )
    for gaps, n_rows in Counter(tuple(np.isnan(row.recalls)) for row in table.rows).items():
        if lacking := [name for name, gap in zip(CLASSES, gaps, strict=True) if gap]:
            which = "" if n_rows == len(table.rows) else f" in {n_rows} row(s)"
            found.append(
                f"no test clip shows {', '.join(lacking)}{which}: UAR is the mean over the other "
                f"{len(CLASSES) - len(lacking)} classes, not comparable with one over seven"
            )
    found += [
        f"{row.method}: {row.collapsed} of {row.runs} run(s) say one class of every clip: "
        "nothing was learned there (if its loss pulls too hard, a smaller weight helps)"
        for row in table.rows
        if row.collapsed
    ]
    for d in table.differences:
        if d.p is not None:
            found.append(
                f"McNemar: {d.only_method_right} clips only {d.method} gets right, "
                f"{d.only_baseline_right} only softmax-only; p = {d.p:.2g}"
            )
        if d.p_war is not None:
            found.append(
                f"{d.pairs} paired runs of {d.method} and softmax-only, signs flipped: "
                f"p = {d.p_uar:.2g} (UAR), {d.p_war:.2g} (WAR)"
            )
    return tuple(found)


def to_csv(table: Table) -> str:
    """Render for spreadsheets: one row a method, shares in [0, 1], marks in the last column."""
    ends = [f"{metric}{end}" for metric in ("uar", "war") for end in ("", "_low", "_high")]
    head = ["method", *CLASSES, *ends, "runs", "planned", "clips", "marks"]
    marks = "; ".join(table.marks)
    rows = []
    for row in table.rows:
        both = (x for i in (row.uar, row.war) for x in (i.value, i.low, i.high))
        rows.append([row.method, *row.recalls, *both, row.runs, row.planned, row.clips, marks])
    return grids.to_csv(head, rows)
