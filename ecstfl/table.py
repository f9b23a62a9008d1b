"""The table: recalls, UAR and WAR of each method, rendered from finished runs alone.

Each row pools the test predictions of its runs, as the paper pools its five folds. Behind the
value stands a 95 % interval over test identities (:func:`ecstfl.metrics.bootstrap_interval`)
and, with several runs, the standard deviation between them. The last row is the difference to
the softmax-only row, in pairs. A table that is synthetic, quick or incomplete says so.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecstfl.config import RunConfig
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES
from ecstfl.metrics import Interval, bootstrap_interval, confusion_matrix, mcnemar, recalls
from ecstfl.published import PATENT_TABLE_1
from ecstfl.runs import finished_run, read_features, run_directory

METHOD_NAMES = {"softmax": "C3D, softmax only", "ec-stfl": "C3D, EC-STFL"}


@dataclass(frozen=True)
class Row:
    """One method, pooled over its runs.

    Attributes:
        method: name in :data:`METHOD_NAMES`, with the form and weight for EC-STFL.
        recalls: per class, in [0, 1].
        uar: with its interval, in [0, 1].
        war: with its interval, in [0, 1].
        sd: standard deviation of (UAR, WAR) between runs; None for a single run.
        runs: how many runs are in it, of how many planned.
        planned: see ``runs``.
        clips: test clips pooled (a clip tested under three seeds counts three times).
    """

    method: str
    recalls: tuple[float, ...]
    uar: Interval
    war: Interval
    sd: tuple[float, float] | None
    runs: int
    planned: int
    clips: int


@dataclass(frozen=True)
class Difference:
    """EC-STFL minus softmax-only on the same clips, folds and seeds; in [-1, 1].

    ``p`` is McNemar's, and None with several seeds: a clip tested twice is not two clips.
    """

    method: str
    uar: Interval
    war: Interval
    only_baseline_right: int
    only_method_right: int
    p: float | None


@dataclass(frozen=True)
class Table:
    """All rows of one result, with the marks that must stand beside them."""

    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class _Pool:
    labels: np.ndarray
    predictions: np.ndarray
    groups: np.ndarray
    keys: tuple[tuple[int, int, str], ...]  # (fold, seed, clip), to pair methods
    scores: tuple[tuple[float, float], ...]


def build_table(results: Path, configs: list[RunConfig]) -> Table:
    """Collect the finished runs among ``configs`` into a table.

    Raises:
        UserError: none of them is finished.
    """
    by_method: dict[tuple, list[RunConfig]] = {}
    for config in configs:
        by_method.setdefault((config.loss.method, config.loss.form, config.loss.weight), []).append(
            config
        )
    rows, pools = [], {}
    for key, planned in by_method.items():
        pool = _pool(results, planned)
        if pool is None:
            continue
        pools[key] = pool
        rows.append(_row(planned[0], pool, len(planned)))
    if not rows:
        raise UserError(f"no finished run of this plan in {results}: run ecstfl reproduce first")
    differences = []
    baseline = next((key for key in pools if key[0] == "softmax"), None)
    for key, pool in pools.items():
        if baseline is not None and key != baseline:
            differences.append(_difference(by_method[key][0], pool, pools[baseline]))
    first = configs[0]
    marks = []
    if first.synthetic:
        marks.append("synthetic: rendered clips, says nothing about accuracy on real faces")
    if first.profile != "paper":
        marks.append(f"{first.profile} profile: small network and input, not the paper's setting")
    if first.evaluate == "validation":
        marks.append("validation fold, not test")
    if any(row.runs < row.planned for row in rows) or len(rows) < len(by_method):
        done, planned_runs = sum(r.runs for r in rows), len(configs)
        marks.append(f"INCOMPLETE: {done} of {planned_runs} runs are finished")
    return Table(tuple(rows), tuple(differences), tuple(marks))


def method_name(config: RunConfig) -> str:
    """Return the row's name, e.g. ``C3D, EC-STFL (patent, lambda 0.1)``."""
    name = METHOD_NAMES[config.loss.method]
    if config.loss.method == "softmax":
        return name
    return f"{name} ({config.loss.form}, lambda {config.loss.weight:g})"


def _pool(results: Path, configs: list[RunConfig]) -> _Pool | None:
    labels, predictions, groups, keys, scores = [], [], [], [], []
    for config in configs:
        run = finished_run(results, config)
        if run is None:
            continue
        features = read_features(run_directory(results, config))
        labels.append(features["labels"].astype(np.int64))
        predictions.append(features["predictions"].astype(np.int64))
        groups.append(features["groups"])
        keys += [(config.fold, config.seed, str(clip)) for clip in features["ids"]]
        scores.append((run["uar"], run["war"]))
    if not labels:
        return None
    return _Pool(
        np.concatenate(labels),
        np.concatenate(predictions),
        np.concatenate(groups),
        tuple(keys),
        tuple(scores),
    )


def _row(config: RunConfig, pool: _Pool, planned: int) -> Row:
    confusion = confusion_matrix(pool.labels, pool.predictions)
    several = len(pool.scores) > 1
    sd = tuple(np.std(pool.scores, axis=0, ddof=1)) if several else None
    return Row(
        method=method_name(config),
        recalls=tuple(recalls(confusion)),
        uar=bootstrap_interval(pool.labels, pool.predictions, pool.groups, "uar"),
        war=bootstrap_interval(pool.labels, pool.predictions, pool.groups, "war"),
        sd=(float(sd[0]), float(sd[1])) if sd is not None else None,
        runs=len(pool.scores),
        planned=planned,
        clips=len(pool.labels),
    )


def _difference(config: RunConfig, ours: _Pool, baseline: _Pool) -> Difference:
    # Only clips that both have: with an incomplete plan the rest would not be paired.
    position = {key: i for i, key in enumerate(baseline.keys)}
    pairs = [(i, position[key]) for i, key in enumerate(ours.keys) if key in position]
    mine, theirs = (np.array(side) for side in zip(*pairs, strict=True))
    labels, groups = ours.labels[mine], ours.groups[mine]
    first, second = baseline.predictions[theirs], ours.predictions[mine]
    only_first, only_second, p = mcnemar(labels, first, second)
    return Difference(
        method=method_name(config),
        uar=bootstrap_interval(labels, second, groups, "uar", baseline=first),
        war=bootstrap_interval(labels, second, groups, "war", baseline=first),
        only_baseline_right=only_first,
        only_method_right=only_second,
        p=p if len({seed for _, seed, _ in ours.keys}) == 1 else None,
    )


def _percent(interval: Interval, sign: str = "") -> str:
    value, low, high = (100 * x for x in (interval.value, interval.low, interval.high))
    return f"{value:{sign}.2f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def markdown(table: Table) -> str:
    """Render for README and terminals: percent, 95 % intervals in brackets."""
    head = ["Method", *CLASSES, "UAR [95 %]", "WAR [95 %]", "runs"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in table.rows:
        count = f"{row.runs}" if row.runs == row.planned else f"{row.runs} of {row.planned}"
        uar, war = _percent(row.uar), _percent(row.war)
        if row.sd is not None:
            uar += f" sd {100 * row.sd[0]:.2f}"
            war += f" sd {100 * row.sd[1]:.2f}"
        cells = [row.method, *(f"{100 * r:.2f}" for r in row.recalls), uar, war, count]
        lines.append("| " + " | ".join(cells) + " |")
    for d in table.differences:
        cells = [f"difference: {d.method}", *([""] * len(CLASSES))]
        cells += [_percent(d.uar, "+"), _percent(d.war, "+"), ""]
        lines.append("| " + " | ".join(cells) + " |")
    for row in PATENT_TABLE_1:
        cells = [f"*published, DFEW: {row.method}*", *(f"*{r:.2f}*" for r in row.recalls)]
        cells += [f"*{row.uar:.2f}*", f"*{row.war:.2f}*", "*?*"]
        lines.append("| " + " | ".join(cells) + " |")
    notes = [*table.marks]
    if table.rows:
        notes.append(
            f"n = {table.rows[0].clips} test predictions a row; intervals resample test "
            "identities and do not cover the choice of training seed"
        )
    for d in table.differences:
        if d.p is None:
            continue
        notes.append(
            f"McNemar: {d.only_method_right} clips only {d.method} gets right, "
            f"{d.only_baseline_right} only softmax-only; p = {d.p:.2g}"
        )
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def to_csv(table: Table) -> str:
    """Render for spreadsheets: one row a method, shares in [0, 1], marks in the last column."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ends = [f"{metric}{end}" for metric in ("uar", "war") for end in ("", "_low", "_high")]
    writer.writerow(["method", *CLASSES, *ends, "runs", "planned", "clips", "marks"])
    for row in table.rows:
        shares = [*row.recalls]
        for interval in (row.uar, row.war):
            shares += [interval.value, interval.low, interval.high]
        counts = [row.runs, row.planned, row.clips]
        writer.writerow(
            [row.method, *(f"{x:.6f}" for x in shares), *counts, "; ".join(table.marks)]
        )
    return out.getvalue()
